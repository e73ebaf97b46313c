//! Trains one router in a run directory, from the start or from where an interrupted run stopped.

use std::path::Path;
use std::time::Duration;

use moe_nn::{Models, RunDir, RunDirError, RunInfo, TrainError, TrainState};

use crate::config::Config;
use crate::error::Error;
use crate::experiment::checkpoints::Checkpoints;
use crate::experiment::experiment::{Experiment, completed};
use crate::experiment::results::RunResult;
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
    progress: &mut dyn Progress,
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
    progress.begin(1, experiment.steps_per_epoch() * config.train.epochs as u64);
    progress.begin_run(router, seed);
    let mut observer = (&mut dir, (&mut checkpoints, &mut *progress));
    let result = match experiment.run(router, seed, model, state, &mut observer) {
        Err(Error::Train { source, .. })
            if let TrainError::Interrupted { step, epoch } = *source
                && let Some(signal) = checkpoints.signal() =>
        {
            progress.end();
            let (path, status) = (dir.path().into(), signal.exit_status());
            return Err(Error::Interrupted { signal: signal.name(), status, path, step, epoch });
        }
        result => result?,
    };
    progress.end_run(&result);
    progress.end();
    Ok((dir, result))
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
    let saved = as_written_now(&saved, models).unwrap_or(saved);
    let given = info.config.unwrap_or_default();
    if saved != given {
        let mut lines = saved.lines().zip(given.lines());
        let (old, new) = lines.find(|(old, new)| old != new).unwrap_or_default();
        let problem = format!(
            "was started with another configuration; the first difference is `{old}`, now `{new}`; resume with the \
             saved configuration, or start a new run in another directory"
        );
        return Err(Error::out_dir(path, problem));
    }
    if dir.seed() != info.seed || dir.model(models)?.to_json() != info.model {
        let problem =
            "is of another model or seed than its own configuration says; it cannot be resumed";
        return Err(Error::out_dir(path.join("manifest.json"), problem));
    }
    Ok((dir, state))
}

/// The configuration of a saved run as this version saves it from this working directory: with the keys that an earlier version
/// did not have, and with absolute paths.
fn as_written_now(saved: &str, models: &Models) -> Option<String> {
    let mut config = completed(&Config::parse_saved(saved).ok()?, models).ok()?;
    let entry = moe_data::find(&config.dataset.name).ok()?;
    config.dataset.options = entry.resolve(&config.dataset.options).ok()?;
    Some(config.to_toml())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that an earlier version began goes on: it has named its file relative to the directory, and knew fewer keys.
    #[test]
    fn what_an_earlier_version_saved_means_the_same() {
        let text = "[dataset]\nname = \"table\"\n[dataset.table]\nfile = \"Cargo.toml\"\nnumbers = [\"age\"]\n\
                    unknown = \"shared\"\ntargets = [{ column = \"x\", kind = \"binary\" }]\n\
                    [run]\nrouters = [\"hash\"]\nbaseline = \"hash\"\n";
        let models = Models::standard();
        let mut config = completed(&Config::parse(text).unwrap(), &models).unwrap();
        let entry = moe_data::find("table").unwrap();
        config.dataset.options = entry.resolve(&config.dataset.options).unwrap();
        let now = config.to_toml();
        let file = std::path::absolute("Cargo.toml").unwrap();
        assert!(now.contains(file.to_str().unwrap()), "{now}");
        let missing = "missing = [\"\", \"NA\", \"null\"]\n";
        assert!(now.contains(missing), "{now}");
        let parameter = "k-experts = false\n";
        assert!(now.contains(parameter), "{now}");
        let saved = now.replace(missing, "").replace(parameter, "");
        let saved = saved.replace(file.to_str().unwrap(), "Cargo.toml");
        let as_written_now = |saved: &str| super::as_written_now(saved, &models);
        assert_eq!(as_written_now(&saved), Some(now.clone()));
        // Anything else is a difference.
        let other = saved.replace("unknown = \"shared\"", "unknown = \"refuse\"");
        assert_ne!(as_written_now(&other), Some(now));
        assert_eq!(as_written_now("[dataset]\nname = 3\n"), None);
    }
}
