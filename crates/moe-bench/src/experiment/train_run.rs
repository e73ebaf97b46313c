//! Trains one router in a run directory, from the start or from where an interrupted run stopped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use moe_nn::{Models, RunDir, RunDirError, RunInfo, TrainError, TrainState};

use crate::error::Error;
use crate::experiment::checkpoints::Checkpoints;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::{RunOutcome, RunResult};
use crate::experiment::saved_config::check_same;
use crate::report::out_dir::{OutDir, to_json};
use crate::report::progress::Progress;

/// Trains the first router of the configuration from its first seed in `out`, which is a new directory under `runs/`
/// if it is not given. With `resume` the run in `out` is continued. Checkpoints are saved after each epoch, inside an epoch
/// when `checkpoint_every` has passed since the last one, and at a SIGINT or SIGTERM.
///
/// # Errors
/// If training stops, a signal ends it ([`Error::Interrupted`]), or the directory cannot be written or holds another run.
pub(crate) fn train_run(
    experiment: &Experiment<'_>,
    out: Option<&Path>,
    resume: bool,
    checkpoint_every: Option<Duration>,
    progress: &dyn Progress,
) -> Result<(RunDir, RunResult), Error> {
    let config = &experiment.config;
    let (router, seed) = (&config.run.routers[0], config.run.first_seed);
    let (model, start) = experiment.start(router, seed)?;
    let description = experiment.description(router)?;
    let info = RunInfo {
        config: Some(config.to_toml()),
        features: experiment.data.schema().map(to_json),
        model: description.to_json(),
        fold: description.fold(experiment.models.routers())?,
        seed,
    };
    let (mut dir, state) = match out {
        Some(path) if resume => resumed(path, info, start, experiment.models)?,
        _ => {
            let name = format!("train-{}-{router}", config.dataset.name);
            let out = OutDir::create(out, &name)?;
            (RunDir::create(&out.path, info, &start)?, start)
        }
    };
    // Before there is a directory, a signal ends the process: there is nothing to lose.
    let mut checkpoints = Checkpoints::start(checkpoint_every)?;
    progress.begin(1, 0, experiment.most_steps(router));
    let mut watching = progress.begin_run(1, router, seed);
    let mut observer = (&mut dir, (&mut checkpoints, &mut *watching));
    let ended = experiment.run(router, seed, model, state, &mut observer);
    drop(watching);
    let result = match ended {
        Err(Error::Train { source, .. })
            if let TrainError::Interrupted { step, epoch } = *source
                && let Some(signal) = checkpoints.signal() =>
        {
            progress.end();
            let (path, status) = (dir.path().into(), signal.exit_status());
            return Err(Error::Interrupted { signal: signal.name(), status, path, step, epoch });
        }
        result => with_known_cost(result?, &dir),
    };
    let outcome = RunOutcome::Finished(Box::new(result));
    progress.end_run(1, &outcome);
    progress.end();
    let RunOutcome::Finished(result) = outcome else { unreachable!("it is finished") };
    Ok((dir, *result))
}

/// The result with the cost that a finished run has on disk, if it is the same result apart from that: the run is only looked at
/// again, and its directory may be closed to writing.
fn with_known_cost(result: RunResult, dir: &RunDir) -> RunResult {
    let text = fs::read_to_string(dir.path().join("result.json")).unwrap_or_default();
    let Ok(RunResult { cost, host, .. }) = serde_json::from_str(&text) else { return result };
    let known = RunResult { cost, host, ..result.clone() };
    if to_json(&known) == text.trim_end() { known } else { result }
}

/// The run in `path` with its last state; a new run if the old one was stopped before it saved anything.
fn resumed(
    path: &Path,
    info: RunInfo,
    start: TrainState,
    models: &Models,
) -> Result<(RunDir, TrainState), Error> {
    if path.is_dir() && !RunDir::is_run(path) {
        match RunDir::create(path, info, &start) {
            Ok(dir) => return Ok((dir, start)),
            // The directory holds something other than a run; the error of `open` says so best.
            Err(RunDirError::NotEmpty { .. }) => return Ok(RunDir::open(path)?),
            Err(error) => return Err(error.into()),
        }
    }
    let (dir, state) = RunDir::open(path)?;
    let saved = dir.config()?.unwrap_or_default();
    check_same(path, &saved, &info.config.unwrap_or_default(), models)?;
    if dir.seed() != info.seed || dir.model(models)?.to_json() != info.model {
        let problem =
            "is of another model or seed than its own configuration says; it cannot be resumed";
        return Err(Error::out_dir(path.join("manifest.json"), problem));
    }
    Ok((dir, state))
}
