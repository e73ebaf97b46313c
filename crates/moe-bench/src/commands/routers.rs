//! `moe routers`

use std::fmt::Write;

use clap::Args;
use moe_nn::Models;
use moe_routers::RouterInfo;

use crate::commands::command::Command;
use crate::error::Error;

/// List the routers and baselines with their parameters
#[derive(Debug, Args)]
pub(crate) struct Routers {}

impl Command for Routers {
    const NAME: &'static str = "routers";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let mut text = String::new();
        for entry in models.routers().entries() {
            describe(&mut text, entry.info());
        }
        text += "\nBaselines without a mixture, which can be named like routers:\n";
        for entry in models.entries() {
            describe(&mut text, entry.info());
        }
        Ok(text)
    }
}

/// Id, summary, source and parameters of a router.
fn describe(text: &mut String, info: &RouterInfo) {
    let _ = writeln!(text, "{}\n    {}\n    {}", info.id, info.summary, info.citation);
    for spec in &info.parameters {
        let (name, default, doc, range) = (&spec.name, &spec.default, &spec.doc, &spec.range);
        let _ = writeln!(text, "    {name} = {default}    {doc} ({range})");
    }
}
