//! `moe compare`

use std::path::PathBuf;

use clap::Args;
use moe_nn::Models;
use rayon::ThreadPool;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Jobs, TrainingArgs, name};
use crate::commands::command::Command;
use crate::config::assignments::{Assignment, Reads};
use crate::error::Error;
use crate::experiment::comparison_dir::{ComparisonDir, folder};
use crate::experiment::experiment::Experiment;
use crate::experiment::metadata::Host;
use crate::experiment::results::{Comparison, DivergedRun, RunOutcome};
use crate::experiment::run_all::Runs;
use crate::experiment::signals::Signals;
use crate::output::note;
use crate::report::comparison::comparison;
use crate::report::document::{Block, Report};
use crate::report::format::markdown;
use crate::report::glance::glance;
use crate::report::html::page;
use crate::report::html::source::Source;
use crate::report::progress::Progress;

/// Train several routers side by side and print a table
///
/// The preset quick is about two data sets: it prints a table for each, and the directory of results has one for each in it.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    training: TrainingArgs,
    /// Routers to compare, separated by commas; `moe routers` lists them
    #[arg(long, value_delimiter = ',', value_parser = name())]
    routers: Option<Vec<String>>,
    /// Number of runs per router, each from its own seed
    #[arg(long)]
    seeds: Option<i64>,
    /// Continue the interrupted comparison in --out: train the runs that it lacks
    #[arg(long, requires = "out")]
    resume: bool,
    /// Print all columns, in lines of any length
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    jobs: Jobs,
}

impl Command for Compare {
    const NAME: &'static str = "compare";

    fn log(&self) -> LevelFilter {
        self.training.log
    }

    fn run(&self, models: &Models) -> Result<String, Error> {
        let mut flags = Vec::new();
        if let Some(routers) = &self.routers {
            let text = format!("--routers {}", routers.join(","));
            flags.push(Assignment::of_flag(text, "run.routers", routers.clone()));
        }
        if let Some(seeds) = self.seeds {
            flags.push(Assignment::of_flag(format!("--seeds {seeds}"), "run.seeds", seeds));
        }
        let mut configs = self.training.experiment.configs(&flags, Reads::Comparison, models)?;
        for config in &mut configs {
            (config.search, config.tune) = Default::default();
        }
        // The configurations have not been checked yet.
        let most = configs.iter().map(Runs::count).max().unwrap_or(1);
        let pools = self.jobs.pools(&self.training.threads, most)?;
        // A wrong configuration is reported before a directory is made.
        let prepare = |config| Experiment::prepare(config, models);
        let prepare = || configs.iter().map(prepare).collect::<Result<Vec<_>, Error>>();
        let experiments = pools[0].install(prepare)?;
        self.compare_all(&experiments, &pools)
    }
}

/// A comparison that is to be made: its directory, and the runs that it has.
type Begun = (ComparisonDir, Vec<RunOutcome>);

impl Compare {
    /// Makes one comparison after the other; what they print.
    fn compare_all(
        &self,
        experiments: &[Experiment<'_>],
        pools: &[ThreadPool],
    ) -> Result<String, Error> {
        let (folder, begun) = self.begin(experiments)?;
        // Before there is a directory, a signal ends the process: there is nothing to lose.
        let signals = Signals::catch()?;
        let progress = self.training.progress.start();
        let count = |experiments: &[Experiment<'_>]| {
            experiments.iter().map(|experiment| Runs::count(&experiment.config)).sum::<usize>()
        };
        let mut texts = Vec::new();
        for (i, (experiment, begun)) in experiments.iter().zip(begun).enumerate() {
            let text = self.compare(experiment, pools, begun, &signals, &*progress);
            texts.push(text.map_err(|error| match (error, &folder) {
                (Error::ComparisonInterrupted { signal, status, finished, .. }, Some(folder)) => {
                    let (path, runs) = (folder.clone(), count(experiments));
                    let finished = finished + count(&experiments[..i]);
                    Error::ComparisonInterrupted { signal, status, path, finished, runs }
                }
                (error, _) => error,
            })?);
        }
        Ok(texts.join("\n"))
    }

    /// The directories of the comparisons, and the one that they are in, if there are several.
    fn begin(
        &self,
        experiments: &[Experiment<'_>],
    ) -> Result<(Option<PathBuf>, Vec<Begun>), Error> {
        let out = self.training.out.as_deref();
        let name = |experiment: &Experiment<'_>| experiment.config.dataset.name.clone();
        let names: Vec<String> = experiments.iter().map(name).collect();
        let folder = match names.len() {
            1 => None,
            _ => Some(folder(out, self.resume, &names)?),
        };
        let begin = |(experiment, name): (&Experiment<'_>, &String)| {
            let own = folder.as_ref().map(|folder| folder.join(name));
            match own.as_deref().or(out) {
                Some(path) if self.resume => {
                    ComparisonDir::resume(path, &experiment.config, experiment.models)
                }
                out => Ok((ComparisonDir::create(out, &experiment.config)?, Vec::new())),
            }
        };
        let begun = experiments.iter().zip(&names).map(begin).collect::<Result<_, Error>>()?;
        Ok((folder, begun))
    }

    fn compare(
        &self,
        experiment: &Experiment<'_>,
        pools: &[ThreadPool],
        (dir, finished): Begun,
        signals: &Signals,
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let config = &experiment.config;
        // Each finished run is on disk, even if a later one fails.
        let mut keep = |outcomes: &[&RunOutcome]| dir.save(outcomes);
        let runs = Runs::new(experiment, pools, Some(signals));
        let outcomes = runs.all(finished, progress, &mut keep)?;
        let (finished, runs) = (outcomes.len(), Runs::count(config));
        if let Some(signal) = signals.caught().filter(|_| finished < runs) {
            let (path, status) = (dir.dir.path.clone(), signal.exit_status());
            let signal = signal.name();
            return Err(Error::ComparisonInterrupted { signal, status, path, finished, runs });
        }
        let threads = pools.iter().map(ThreadPool::current_num_threads).sum();
        let host = Host::here(threads, pools.len());
        let results = Comparison::new(config, &experiment.data, host, outcomes);
        let mut report = Report::new(&results, comparison(&results));
        dir.dir.write("results.json", &report.json)?;
        dir.dir.write("report.md", &markdown_page(&results, &report))?;
        if self.training.format.is_for_terminal() && !self.wide {
            report.blocks = glance(&results);
        }
        note(format_args!("results are in {}", dir.dir.path.display()));
        let path = dir.dir.path.join("report.html");
        let source = Source::Comparison(Box::new(results));
        page::write(&source, &path)?;
        note(format_args!("the page about them is {}", path.display()));
        let Source::Comparison(results) = source else { unreachable!("it is a comparison") };
        match results.diverged.first().filter(|_| results.runs.is_empty()) {
            Some(DivergedRun { router, seed, error }) => Err(Error::AllDiverged {
                runs,
                first: format!("router {router}, seed {seed}: {error}"),
            }),
            None => Ok((self.training.format.write)(&report)),
        }
    }
}

/// The page `report.md`: the printed report with a title and the configuration.
fn markdown_page(results: &Comparison, report: &Report) -> String {
    let routers = results.config.run.routers.join(", ");
    let title = format!("{routers} compared on {}", results.dataset.name);
    let mut blocks = vec![Block::Heading(1, title)];
    blocks.extend_from_slice(&report.blocks);
    blocks.push(Block::Heading(2, "Configuration".into()));
    blocks.push(Block::Code("toml", results.config.to_toml()));
    markdown::text(&blocks)
}
