//! `moe eval`

use clap::Args;
use moe_routers::Registry;

use crate::args::RunArgs;
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
}

impl Command for Eval {
    const NAME: &'static str = "eval";

    fn run(&self, registry: &Registry) -> Result<String, Error> {
        let result = self
            .run
            .with_run(registry, |run| evaluate(run, self.run.split, self.sweep.as_ref()))?;
        Ok((self.run.format.write)(&Report::new(&result, evaluation(&result))))
    }
}
