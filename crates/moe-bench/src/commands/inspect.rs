//! `moe inspect`

use std::path::PathBuf;

use clap::Args;
use moe_core::files::replace_file;
use moe_nn::Models;

use crate::args::{CounterfactualArgs, RunArgs};
use crate::commands::command::Command;
use crate::error::Error;
use crate::experiment::inspection::inspect;
use crate::report::document::Report;
use crate::report::inspection::inspection;

/// Show how the gates of a trained model route rows
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    counterfactual: CounterfactualArgs,
    /// File for the results [default: stdout]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Command for Inspect {
    const NAME: &'static str = "inspect";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let most = self.counterfactual.most_sets();
        let result = self.run.with_run(models, |run| inspect(run, self.run.split, most))?;
        let text = (self.run.format.write)(&Report::new(&result, inspection(&result)));
        let Some(path) = &self.out else { return Ok(text) };
        replace_file(path, text.as_bytes()).map_err(Error::file(path))?;
        Ok(String::new())
    }
}
