use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Config, DatasetConfig};
use crate::error::Error;
use crate::report::progress::ProgressKind;

/// What both training commands take.
#[derive(Debug, Args)]
pub(crate) struct SharedArgs {
    /// A configuration that comes with the program: smoke, quick, movielens, jester or book-crossing
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    /// A configuration file (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// Data set; see `moe data list`
    #[arg(long)]
    dataset: Option<String>,
    /// Folder that holds one folder per data set [default: $MOE_DATA_DIR, else the cache folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Largest number of epochs
    #[arg(long)]
    epochs: Option<usize>,
    /// Threads; the results do not depend on it [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// Sets a key of the configuration, such as train.learning_rate=1e-3; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Directory for the results; must be new [default: a new one under runs/]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
    /// Logs on stderr what happens: warnings, epochs (info), steps (debug)
    #[arg(long, value_enum, default_value_t = LogLevel::Off)]
    log: LogLevel,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// Routers, separated by commas; see `moe routers`
    #[arg(long, value_delimiter = ',')]
    pub(crate) routers: Option<Vec<String>>,
    /// Runs per router
    #[arg(long)]
    pub(crate) seeds: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// Router; see `moe routers` [default: the first of run.routers]
    #[arg(long)]
    pub(crate) router: Option<String>,
    /// Continues the interrupted run in --out
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Off,
    Warn,
    Info,
    Debug,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned text; `text` says the same
    #[value(alias = "text")]
    Table,
    /// One JSON object
    Json,
    /// Markdown
    Md,
}

impl SharedArgs {
    /// The configuration that the flags ask for; `--set` has the last word.
    pub(crate) fn config(&self, flags: impl FnOnce(&mut Config)) -> Result<Config, Error> {
        let mut config = match (&self.config, &self.preset) {
            (Some(path), _) => Config::read(path)?,
            (None, preset) => Config::preset(preset.as_deref().unwrap_or("quick"))?,
        };
        if let Some(name) = self.dataset.as_ref().filter(|name| **name != config.dataset.name) {
            // Options and task weights of another data set mean nothing for this one.
            config.dataset = DatasetConfig { name: name.clone(), ..DatasetConfig::default() };
            config.train.task_weights.clear();
        }
        if let Some(dir) = &self.data_dir {
            config.dataset.options.data_dir = Some(dir.clone());
        }
        if let Some(epochs) = self.epochs {
            config.train.epochs = epochs;
        }
        flags(&mut config);
        self.set.iter().try_fold(config, |config, assignment| config.with(assignment))
    }

    /// Sends log events to stderr from now on.
    pub(crate) fn start_log(&self) {
        let level = match self.log {
            LogLevel::Off => return,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        // A program around this one may have its own log.
        let _ = log.with_writer(std::io::stderr).try_init();
    }

    /// A pool with the number of threads asked for.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        pool(self.threads)
    }
}

/// A pool with what `--threads` asks for.
pub(crate) fn pool(threads: Option<usize>) -> Result<rayon::ThreadPool, Error> {
    const MOST: usize = 1024;
    let count = threads.unwrap_or(0);
    if threads == Some(0) || count > MOST {
        let text = format!("--threads {count} is not allowed; it must be from 1 to {MOST}");
        return Err(Error::Config(text));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    pool.map_err(|error| Error::Config(format!("--threads {count}: {error}")))
}
