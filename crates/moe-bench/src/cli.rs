use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use moe_routers::Registry;

use crate::commands;
use crate::progress::ProgressKind;
use crate::{Config, DatasetConfig, Error, output};

/// Trains and compares routers for sparse mixtures of experts on CPU.
#[derive(Debug, Parser)]
#[command(name = "moe", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains routers side by side and prints a table
    Compare(CompareArgs),
    /// Trains one router and keeps the model
    Train(TrainArgs),
    /// Lists the routers with their parameters
    Routers,
    /// Says what data sets there are
    #[command(subcommand)]
    Data(DataCommand),
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Lists the data sets
    List,
}

/// What both training commands take.
#[derive(Debug, Args)]
pub(crate) struct SharedArgs {
    /// A configuration that comes with the program: smoke, quick or movielens
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
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// Routers, separated by commas; see `moe routers`
    #[arg(long, value_delimiter = ',')]
    routers: Option<Vec<String>>,
    /// Runs per router
    #[arg(long)]
    seeds: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    /// Router; see `moe routers` [default: the first of run.routers]
    #[arg(long)]
    router: Option<String>,
    /// Continues the interrupted run in --out
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
    /// Markdown
    Md,
}

impl SharedArgs {
    /// The configuration that the flags ask for; `--set` has the last word.
    fn config(&self, flags: impl FnOnce(&mut Config)) -> Result<Config, Error> {
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

    /// A pool with the number of threads asked for.
    fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        const MOST: usize = 1024;
        let threads = self.threads.unwrap_or(0);
        if self.threads == Some(0) || threads > MOST {
            let text = format!("--threads {threads} is not allowed; it must be from 1 to {MOST}");
            return Err(Error::Config(text));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|error| Error::Config(format!("--threads {threads}: {error}")))
    }
}

/// The `moe` command: reads arguments, does the work, prints results to stdout and everything else to stderr.
///
/// The exit status is 0 for success, 2 for a usage or configuration error, 1 for anything else.
pub fn run(args: impl IntoIterator<Item = OsString>, registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with status 0, mistakes to stderr with status 2.
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let printed = execute(cli.command, &registry)
        .and_then(|results| output::print(&results).map_err(Error::file("standard output")));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("error: {error}"));
            ExitCode::from(error.exit_status())
        }
    }
}

fn execute(command: Command, registry: &Registry) -> Result<String, Error> {
    match command {
        Command::Compare(args) => {
            let config = args.shared.config(|config| {
                if let Some(routers) = &args.routers {
                    config.run.routers = routers.clone();
                }
                if let Some(seeds) = args.seeds {
                    config.run.seeds = seeds;
                }
            })?;
            let pool = args.shared.pool()?;
            pool.install(|| commands::compare(&config, registry, &args.shared))
        }
        Command::Train(args) => {
            let mut config = args.shared.config(|config| {
                if let Some(router) = &args.router {
                    config.run.routers = vec![router.clone()];
                }
            })?;
            // What is recorded is what is run, also after `--set run.seeds=3`.
            config.run.routers.truncate(1);
            config.run.seeds = 1;
            let pool = args.shared.pool()?;
            pool.install(|| commands::train(&config, registry, &args.shared, args.resume))
        }
        Command::Routers => Ok(commands::routers(registry)),
        Command::Data(DataCommand::List) => Ok(commands::data_list()),
    }
}
