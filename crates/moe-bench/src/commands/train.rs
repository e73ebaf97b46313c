//! `moe train`

use clap::Args;
use moe_nn::Models;

use crate::args::TrainingArgs;
use crate::commands::command::Command;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::Comparison;
use crate::experiment::train_run::train_run;
use crate::output::note;
use crate::report::card::card;
use crate::report::comparison::comparison;
use crate::report::document::Report;

/// Train one router and save the model
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    training: TrainingArgs,
    /// Router to train; `moe routers` lists them [default: the first of run.routers]
    #[arg(long)]
    router: Option<String>,
    /// Continue the interrupted run in --out
    #[arg(long, requires = "out")]
    resume: bool,
}

impl Command for Train {
    const NAME: &'static str = "train";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let TrainingArgs { out, progress, format, threads, .. } = &self.training;
        let mut config = self.training.config(|config| {
            if let Some(router) = &self.router {
                config.run.routers = vec![router.clone()];
            }
        })?;
        // The saved configuration is the one that runs, also after `--set run.seeds=3`.
        config.run.routers.truncate(1);
        config.run.seeds = 1;
        self.training.start_log();
        threads.pool()?.install(|| {
            let experiment = Experiment::prepare(&config, models)?;
            let mut progress = progress.start();
            let (mut dir, result) =
                train_run(&experiment, out.as_deref(), self.resume, &mut *progress)?;
            dir.set_card(&card(&experiment, &result)?)?;
            dir.finish()?;
            let mut report = Report::new(&result, Vec::new());
            dir.set_result(&report.json)?;
            note(format_args!("the run is in {}", dir.path().display()));
            let runs = vec![result];
            let table = Comparison::new(&experiment.config, &experiment.data, runs);
            report.blocks = comparison(&table);
            Ok((format.write)(&report))
        })
    }
}
