//! `moe compare`

use clap::Args;
use moe_nn::Models;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{TrainingArgs, name};
use crate::commands::command::Command;
use crate::config::assignments::{Assignment, Reads};
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::{Comparison, RunResult};
use crate::experiment::run_all::run_all;
use crate::output::note;
use crate::report::comparison::comparison;
use crate::report::document::{Block, Report};
use crate::report::format::markdown;
use crate::report::out_dir::OutDir;

/// Train several routers side by side and print a table
#[derive(Debug, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    training: TrainingArgs,
    /// Routers to compare, separated by commas; `moe routers` lists them
    #[arg(long, value_delimiter = ',', value_parser = name())]
    routers: Option<Vec<String>>,
    /// Number of runs per router, each from its own seed
    #[arg(long)]
    seeds: Option<i64>,
}

impl Command for Compare {
    const NAME: &'static str = "compare";

    fn log(&self) -> LevelFilter {
        self.training.log
    }

    fn run(&self, models: &Models) -> Result<String, Error> {
        let mut flags = Vec::new();
        if let Some(routers) = &self.routers {
            let text = format!("--routers {}", routers.join(","));
            flags.push(Assignment::of_flag(text, "run.routers", routers.clone()));
        }
        if let Some(seeds) = self.seeds {
            flags.push(Assignment::of_flag(format!("--seeds {seeds}"), "run.seeds", seeds));
        }
        let mut config = self.training.experiment.config(None, flags, Reads::Comparison, models)?;
        (config.search, config.tune) = Default::default();
        self.training.threads.pool()?.install(|| {
            // A wrong configuration is reported before a directory is made.
            let experiment = Experiment::prepare(&config, models)?;
            self.compare(&experiment)
        })
    }
}

impl Compare {
    fn compare(&self, experiment: &Experiment<'_>) -> Result<String, Error> {
        let config = &experiment.config;
        let name = format!("compare-{}", config.dataset.name);
        let dir = OutDir::create(self.training.out.as_deref(), &name)?;
        dir.claim("config.resolved.toml")?;
        dir.write("config.resolved.toml", &config.to_toml())?;
        // Each finished run is on disk, even if a later one fails.
        let mut keep = |runs: &[RunResult]| dir.write_lines("runs.jsonl", runs);
        let results = run_all(experiment, &mut *self.training.progress.start(), &mut keep)?;
        let report = Report::new(&results, comparison(&results));
        dir.write("results.json", &report.json)?;
        dir.write("report.md", &page(&results, &report))?;
        note(format_args!("results are in {}", dir.path.display()));
        Ok((self.training.format.write)(&report))
    }
}

/// The page `report.md`: the printed report with a title and the configuration.
fn page(results: &Comparison, report: &Report) -> String {
    let routers = results.config.run.routers.join(", ");
    let title = format!("{routers} compared on {}", results.dataset.name);
    let mut blocks = vec![Block::Heading(1, title)];
    blocks.extend_from_slice(&report.blocks);
    blocks.push(Block::Heading(2, "Configuration".into()));
    blocks.push(Block::Code("toml", results.config.to_toml()));
    markdown::text(&blocks)
}
