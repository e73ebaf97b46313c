//! A study and its configuration in a journal.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::config::tune::TuneConfig;
use crate::error::Error;
use crate::experiment::saved_config::difference;
use crate::journal::journal::Journal;
use crate::journal::operation::Operation;
use crate::journal::state::{Direction, State};
use crate::study::space::Space;
use crate::study::trial;

/// The name of a study of `moe tune` in its journal.
pub(crate) const NAME: &str = "moe-tune";

/// The study's configuration as TOML, a user attribute of the study.
const CONFIG: &str = "moe.config";

/// The study of `moe tune` in a journal, with its configuration.
pub(crate) fn stored(state: &State, path: &Path) -> Result<Option<(usize, Config)>, Error> {
    let Some(study) = state.study(NAME) else { return Ok(None) };
    let wrong = |problem: String| Error::out_dir(path, problem);
    let Some(text) = study.user_attrs.get(CONFIG).and_then(Json::as_str) else {
        let problem = format!("its study {NAME} has no {CONFIG}, so moe tune did not make it");
        return Err(wrong(problem));
    };
    let config = Config::parse_saved(text).map_err(|problem| {
        wrong(format!(
            "the configuration of the study, which another version may have written: {problem}"
        ))
    })?;
    Ok(Some((study.id, config)))
}

/// The configuration of a trial of the study in the journal `path`, which must have parameters and a seed.
///
/// # Errors
/// If the journal cannot be read or has no such trial.
pub(crate) fn config_of_trial(path: &Path, number: usize) -> Result<Config, Error> {
    let wrong = |problem: String| Err(Error::out_dir(path, problem));
    let journal = Journal::open(path)?;
    let state = journal.state();
    let Some((id, config)) = stored(state, path)? else {
        return wrong(format!("has no study named {NAME}; moe tune makes one"));
    };
    let trials = &state.studies[id].trials;
    let Some(trial) = trials.get(number) else {
        let last = match trials.len() {
            0 => "none yet".into(),
            count => format!("0 to {}", count - 1),
        };
        return wrong(format!("there is no trial {number}; the study has trials {last}"));
    };
    match (trial::router(trial), trial::seed(trial)) {
        (Some(router), Some(seed)) => {
            Space::stored(&config).trial(&router, &trial::parameters(trial), seed)
        }
        _ => wrong(format!("trial {number} has no router or no seed; moe has not run it")),
    }
}

/// Creates the study if the journal has none, or checks that it is the same and notes how long it is to be.
pub(crate) fn begin(
    state: &State,
    path: &Path,
    config: &Config,
) -> Result<(Vec<Operation>, usize), Error> {
    let keep = |study, config: &Config| {
        let (key, value) = (CONFIG.into(), config.to_toml().into());
        Operation::SetStudyUserAttr { study, key, value }
    };
    let Some((id, stored)) = stored(state, path)? else {
        let study = state.next_study_id();
        let (name, directions) = (NAME.into(), vec![Direction::Minimize]);
        let (key, value) = ("study:metric_names".into(), json!(["validation loss"]));
        let operations = vec![
            Operation::CreateStudy { name, directions },
            // Optuna's attribute for the name of the value.
            Operation::SetStudySystemAttr { study, key, value },
            keep(study, config),
        ];
        return Ok((operations, study));
    };
    let mut same = config.clone();
    let (of_study, given) =
        (stored.tune.clone().unwrap_or_default(), config.tune.clone().unwrap_or_default());
    let TuneConfig { trials, epochs, .. } = of_study;
    let has_other_length = (trials, epochs) != (given.trials, given.epochs);
    same.tune = Some(TuneConfig { trials, epochs, ..given });
    // Another machine may have its data in another place.
    same.dataset.options.data_dir.clone_from(&stored.dataset.options.data_dir);
    same.dataset.options.cache_dir.clone_from(&stored.dataset.options.cache_dir);
    if let Some(difference) = difference(&stored.to_toml(), &same.to_toml()) {
        let problem = format!(
            "the study was started with another configuration; {difference}; continue it with its path alone, or start \
             another study in another file"
        );
        return Err(Error::out_dir(path, problem));
    }
    let operations = match has_other_length {
        true => vec![keep(id, &Config { tune: config.tune.clone(), ..stored })],
        false => Vec::new(),
    };
    Ok((operations, id))
}
