//! `moe eval`

use clap::Args;
use moe_nn::Models;

use crate::args::{RunArgs, name};
use crate::commands::command::Command;
use crate::error::Error;
use crate::experiment::evaluation::{SweepRequest, evaluate};
use crate::report::document::Report;
use crate::report::evaluation::evaluation;

/// Evaluate a trained model, optionally with a different K
#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    run: RunArgs,
    /// Evaluate the same weights with other values of k or capacity as well, such as k=1,2,4
    #[arg(long, value_name = "KEY=VALUES")]
    sweep: Option<SweepRequest>,
    /// Metrics beside the default ones, separated by commas, such as f1,mcc; each task has those of its kind
    #[arg(long, value_delimiter = ',', value_name = "METRICS", value_parser = name())]
    metrics: Vec<String>,
}

impl Command for Eval {
    const NAME: &'static str = "eval";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let Eval { run: args, sweep, metrics } = self;
        let result =
            args.with_run(models, |run| evaluate(run, args.split, sweep.as_ref(), metrics))?;
        Ok((self.run.format.write)(&Report::new(&result, evaluation(&result))))
    }
}
