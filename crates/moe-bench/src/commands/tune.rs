//! `moe tune`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use moe_core::files::replace_file;
use moe_nn::Models;
use rayon::ThreadPool;

use crate::args::{BudgetArgs, ExperimentArgs, Jobs, Threads, name};
use crate::commands::command::Command;
use crate::config::assignments::{Assignment, Reads};
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::metadata::Host;
use crate::experiment::signals::Signals;
use crate::journal::journal::Journal;
use crate::journal::repair::{Dropped, Repair};
use crate::output::note;
use crate::report::document::{Format, Report};
use crate::report::progress::ProgressKind;
use crate::report::study::study as table;
use crate::report::trial_progress::TrialProgress;
use crate::study::study::Study;
use crate::study::summary::StudySummary;
use crate::study::tuned;
use crate::study::worker::{Limits, work};

/// Search for the best parameters of each router
///
/// The study is a file in the journal format of Optuna 5.0: optuna-dashboard shows it, optuna.load_study reads it, and any number
/// of processes, also of other machines that share the file, may work on it. A study that exists is continued; its path is
/// then enough. Its space is the section `search` of the configuration.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// File of the study, which is created if there is none
    study: PathBuf,
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Routers to tune, separated by commas; `moe routers` lists them
    #[arg(long, value_delimiter = ',', value_parser = name())]
    routers: Option<Vec<String>>,
    /// Number of trials of each router; a larger number than before continues a study that is done
    #[arg(long)]
    trials: Option<i64>,
    /// How to choose parameters: random or tpe
    #[arg(long, value_parser = PossibleValuesParser::new(["random", "tpe"]))]
    sampler: Option<String>,
    /// Which trials to stop early: none, median or halving
    #[arg(long, value_parser = PossibleValuesParser::new(["none", "median", "halving"]))]
    pruner: Option<String>,
    /// Seed of the parameters and of the runs
    #[arg(long)]
    seed: Option<i64>,
    #[command(flatten)]
    jobs: Jobs,
    /// Begin no trial after this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Mend a file that a program left damaged, keep the damaged file beside it, and run no trials
    #[arg(long)]
    repair: bool,
    /// Write the best parameters of each router by validation loss as a configuration for moe compare
    #[arg(long, value_name = "FILE")]
    write_best: Option<PathBuf>,
    #[command(flatten)]
    budgets: BudgetArgs,
    #[command(flatten)]
    threads: Threads,
    /// How to print results
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// How to show progress on stderr
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    progress: ProgressKind,
}

impl Command for Tune {
    const NAME: &'static str = "tune";

    fn run(&self, models: &Models) -> Result<String, Error> {
        if self.repair {
            return repaired(&self.study);
        }
        let end = self.end()?;
        let pools = self.jobs.pools(&self.threads, usize::MAX)?;
        let study = Study::open(&self.study, models, |stored| {
            self.experiment.config(stored, self.flags(), Reads::Study, models)
        })?;
        if !study.is_over()? {
            let limits = Limits { end, signals: Signals::catch()? };
            let prepare = || Experiment::prepare(study.space().config(), models);
            let experiment = pools[0].install(prepare)?;
            let threads = pools.iter().map(ThreadPool::current_num_threads).sum();
            study.announce(&Host::here(threads, pools.len()))?;
            let progress = TrialProgress::start(self.progress, study.all(), study.done()?);
            let worked = work(&study, &experiment, &pools, &limits, &progress);
            progress.end();
            worked?;
            if let Some(signal) = limits.signals.caught() {
                let (signal, status) = (signal.name(), signal.exit_status());
                return Err(Error::StudyInterrupted { signal, status, path: self.study.clone() });
            }
        }
        let path = self.study.display().to_string();
        let summary = study.look(|kept| StudySummary::new(path, study.space().config(), kept))?;
        if let Some(file) = &self.write_best {
            self.budgets.check(&summary)?;
            let text = tuned::text(&summary)?;
            replace_file(file, text.as_bytes()).map_err(Error::file(file))?;
            note(format_args!("the best parameters are in {}", file.display()));
        }
        Ok((self.format.write)(&Report::new(&summary, table(&summary))))
    }
}

/// Repairs a study; says what was done.
fn repaired(path: &Path) -> Result<String, Error> {
    let Repair { lines, dropped, damaged } = Journal::repair(path)?;
    let study = path.display();
    let Some(damaged) = damaged else {
        return Ok(format!("{study} is not damaged; it has {lines} lines\n"));
    };
    let mut text = format!(
        "{study} is repaired and has {lines} lines; {} has the old file\n",
        damaged.display()
    );
    for Dropped { line, text: dropped, is_beginning } in dropped {
        let start: String = dropped.chars().filter(|c| !c.is_control()).take(60).collect();
        let what = if is_beginning { "the beginning of line" } else { "line" };
        text += &format!("dropped {what} {line}, which is not an operation: {start}\n");
    }
    Ok(text)
}

impl Tune {
    /// The flags that stand for keys of the configuration.
    fn flags(&self) -> Vec<Assignment> {
        let mut flags = Vec::new();
        if let Some(routers) = &self.routers {
            let text = format!("--routers {}", routers.join(","));
            flags.push(Assignment::of_flag(text, "run.routers", routers.clone()));
        }
        for (flag, value) in [("trials", self.trials), ("seed", self.seed)] {
            flags.extend(value.map(|value| {
                Assignment::of_flag(format!("--{flag} {value}"), &format!("tune.{flag}"), value)
            }));
        }
        for (flag, value) in [("sampler", &self.sampler), ("pruner", &self.pruner)] {
            flags.extend(value.as_ref().map(|value| {
                let key = format!("tune.{flag}");
                Assignment::of_flag(format!("--{flag} {value}"), &key, value.clone())
            }));
        }
        flags
    }

    /// When the last trial may begin.
    fn end(&self) -> Result<Option<Instant>, Error> {
        let Some(seconds) = self.timeout else { return Ok(None) };
        if !(seconds.is_finite() && seconds > 0.0) {
            let text =
                format!("--timeout {seconds} is not allowed; it must be positive and finite");
            return Err(Error::Config(text));
        }
        let time = Duration::try_from_secs_f64(seconds).ok();
        Ok(time.and_then(|time| Instant::now().checked_add(time)))
    }
}
