//! `moe data`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use moe_data::{Dataset, Entry, FetchOptions, LoadOptions, Origin, Stats};

use crate::config::{Config, DatasetConfig};
use crate::error::Error;
use crate::output::note;

/// What `moe data verify` and `moe data stats` take.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Data set; see `moe data list`
    name: String,
    /// A configuration file (TOML) with the set's options
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder that holds one folder per data set [default: $MOE_DATA_DIR, else the cache folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Sets an option of the data set, such as dataset.min_ratings=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What `moe data fetch` takes.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Data set; see `moe data list`
    name: String,
    /// Folder that holds one folder per data set [default: $MOE_DATA_DIR, else the cache folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Accepts the terms of the data set, which are shown without it
    #[arg(long)]
    accept_licence: bool,
    /// The most bytes of a file
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// A site that has the files under the same names
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// `moe data list`
pub(crate) fn list() -> String {
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
        if !entry.downloads().is_empty() {
            let _ = writeln!(text, "    moe data fetch {}", entry.id);
        }
    }
    text
}

/// `moe data fetch`
pub(crate) fn fetch(args: &FetchArgs) -> Result<String, Error> {
    let entry = moe_data::find(&args.name)?;
    let dir = moe_data::data_dir(args.data_dir.as_deref());
    let dir = dir.ok_or(moe_data::DataError::NoDataDir { dataset: entry.id })?;
    let mut options = FetchOptions { accept_licence: args.accept_licence, ..Default::default() };
    options.mirror = args.mirror.as_deref();
    options.most_bytes = args.max_bytes.unwrap_or(options.most_bytes);
    note(format_args!("terms of {}: {}", entry.id, entry.terms));
    // It is hidden where stderr is no terminal.
    let bar = ProgressBar::no_length();
    bar.set_style(
        ProgressStyle::with_template("{msg} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
            .expect("a good template"),
    );
    let paths = entry.fetch(&dir, &options, &mut |progress| {
        bar.set_message(progress.file.to_owned());
        progress.total.into_iter().for_each(|total| bar.set_length(total));
        bar.set_position(progress.bytes);
    });
    bar.finish_and_clear();
    let lines = paths?.into_iter().map(|path| format!("{}\n", path.display()));
    Ok(lines.collect())
}

/// The set, its options and its rows.
fn load(args: &DataArgs) -> Result<(&'static Entry, LoadOptions, Dataset), Error> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if config.dataset.name != args.name {
        config.dataset = DatasetConfig { name: args.name.clone(), ..DatasetConfig::default() };
    }
    if let Some(dir) = &args.data_dir {
        config.dataset.options.data_dir = Some(dir.clone());
    }
    let config = args.set.iter().try_fold(config, |config, set| config.with(set))?;
    config.validate()?;
    let (entry, options) = (moe_data::find(&args.name)?, config.dataset.options);
    let data = entry.load(&options)?;
    Ok((entry, options, data))
}

/// `moe data verify`: fails if a file or a number is not that of the whole original.
pub(crate) fn verify(args: &DataArgs) -> Result<String, Error> {
    let (entry, options, data) = load(args)?;
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
        text = format!("{} was read; nothing more is known of it\n", entry.id);
    }
    match wrong.is_empty() {
        true => Ok(text),
        false => Err(Error::Differs { id: entry.id, found: text, wrong: wrong.join(", ") }),
    }
}

/// `moe data stats`
pub(crate) fn stats(args: &DataArgs) -> Result<String, Error> {
    let (entry, _, data) = load(args)?;
    let stats = Stats::of(&data);
    let mut text = String::new();
    let parts = stats.rows.map(|(name, rows)| format!("{name} {rows}"));
    let rows = stats.rows.map(|(_, rows)| rows).iter().sum::<usize>();
    let _ = writeln!(text, "{}: {rows} rows ({})", entry.id, parts.join(", "));
    for (name, used, vocabulary) in &stats.ids {
        let _ = writeln!(text, "ids {name}: {used} of {vocabulary} occur");
    }
    for task in &stats.tasks {
        let _ = write!(text, "{}: {} rows", task.name, task.rows);
        if let Some([mean, deviation, least, most]) = task.moments {
            let _ = write!(text, ", mean {mean:.5}, standard deviation {deviation:.5}");
            let _ = write!(text, ", from {least} to {most}");
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

/// What is known of the whole original and how it is here, and the names of what is otherwise.
fn facts(entry: &Entry, stats: &Stats) -> (String, Vec<String>) {
    let measures = stats.measures();
    let (mut text, mut wrong) = (String::new(), Vec::new());
    for &(name, fact) in entry.facts() {
        // Facts are rounded to five places.
        let verdict = match measures.get(name).copied() {
            Some(found) if (found - fact).abs() < 1e-5 => "as here".to_owned(),
            Some(found) => format!("here {found}"),
            None => "not here".to_owned(),
        };
        let _ = writeln!(text, "the original has {name} = {fact}: {verdict}");
        if verdict != "as here" {
            wrong.push(name.to_owned());
        }
    }
    (text, wrong)
}
