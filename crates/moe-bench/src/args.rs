//! Arguments that several commands share.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Args, value_parser};
use moe_nn::Models;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tracing_subscriber::filter::LevelFilter;

use crate::config::assignments::{Assignment, Reads};
use crate::config::range::not_utf8;
use crate::config::{Config, DatasetConfig};
use crate::error::Error;
use crate::experiment::saved_run::{SavedRun, SplitName};
use crate::report::document::Format;
use crate::report::progress::ProgressKind;
use crate::study::summary::StudySummary;

/// Arguments for the configuration of an experiment.
#[derive(Debug, Args)]
pub(crate) struct ExperimentArgs {
    /// Built-in configuration: smoke, quick, movielens, jester or book-crossing; quick has one for multi-optdigits and one for
    /// domain-optdigits, of which --dataset chooses one [default: quick]
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Data set; `moe data list` lists them
    #[arg(long)]
    dataset: Option<String>,
    /// Maximum number of epochs
    #[arg(long)]
    epochs: Option<i64>,
}

/// Arguments of the commands that train and write a directory of results.
#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// Directory for the results, which must be new or empty [default: a new one under runs/]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How to print results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// How to show progress on stderr
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
    /// What to log of training on stderr: alarms of each epoch (warn), also epochs (info), also steps (debug)
    #[arg(long, default_value = "off", value_parser = level())]
    pub(crate) log: LevelFilter,
}

/// Arguments for a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long)]
    config: Option<PathBuf>,
    /// Directory with one folder per data set [default: $MOE_DATA_DIR, else the cache directory]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Set a key of the configuration, such as train.epochs=5 or dataset.seed=1; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Arguments of the commands that look at a saved run and its data.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Directory of the run
    run: PathBuf,
    /// Split of the data set to take the rows from
    #[arg(long, alias = "part", value_enum, default_value_t = SplitName::Test)]
    pub(crate) split: SplitName,
    /// Directory with one folder per data set [default: that of the run, else $MOE_DATA_DIR, else the cache directory]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How to print results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    #[command(flatten)]
    threads: Threads,
}

/// Whether other experts are tried for each row of a saved run.
#[derive(Debug, Args)]
pub(crate) struct CounterfactualArgs {
    /// Of a run: also compare the experts of each row with other sets of as many experts, by the loss
    #[arg(long)]
    counterfactual: bool,
    /// Maximum number of sets to compare with; a sample where there are more
    #[arg(
        long, value_name = "COUNT", default_value_t = 256, requires = "counterfactual",
        value_parser = value_parser!(u32).range(1..=1_000_000)
    )]
    sets: u32,
}

impl CounterfactualArgs {
    /// The maximum number of sets, if any are to be tried.
    pub(crate) fn most_sets(&self) -> Option<usize> {
        self.counterfactual.then_some(self.sets as usize)
    }
}

/// Whether routers are compared that had different budgets.
#[derive(Debug, Args)]
pub(crate) struct BudgetArgs {
    /// Of a study: compare routers although they had different budgets
    #[arg(long)]
    pub(crate) unequal_budgets: bool,
}

impl BudgetArgs {
    /// Refuses the comparison of a study's routers that had different budgets, if it is not forced.
    pub(crate) fn check(&self, study: &StudySummary) -> Result<(), Error> {
        if self.unequal_budgets {
            return Ok(());
        }
        study.check_equal_budgets().map_err(|unequal| {
            let problem = format!(
                "{unequal}; continue the study with moe tune, or pass --unequal-budgets to compare them all the same"
            );
            Error::out_dir(&study.study, problem)
        })
    }
}

/// The number of threads.
#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// Number of threads; results do not depend on it [default: all]
    #[arg(long)]
    threads: Option<i64>,
}

/// The number of runs at a time.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Number of runs at a time, which share the threads; results do not depend on it [default: one for each thread]
    #[arg(long)]
    jobs: Option<i64>,
}

impl Jobs {
    /// Pools of threads for the runs at a time: one for each, and no more than there are `runs`.
    pub(crate) fn pools(&self, threads: &Threads, runs: usize) -> Result<Vec<ThreadPool>, Error> {
        const MOST: i64 = 1024;
        let runs = runs.max(1);
        match self.jobs {
            None => threads.pools(threads.pool()?.current_num_threads().min(runs)),
            Some(jobs @ 1..=MOST) => threads.pools(runs.min(jobs as usize)),
            Some(jobs) => {
                let text = format!("--jobs {jobs} is not allowed; it must be from 1 to {MOST}");
                Err(Error::Config(text))
            }
        }
    }
}

/// A name in a list, whose blanks around it do not count.
pub(crate) fn name() -> impl TypedValueParser<Value = String> {
    StringValueParser::new().map(|name| name.trim().to_owned())
}

fn level() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(["off", "warn", "info", "debug"]).try_map(|level| level.parse())
}

impl ExperimentArgs {
    /// The configuration that the arguments ask for, of which the command `reads` something: that of the preset or the file,
    /// else `stored`, else the preset `quick`. `flags` are arguments of that command alone.
    pub(crate) fn config(
        &self,
        stored: Option<&Config>,
        flags: Vec<Assignment>,
        reads: Reads,
        models: &Models,
    ) -> Result<Config, Error> {
        let bases = self.bases(stored, models)?;
        let first = bases.into_iter().next().expect("a preset has a configuration");
        self.changed(first, flags, reads, models)
    }

    /// The configurations that the arguments ask for, as [`ExperimentArgs::config`]: several if the preset has several and
    /// `--dataset` does not choose one.
    pub(crate) fn configs(
        &self,
        flags: &[Assignment],
        reads: Reads,
        models: &Models,
    ) -> Result<Vec<Config>, Error> {
        let bases = self.bases(None, models)?.into_iter();
        let configs = bases.map(|base| self.changed(base, flags.to_vec(), reads, models));
        let mut configs = configs.collect::<Result<Vec<_>, Error>>()?;
        // The data set may have been set.
        configs.dedup_by(|next, one| next.dataset.name == one.dataset.name);
        Ok(configs)
    }

    /// The configurations before they are changed by flags. A preset lacks the routers that `models` does not have.
    fn bases(&self, stored: Option<&Config>, models: &Models) -> Result<Vec<Config>, Error> {
        if let Some(config) = self.config.file() {
            return Ok(vec![config?]);
        }
        let preset = match (&self.preset, stored) {
            (Some(preset), _) => preset,
            (None, Some(stored)) => return Ok(vec![stored.clone()]),
            (None, None) => "quick",
        };
        let mut configs = Config::presets(preset)?;
        configs.iter_mut().for_each(|config| config.retain_routers(|id| models.info(id).is_ok()));
        if let Some(name) = &self.dataset {
            let chosen = configs.iter().position(|config| config.dataset.name == *name);
            configs = vec![configs.swap_remove(chosen.unwrap_or(0))];
        }
        Ok(configs)
    }

    /// A configuration, changed by flags.
    fn changed(
        &self,
        base: Config,
        mut flags: Vec<Assignment>,
        reads: Reads,
        models: &Models,
    ) -> Result<Config, Error> {
        if let Some(name) = &self.dataset {
            flags.push(Assignment::of_flag(format!("--dataset {name}"), "dataset.name", &**name));
        }
        if let Some(epochs) = self.epochs {
            flags.push(Assignment::of_flag(format!("--epochs {epochs}"), "train.epochs", epochs));
        }
        self.config.changed(base, self.dataset.as_deref(), flags, reads, models)
    }
}

impl ConfigArgs {
    /// The configuration of the file, if one is given.
    fn file(&self) -> Option<Result<Config, Error>> {
        self.config.as_deref().map(Config::read)
    }

    /// The configuration of the file or else `default`, changed as by [`ConfigArgs::changed`].
    pub(crate) fn config(
        &self,
        default: Config,
        dataset: Option<&str>,
        flags: Vec<Assignment>,
        reads: Reads,
        models: &Models,
    ) -> Result<Config, Error> {
        let config = self.file().unwrap_or(Ok(default))?;
        self.changed(config, dataset, flags, reads, models)
    }

    /// A configuration, for another data set if `dataset` names one, changed by `flags` and by `--set`.
    ///
    /// # Errors
    /// If the configuration is wrong, two of the arguments say different things about a key, or one has no effect on what
    /// the command `reads`.
    fn changed(
        &self,
        mut config: Config,
        dataset: Option<&str>,
        flags: Vec<Assignment>,
        reads: Reads,
        models: &Models,
    ) -> Result<Config, Error> {
        if let Some(name) = dataset.filter(|name| *name != config.dataset.name) {
            // Options and task weights of another data set do not apply to this one.
            config.dataset = DatasetConfig { name: name.into(), ..DatasetConfig::default() };
            config.train.task_weights.clear();
        }
        let mut assignments = flags;
        if let Some(dir) = &self.data_dir {
            const KEY: &str = "dataset.data_dir";
            let text = dir.to_str().ok_or_else(|| not_utf8(KEY, dir))?;
            assignments.push(Assignment::of_flag(format!("--data-dir {text}"), KEY, text));
        }
        for text in &self.set {
            assignments.push(Assignment::of_set(text)?);
        }
        let config = config.with_all(&assignments)?;
        config.check_effect(&assignments, reads, models)?;
        Ok(config)
    }
}

impl RunArgs {
    /// Calls `work` with the saved run, on the threads asked for.
    pub(crate) fn with_run<T: Send>(
        &self,
        models: &Models,
        work: impl FnOnce(&SavedRun<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let open = || SavedRun::open(&self.run, self.data_dir.as_deref(), models);
        self.threads.pool()?.install(|| work(&open()?))
    }
}

impl Threads {
    /// A pool of that many threads.
    pub(crate) fn pool(&self) -> Result<ThreadPool, Error> {
        self.pools(1).map(|mut pools| pools.remove(0))
    }

    /// A pool for each of `jobs` runs at a time, which share the threads; each has one at least.
    pub(crate) fn pools(&self, jobs: usize) -> Result<Vec<ThreadPool>, Error> {
        const MOST: i64 = 1024;
        if let Some(count) = self.threads.filter(|count| !(1..=MOST).contains(count)) {
            let text = format!("--threads {count} is not allowed; it must be from 1 to {MOST}");
            return Err(Error::Config(text));
        }
        let pool = |count: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(count).build();
            pool.map_err(|error| Error::Config(format!("--threads {count}: {error}")))
        };
        let whole = pool(self.threads.unwrap_or(0) as usize)?;
        if jobs == 1 {
            return Ok(vec![whole]);
        }
        let all = whole.current_num_threads();
        let share = |job: usize| (all * (job + 1) / jobs - all * job / jobs).max(1);
        (0..jobs).map(|job| pool(share(job))).collect()
    }
}
