//! `moe report`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use moe_core::files::replace_file;
use moe_nn::Models;

use crate::args::{BudgetArgs, CounterfactualArgs, Threads, name};
use crate::commands::command::Command;
use crate::error::Error;
use crate::experiment::inspection::{Inspection, inspect};
use crate::experiment::saved_run::{SavedRun, SplitName};
use crate::output::note;
use crate::report::format::{csv_tables, markdown, tex};
use crate::report::html::page::{self, contents};
use crate::report::html::section::{Section, blocks};
use crate::report::html::source::Source;

/// Write a page about a comparison, a run or a study
///
/// The page is one HTML file with tables and plots that loads nothing and needs no script. The other formats have its tables and
/// texts without the plots and go to stdout.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Directory of moe compare or moe train, or the file of a study of moe tune
    path: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "html")]
    format: ReportFormat,
    /// File to write [default: for html, report.html in the directory, or STUDY.html beside the study; otherwise stdout]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Sections to write, separated by commas, such as results,budget [default: all]
    #[arg(long, value_delimiter = ',', value_parser = name())]
    sections: Option<Vec<String>>,
    #[command(flatten)]
    counterfactual: CounterfactualArgs,
    /// Of a run: directory of its data set's files [default: as in its configuration]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    budgets: BudgetArgs,
    #[command(flatten)]
    threads: Threads,
}

/// What `moe report` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// A page with plots
    Html,
    /// Markdown
    Md,
    /// LaTeX with the package booktabs
    Tex,
    /// The tables alone
    Csv,
}

impl Command for Report {
    const NAME: &'static str = "report";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let source = Source::read(&self.path)?;
        let source = match &source {
            Source::Run(_) => source.inspected(self.inspect(models)),
            _ => {
                self.check_flags_of_runs()?;
                source
            }
        };
        match &source {
            Source::Study(study) => self.budgets.check(&study.summary())?,
            _ if self.budgets.unequal_budgets => {
                let path = self.path.display();
                let text = format!("--unequal-budgets needs a study, which {path} is not");
                return Err(Error::Config(text));
            }
            _ => {}
        }
        let (title, sections) = contents(&source);
        let sections = self.wanted(sections)?;
        let text = match self.format {
            ReportFormat::Html => page::page(&title, &sections),
            ReportFormat::Md => markdown::text(&blocks(&title, &sections)),
            ReportFormat::Tex => tex::text(&blocks(&title, &sections)),
            ReportFormat::Csv => csv_tables::text(&blocks(&title, &sections)),
        };
        let default = (self.format == ReportFormat::Html).then(|| beside(&self.path));
        let Some(path) = self.out.clone().or(default) else { return Ok(text) };
        replace_file(&path, text.as_bytes()).map_err(Error::file(&path))?;
        note(format_args!("the report is {}", path.display()));
        Ok(String::new())
    }
}

impl Report {
    /// Looks at the gates of the run.
    fn inspect(&self, models: &Models) -> Result<Inspection, Error> {
        let most = self.counterfactual.most_sets();
        self.threads.pool()?.install(|| {
            let run = SavedRun::open(&self.path, self.data_dir.as_deref(), models)?;
            inspect(&run, SplitName::Test, most)
        })
    }

    /// Refuses flags that have no effect on anything but a run.
    fn check_flags_of_runs(&self) -> Result<(), Error> {
        let flags = [
            ("--counterfactual", self.counterfactual.most_sets().is_some()),
            ("--data-dir", self.data_dir.is_some()),
        ];
        match flags.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::Config(format!(
                "{flag} needs a model, which only the directory of a run of moe train has; {} is none",
                self.path.display()
            ))),
        }
    }

    /// The sections that were asked for, in the order of the page.
    fn wanted(&self, sections: Vec<Section>) -> Result<Vec<Section>, Error> {
        let Some(wanted) = &self.sections else { return Ok(sections) };
        let ids: Vec<&str> = sections.iter().map(|section| section.id).collect();
        if let Some(unknown) = wanted.iter().find(|name| !ids.contains(&name.as_str())) {
            return Err(Error::Config(format!(
                "--sections {unknown} is not allowed; this page has {}",
                ids.join(", ")
            )));
        }
        let has = |section: &Section| wanted.iter().any(|name| name == section.id);
        Ok(sections.into_iter().filter(has).collect())
    }
}

/// Where the page about `path` is written.
fn beside(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join("report.html");
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".html");
    name.into()
}
