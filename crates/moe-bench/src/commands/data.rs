//! `moe data`

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use moe_data::{DataError, Dataset, Entry, FetchOptions, LoadOptions, Origin, Stats};
use moe_nn::Models;

use crate::args::ConfigArgs;
use crate::commands::command::Command;
use crate::config::Config;
use crate::config::assignments::{Assignment, Reads};
use crate::error::Error;
use crate::output::note;
use crate::report::progress::{Meter, ProgressKind};

/// List, download and inspect data sets
#[derive(Debug, Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the data sets
    List,
    /// Download the files of a data set from their publisher
    Fetch(FetchArgs),
    /// Check that the files of a data set are the originals
    Verify(DataArgs),
    /// Show row counts, ids and targets of a data set
    Stats(DataArgs),
}

/// Arguments of `moe data verify` and `moe data stats`.
#[derive(Debug, Args)]
struct DataArgs {
    /// Data set; `moe data list` lists them
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Arguments of `moe data fetch`.
#[derive(Debug, Args)]
struct FetchArgs {
    /// Data set; `moe data list` lists them
    name: String,
    /// Directory with one folder per data set [default: $MOE_DATA_DIR, else the cache directory]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Accept the terms of the data set, which are shown without it
    #[arg(long)]
    accept_licence: bool,
    /// Maximum size of a file
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Download from another site that has the files under the same names
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

impl Command for Data {
    const NAME: &'static str = "data";

    fn run(&self, models: &Models) -> Result<String, Error> {
        match &self.action {
            Action::List => Ok(list()),
            Action::Fetch(args) => fetch(args),
            Action::Verify(args) => verify(args, models),
            Action::Stats(args) => stats(args, models),
        }
    }
}

fn list() -> String {
    let mut text = String::new();
    for entry in moe_data::catalog() {
        let origin = match entry.origin {
            Origin::Embedded => "embedded".into(),
            Origin::Generated => "generated".into(),
            Origin::Files { folder, files, .. } => format!("folder {folder}: {files}"),
            _ => String::new(),
        };
        let _ = writeln!(text, "{}\n    {}\n    {origin}", entry.id, entry.summary);
        let _ = writeln!(text, "    options: {}\n    {}", entry.options().join(", "), entry.terms);
        if let Some(groups) = entry.groups {
            let _ = writeln!(text, "    planted groups: the {groups} of each row");
        }
        if !entry.downloads().is_empty() {
            let _ = writeln!(text, "    moe data fetch {}", entry.id);
        }
    }
    text
}

fn fetch(args: &FetchArgs) -> Result<String, Error> {
    let entry = moe_data::find(&args.name)?;
    let dir = moe_data::data_dir(args.data_dir.as_deref());
    let dir = dir.ok_or(DataError::NoDataDir { dataset: entry.id })?;
    let mut options = FetchOptions { accept_licence: args.accept_licence, ..Default::default() };
    options.mirror = args.mirror.as_deref();
    options.most_bytes = args.max_bytes.unwrap_or(options.most_bytes);
    note(format_args!("terms of {}: {}", entry.id, entry.terms));
    let bar = "{msg} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let meter = Meter::start(ProgressKind::Auto, bar);
    let paths = entry.fetch(&dir, &options, &mut |progress| {
        meter.bar.set_message(progress.file.to_owned());
        progress.total.into_iter().for_each(|total| meter.bar.set_length(total));
        meter.bar.set_position(progress.bytes);
    });
    meter.bar.finish_and_clear();
    let lines = paths?.into_iter().map(|path| format!("{}\n", path.display()));
    Ok(lines.collect())
}

/// Loads a data set; returns its entry in the catalog, its options and its rows.
fn load(args: &DataArgs, models: &Models) -> Result<(&'static Entry, LoadOptions, Dataset), Error> {
    let name = &*args.name;
    let flags = vec![Assignment::of_flag(name.into(), "dataset.name", name)];
    let config = args.config.config(Config::default(), Some(name), flags, Reads::Data, models)?;
    config.validate()?;
    let (entry, options) = (moe_data::find(name)?, config.dataset.options);
    let data = entry.load(&options)?;
    Ok((entry, options, data))
}

/// Fails if a file or a fact differs from the original.
fn verify(args: &DataArgs, models: &Models) -> Result<String, Error> {
    let (entry, options, data) = load(args, models)?;
    let (mut text, mut wrong) = (String::new(), Vec::new());
    for (path, is_original) in entry.check_files(options.data_dir.as_deref())? {
        let verdict = if is_original { "the original" } else { "not the original" };
        let _ = writeln!(text, "{}: {verdict}", path.display());
        if !is_original {
            wrong.push(path.display().to_string());
        }
    }
    let (facts, others) = facts(entry, &Stats::of(&data));
    text += &facts;
    wrong.extend(others);
    if text.is_empty() {
        text = format!("{} can be read; there are no sums or facts to compare it with\n", entry.id);
    }
    if wrong.is_empty() {
        Ok(text)
    } else {
        Err(Error::Differs { id: entry.id, found: text, wrong: wrong.join(", ") })
    }
}

fn stats(args: &DataArgs, models: &Models) -> Result<String, Error> {
    let (entry, _, data) = load(args, models)?;
    let stats = Stats::of(&data);
    let mut text = String::new();
    let splits = stats.rows.map(|(name, rows)| format!("{name} {rows}"));
    let rows = stats.rows.map(|(_, rows)| rows).iter().sum::<usize>();
    let _ = writeln!(text, "{}: {rows} rows ({})", entry.id, splits.join(", "));
    if let (Some(what), Some(least)) = (entry.groups, stats.groups.iter().min()) {
        let most = stats.groups.iter().max().expect("there is a least one");
        let size = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let count = stats.groups.len();
        let _ = writeln!(text, "planted groups: {count}, the {what} of each row, {size} rows each");
    }
    for (name, used, vocabulary) in &stats.ids {
        let _ = writeln!(text, "ids {name}: {used} of {vocabulary} occur");
    }
    for task in &stats.tasks {
        let _ = write!(text, "{}: {} rows", task.name, task.rows);
        if let Some([mean, deviation, least, most]) = task.moments {
            let _ = write!(text, ", mean {mean:.5}, standard deviation {deviation:.5}");
            let _ = write!(text, ", from {least} to {most}");
        }
        if task.missing > 0 {
            let _ = write!(text, "; {} rows have no label", task.missing);
        }
        text.push('\n');
        let width = task.counts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, count) in &task.counts {
            let share = 100.0 * *count as f64 / task.rows as f64;
            let _ = writeln!(text, "    {name:width$} {count:>9} {share:>5.1} %");
        }
    }
    text += &facts(entry, &stats).0;
    Ok(text)
}

/// Compares the facts known of the original with the data: a line per fact, and the names of those that differ.
fn facts(entry: &Entry, stats: &Stats) -> (String, Vec<String>) {
    let measures = stats.measures();
    let (mut text, mut wrong) = (String::new(), Vec::new());
    for &(name, fact) in entry.facts() {
        // Facts are rounded to five places.
        let verdict = match measures.get(name).copied() {
            Some(found) if (found - fact).abs() < 1e-5 => "the same here".to_owned(),
            Some(found) => format!("here {found}"),
            None => "missing here".to_owned(),
        };
        let _ = writeln!(text, "the original has {name} = {fact}: {verdict}");
        if verdict != "the same here" {
            wrong.push(name.to_owned());
        }
    }
    (text, wrong)
}
