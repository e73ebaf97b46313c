//! `moe train`

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use moe_core::files::whole_name;
use moe_nn::Models;
use tracing_subscriber::filter::LevelFilter;

use crate::args::TrainingArgs;
use crate::commands::command::Command;
use crate::config::Config;
use crate::config::assignments::{Assignment, Reads};
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::inspection::inspect;
use crate::experiment::saved_run::{SavedRun, SplitName};
use crate::experiment::train_run::train_run;
use crate::output::note;
use crate::report::card::card;
use crate::report::document::Report;
use crate::report::html::page;
use crate::report::html::source::Source;
use crate::report::training::training;
use crate::study::stored::config_of_trial;

/// Train one router and save the model
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    training: TrainingArgs,
    /// Router to train; `moe routers` lists them [default: the first of run.routers]
    #[arg(long)]
    router: Option<String>,
    /// Train with the parameters and the seed of a trial of a study of moe tune, such as study.journal#17; other flags may
    /// change its configuration
    #[arg(long, value_name = "STUDY#NUMBER", conflicts_with_all = ["preset", "config", "dataset", "router"])]
    from_trial: Option<String>,
    /// Continue the interrupted run in --out
    #[arg(long, requires = "out")]
    resume: bool,
    /// Save a checkpoint inside an epoch, too, this many minutes after the last one, such as 10 or 0.5; results do not
    /// depend on it
    #[arg(long, value_name = "MINUTES")]
    checkpoint_minutes: Option<f64>,
}

impl Train {
    /// The time between checkpoints inside an epoch.
    fn checkpoint_every(&self) -> Result<Option<Duration>, Error> {
        let Some(minutes) = self.checkpoint_minutes else { return Ok(None) };
        if !(minutes.is_finite() && minutes > 0.0) {
            let text = format!(
                "--checkpoint-minutes {minutes} is not allowed; it must be positive and finite"
            );
            return Err(Error::Config(text));
        }
        Ok(Some(Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX)))
    }
}

/// Writes `report.html` of the finished run in `path`. A page that cannot be made is only a warning: the run is there.
fn write_page(path: &Path, experiment: Experiment<'_>) {
    const PAGE: &str = "report.html";
    let file = path.join(PAGE);
    let written = Source::read(path).and_then(|source| {
        for entry in fs::read_dir(path).map_err(Error::file(path))?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if whole_name(&name) == PAGE && name != PAGE {
                // A process that was killed has left it unfinished.
                let _ = fs::remove_file(entry.path());
            }
        }
        let run = SavedRun::of(path, experiment);
        let found = run.and_then(|run| inspect(&run, SplitName::Test, None));
        page::write(&source.inspected(found), &file)
    });
    match written {
        Ok(()) => note(format_args!("the page about it is {}", file.display())),
        Err(error) => {
            note(format_args!("warning: the page about the run was not written: {error}"))
        }
    }
}

/// The configuration of the trial `STUDY#NUMBER`.
fn trial(text: &str) -> Result<Config, Error> {
    let parts = text.rsplit_once('#');
    let Some((path, number)) = parts.and_then(|(path, number)| Some((path, number.parse().ok()?)))
    else {
        return Err(Error::Config(format!(
            "--from-trial {text}: write the file of the study and the number of the trial, such as study.journal#17"
        )));
    };
    config_of_trial(Path::new(path), number)
}

impl Command for Train {
    const NAME: &'static str = "train";

    fn log(&self) -> LevelFilter {
        self.training.log
    }

    fn run(&self, models: &Models) -> Result<String, Error> {
        let checkpoint_every = self.checkpoint_every()?;
        let TrainingArgs { out, progress, format, threads, .. } = &self.training;
        let router = self.router.as_ref().map(|router| {
            let text = format!("--router {router}");
            Assignment::of_flag(text, "run.routers", vec![router.clone()])
        });
        let flags = router.into_iter().collect();
        let trial = self.from_trial.as_deref().map(trial).transpose()?;
        let arguments = &self.training.experiment;
        let mut config = arguments.config(trial.as_ref(), flags, Reads::Run, models)?;
        // The saved configuration is the one that runs, also after `--set run.seeds=3`.
        config.run.routers.truncate(1);
        config.run.seeds = 1;
        config =
            config.run.routers.first().map_or(Ok(config.clone()), |id| config.for_router(id))?;
        (config.search, config.tune) = Default::default();
        threads.pool()?.install(|| {
            let experiment = Experiment::prepare(&config, models)?;
            let (out, progress) = (out.as_deref(), progress.start());
            let (mut dir, result) =
                train_run(&experiment, out, self.resume, checkpoint_every, &*progress)?;
            dir.set_card(&card(&experiment, &result)?)?;
            dir.finish()?;
            let mut report = Report::new(&result, Vec::new());
            dir.set_result(&report.json)?;
            note(format_args!("the run is in {}", dir.path().display()));
            report.blocks = training(&result, &experiment.config.dataset.name, dir.path());
            write_page(dir.path(), experiment);
            Ok((format.write)(&report))
        })
    }
}
