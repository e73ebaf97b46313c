//! All runs of a comparison, one after the other.

use moe_nn::Models;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::{Comparison, RunResult};
use crate::report::progress::Progress;

/// Trains every router from every seed and tests them all on the same data.
///
/// # Errors
/// If the configuration is wrong, the data cannot be loaded, or a run fails.
pub fn compare(
    config: &Config,
    models: &Models,
    progress: &mut dyn Progress,
) -> Result<Comparison, Error> {
    run_all(&Experiment::prepare(config, models)?, progress, &mut |_| Ok(()))
}

/// [`compare`] for a prepared experiment. After each run, `keep` receives all results so far.
pub(crate) fn run_all(
    experiment: &Experiment<'_>,
    progress: &mut dyn Progress,
    keep: &mut dyn FnMut(&[RunResult]) -> Result<(), Error>,
) -> Result<Comparison, Error> {
    let config = &experiment.config;
    let runs = config.run.routers.len() * config.run.seeds;
    let steps_per_run = config.run.routers.iter().map(|router| experiment.most_steps(router)).max();
    progress.begin(runs, steps_per_run.unwrap_or(0));
    let mut results = Vec::new();
    for router in &config.run.routers {
        for seed in config.seeds() {
            progress.begin_run(router, seed);
            let (model, state) = experiment.start(router, seed)?;
            let result = experiment.run(router, seed, model, state, &mut *progress)?;
            progress.end_run(&result);
            results.push(result);
            keep(&results)?;
        }
    }
    progress.end();
    Ok(Comparison::new(config, &experiment.data, results))
}
