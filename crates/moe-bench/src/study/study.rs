//! A study in its journal: which trials there are, who works on them, and what they report.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moe_nn::Models;
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::config::tune::{SamplerKind, TuneConfig};
use crate::error::Error;
use crate::journal::journal::Journal;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{
    Attributes, Direction, Param, State, Study as Kept, Trial, TrialState,
};
use crate::journal::time;
use crate::study::axis::Axis;
use crate::study::found::Found;
use crate::study::pruner::Curve;
use crate::study::sampler::{Sampler, Seen};
use crate::study::space::{Parameters, ROUTER, Space};
use crate::study::trial::{self, ALIVE, ERROR, FIXED, FOUND, INDEX, RETRY_OF, SEED, WORKER};
use crate::study::worker_id::WorkerId;

/// The name of a study of `moe tune` in its journal.
pub(crate) const NAME: &str = "moe-tune";

/// The study's configuration as TOML, a user attribute of the study.
const CONFIG: &str = "moe.config";

/// A trial whose workers have died this often is not repeated again.
const MOST_DEATHS: usize = 10;

/// A study of which this process runs trials.
#[derive(Debug)]
pub(crate) struct Study {
    journal: Mutex<Journal>,
    id: usize,
    space: Space,
    own: WorkerId,
}

/// A trial that this process has taken.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Its id in the journal.
    id: usize,
    /// Its number in the study.
    pub(crate) number: usize,
    pub(crate) router: String,
    pub(crate) parameters: Parameters,
    /// Seed of its run.
    pub(crate) seed: u64,
}

/// How a trial ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// By itself, with this lowest validation loss.
    Complete(f64, Found),
    /// It was stopped for its losses, of which this is the lowest.
    Pruned(f64, Found),
    /// It could not run to its end.
    Failed(String),
    /// The process ends; the trial is to be run again.
    Interrupted(String),
}

impl Study {
    /// The study in the journal `path`, which is created if there is none. `configure` makes its configuration, from the one
    /// that it has if it exists.
    ///
    /// # Errors
    /// If the journal cannot be read or written, the configuration is wrong, or it differs from that of the study in more
    /// than the number of trials and the places of data.
    pub(crate) fn open(
        path: &Path,
        models: &Models,
        configure: impl FnOnce(Option<&Config>) -> Result<Config, Error>,
    ) -> Result<Self, Error> {
        let mut journal = Journal::open(path)?;
        journal.sync()?;
        let stored = stored(journal.state(), path)?.map(|(_, config)| config);
        let mut config = configure(stored.as_ref())?;
        let entry = moe_data::find(&config.dataset.name)?;
        config.dataset.options = entry.resolve(&config.dataset.options)?;
        config.tune.get_or_insert_default();
        config.validate()?;
        let space = Space::new(&config, models)?;
        let id = journal.transaction(|state| begin(state, path, &config))?;
        Ok(Study { journal: Mutex::new(journal), id, space, own: WorkerId::own() })
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn tune(&self) -> &TuneConfig {
        self.space.config().tune.as_ref().expect("set by `open`")
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` with the study as it now is.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Kept) -> T) -> Result<T, Error> {
        let mut journal = self.journal();
        journal.sync()?;
        Ok(look(&journal.state().studies[self.id]))
    }

    /// Number of the trials that are to be done, of all routers.
    pub(crate) fn all(&self) -> usize {
        self.tune().trials * self.space.routers().len()
    }

    /// Number of the trials that are done, without those that were run again.
    pub(crate) fn done(&self) -> Result<usize, Error> {
        self.look(|study| {
            let repeated = trial::repeated(study);
            let ended = study.trials.iter().filter(|trial| trial.state.is_finished());
            ended.filter(|trial| !repeated.contains(&trial.number)).count()
        })
    }

    /// The next trial, which is this process's from now on: one that waits, or one that follows from the seed of the study and
    /// its index. `None` if all trials have been handed out. Trials of processes that have died wait again first.
    pub(crate) fn take(&self) -> Result<Option<Job>, Error> {
        let mut journal = self.journal();
        journal.sync()?;
        if !self.lost(&journal.state().studies[self.id]).is_empty() {
            journal.transaction(|state| {
                let study = &state.studies[self.id];
                let lost = self.lost(study).into_iter();
                let again = lost.map(|(trial, worker)| {
                    let WorkerId { host, pid, .. } = worker;
                    let reason = format!("its worker, process {pid} on {host}, has died");
                    fail_and_repeat(study, trial, &reason, MOST_DEATHS)
                });
                Ok::<_, Error>((again.flatten().collect(), ()))
            })?;
        }
        journal.transaction(|state| {
            let study = &state.studies[self.id];
            match study.trials.iter().find(|trial| trial.state == TrialState::Waiting) {
                Some(waiting) => Ok(self.adopt(study, waiting)),
                None => Ok(self.begin_next(state, study)),
            }
        })
    }

    /// The trials whose worker has died.
    fn lost<'a>(&self, study: &'a Kept) -> Vec<(&'a Trial, WorkerId)> {
        let now = time::now();
        let running = study.trials.iter().filter(|trial| trial.state == TrialState::Running);
        let with_worker = running.filter_map(|trial| {
            let worker = trial.user_attrs.get(WORKER)?;
            Some((trial, serde_json::from_value::<WorkerId>(worker.clone()).ok()?))
        });
        let is_lost = |trial: &Trial, worker: &WorkerId| {
            let heard = trial.user_attrs.get(ALIVE).and_then(Json::as_str).and_then(time::from_iso);
            let heard = heard.or(trial.datetime_start).unwrap_or(now);
            let silent = (now - heard).num_seconds().try_into().unwrap_or(0);
            worker.is_dead(&self.own, silent)
        };
        with_worker.filter(|(trial, worker)| is_lost(trial, worker)).collect()
    }

    /// Takes a waiting trial.
    fn adopt(&self, study: &Kept, waiting: &Trial) -> (Vec<Operation>, Option<Job>) {
        let fixed = waiting.system_attrs.get(FIXED).and_then(Json::as_object);
        let fixed: Parameters =
            fixed.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let known = fixed.get(ROUTER).and_then(Json::as_str);
        let known = known.filter(|id| self.space.routers().iter().any(|known| known == id));
        // One that waits for anybody has no index of its own.
        let index = waiting.user_attrs.get(INDEX).and_then(Json::as_u64);
        let index = index.unwrap_or(u64::MAX - waiting.number as u64);
        let router = known.map_or_else(|| self.least_tried(study).0, Into::into);
        let (params, seed) = self.choose(study, &router, index, &fixed);
        let seed = trial::seed(waiting).unwrap_or(seed);
        let id = waiting.id;
        let job = Job { id, number: waiting.number, router, parameters: external(&params), seed };
        let state = TrialState::Running;
        let mut operations =
            vec![Operation::SetTrialState { trial: id, state, values: None, time: None }];
        let params = params.into_iter();
        operations.extend(params.map(|(name, param)| Operation::SetTrialParam {
            trial: id,
            name,
            param,
        }));
        let attrs = self.own_attrs(seed).into_iter();
        operations.extend(attrs.map(|(key, value)| Operation::SetTrialUserAttr {
            trial: id,
            key,
            value,
        }));
        (operations, Some(job))
    }

    /// Begins the next trial, if there is one.
    fn begin_next(&self, state: &State, study: &Kept) -> (Vec<Operation>, Option<Job>) {
        let (router, index) = self.least_tried(study);
        let routers = self.space.routers().len() as u64;
        if index / routers >= self.tune().trials as u64 {
            return (Vec::new(), None);
        }
        let (params, seed) = self.choose(study, &router, index, &Parameters::new());
        let (id, number) = (state.next_trial_id(), study.trials.len());
        let job = Job { id, number, router, parameters: external(&params), seed };
        let mut user_attrs = self.own_attrs(seed);
        user_attrs.insert(INDEX.into(), index.into());
        let trial = Box::new(NewTrial { params, user_attrs, ..NewTrial::running() });
        (vec![Operation::CreateTrial { study: study.id, trial }], Some(job))
    }

    /// The router with the fewest trials of `moe`'s own, and the index of its next one.
    fn least_tried(&self, study: &Kept) -> (String, u64) {
        let routers = self.space.routers();
        let mut counts = vec![0; routers.len()];
        for trial in &study.trials {
            let is_repeated = trial.user_attrs.contains_key(RETRY_OF);
            let index = trial.user_attrs.get(INDEX).and_then(Json::as_u64);
            if let Some(index) = index.filter(|_| !is_repeated) {
                counts[index as usize % routers.len()] += 1;
            }
        }
        let least = (0..routers.len()).min_by_key(|&router| counts[router]).expect("routers run");
        (routers[least].clone(), counts[least] * routers.len() as u64 + least as u64)
    }

    /// The parameters of a trial of a router, with the choice of the router, and its seed; `fixed` are not chosen.
    fn choose(
        &self,
        study: &Kept,
        router: &str,
        index: u64,
        fixed: &Parameters,
    ) -> (BTreeMap<String, Param>, u64) {
        let tune = self.tune();
        let mut sampler = Sampler::new(tune.seed, index);
        let seed = sampler.seed();
        let done: Vec<&Trial> = (study.trials.iter())
            .filter(|trial| {
                trial::is_done(trial) && trial::router(trial).as_deref() == Some(router)
            })
            .collect();
        let is_random = tune.sampler == SamplerKind::Random || done.len() < tune.startup_trials;
        let choice = Axis(self.space.suggestion(router, ROUTER).expect("a choice")).distribution();
        let internal = choice.to_internal(&router.into()).expect("one of the choices");
        let choice = Param { internal, distribution: Arc::new(choice) };
        let mut params = BTreeMap::from([(ROUTER.to_owned(), choice)]);
        for (name, suggestion) in self.space.of_router(router) {
            let axis = Axis(suggestion);
            let distribution = axis.distribution();
            let internal = match is_random {
                true => sampler.uniform(axis),
                false => sampler.parzen(axis, &seen(&done, name)),
            };
            let fixed = fixed.get(name).and_then(|value| distribution.to_internal(value));
            let (internal, distribution) = (fixed.unwrap_or(internal), Arc::new(distribution));
            params.insert(name.to_owned(), Param { internal, distribution });
        }
        (params, seed)
    }

    /// The user attributes of a trial that this process takes.
    fn own_attrs(&self, seed: u64) -> Attributes {
        let worker = serde_json::to_value(&self.own).expect("text and numbers");
        Attributes::from_iter([(SEED.into(), seed.into()), (WORKER.into(), worker)])
    }

    /// Writes losses of a trial, and that its worker lives.
    pub(crate) fn report(&self, job: &Job, losses: &[(u64, f64)]) -> Result<(), Error> {
        self.journal().transaction(|_| {
            let mut operations = intermediate(job, losses);
            let now = time::to_iso(&time::now());
            let (key, value) = (ALIVE.into(), now.into());
            operations.push(Operation::SetTrialUserAttr { trial: job.id, key, value });
            Ok((operations, ()))
        })
    }

    /// The curves of the other trials of a trial's router: of those that have ended, and of the others.
    pub(crate) fn others(&self, job: &Job) -> Result<[Vec<Curve>; 2], Error> {
        self.look(|study| {
            let mut curves = [Vec::new(), Vec::new()];
            for trial in &study.trials {
                let is_other = trial.id != job.id && trial.state != TrialState::Fail;
                if is_other && trial::router(trial).as_ref() == Some(&job.router) {
                    let place = usize::from(trial.state != TrialState::Complete);
                    curves[place].push(trial::curve(trial));
                }
            }
            curves
        })
    }

    /// Writes how a trial of this process ended, with its last losses. A trial that was taken for dead is not changed.
    pub(crate) fn finish(
        &self,
        job: &Job,
        losses: &[(u64, f64)],
        outcome: &Outcome,
    ) -> Result<(), Error> {
        self.journal().transaction(|state| {
            let study = &state.studies[self.id];
            let trial = &study.trials[job.number];
            if trial.state != TrialState::Running {
                let number = job.number;
                tracing::warn!(
                    "trial {number} was taken for dead and is run again; its result is not kept"
                );
                return Ok((Vec::new(), ()));
            }
            let mut operations = intermediate(job, losses);
            let mut found = |found: &Found| {
                let value = serde_json::to_value(found).expect("numbers and names");
                let key = FOUND.into();
                operations.push(Operation::SetTrialUserAttr { trial: job.id, key, value });
            };
            let end = match outcome {
                Outcome::Complete(loss, of) => {
                    found(of);
                    vec![ended(job.id, TrialState::Complete, Some(*loss))]
                }
                Outcome::Pruned(loss, of) => {
                    found(of);
                    vec![ended(job.id, TrialState::Pruned, Some(*loss))]
                }
                Outcome::Failed(reason) => fail(trial, reason),
                Outcome::Interrupted(reason) => fail_and_repeat(study, trial, reason, usize::MAX),
            };
            operations.extend(end);
            Ok((operations, ()))
        })
    }
}

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
        return wrong(format!("there is no study of moe tune, whose name is {NAME}"));
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

/// Creates the study if the journal has none, or checks that it is the same and notes the number of its trials.
fn begin(state: &State, path: &Path, config: &Config) -> Result<(Vec<Operation>, usize), Error> {
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
    same.tune.clone_from(&stored.tune);
    let (of_study, given) =
        (stored.tune.clone().unwrap_or_default(), config.tune.clone().unwrap_or_default());
    let is_longer = of_study.trials != given.trials;
    same.tune = Some(TuneConfig { trials: of_study.trials, ..given });
    // Another machine may have its data in another place.
    same.dataset.options.data_dir.clone_from(&stored.dataset.options.data_dir);
    same.dataset.options.cache_dir.clone_from(&stored.dataset.options.cache_dir);
    let (saved, now) = (stored.to_toml(), same.to_toml());
    if saved != now {
        let mut lines = saved.lines().zip(now.lines()).filter(|(old, new)| old != new);
        let (old, new) = lines.next().unwrap_or_default();
        let problem = format!(
            "the study was started with another configuration; the first difference is `{old}`, now `{new}`; continue it \
             with its path alone, or start another study in another file"
        );
        return Err(Error::out_dir(path, problem));
    }
    let operations = match is_longer {
        true => vec![keep(id, &Config { tune: config.tune.clone(), ..stored })],
        false => Vec::new(),
    };
    Ok((operations, id))
}

/// The values of a parameter and the losses of trials.
fn seen(trials: &[&Trial], name: &str) -> Vec<Seen> {
    let seen = trials.iter();
    seen.filter_map(|of| Some((of.params.get(name)?.internal, trial::loss(of)?))).collect()
}

fn intermediate(job: &Job, losses: &[(u64, f64)]) -> Vec<Operation> {
    let losses = losses.iter();
    losses
        .map(|&(epoch, value)| {
            let (trial, step) = (job.id, epoch as i64);
            Operation::SetTrialIntermediate { trial, step, value }
        })
        .collect()
}

fn ended(trial: usize, state: TrialState, loss: Option<f64>) -> Operation {
    Operation::SetTrialState { trial, state, values: loss.map(|loss| vec![loss]), time: None }
}

/// The parameters as a user writes them.
fn external(params: &BTreeMap<String, Param>) -> Parameters {
    params.iter().map(|(name, param)| (name.clone(), param.external())).collect()
}

/// Ends a trial that could not run to its end.
fn fail(trial: &Trial, reason: &str) -> Vec<Operation> {
    let (key, value) = (ERROR.into(), reason.into());
    vec![
        Operation::SetTrialUserAttr { trial: trial.id, key, value },
        ended(trial.id, TrialState::Fail, None),
    ]
}

/// Ends a trial that lost its worker, and lets another one wait that repeats it, unless it is the last of so many attempts.
fn fail_and_repeat(
    study: &Kept,
    trial: &Trial,
    reason: &str,
    most_attempts: usize,
) -> Vec<Operation> {
    let before = |trial: &&Trial| {
        let number = trial.user_attrs.get(RETRY_OF)?.as_u64()?;
        // A trial repeats an earlier one; another one's attribute may say anything.
        study.trials[..trial.number].get(usize::try_from(number).ok()?)
    };
    let attempts = std::iter::successors(Some(trial), before).count();
    if attempts >= most_attempts {
        return fail(
            trial,
            &format!("{reason}; this was attempt {attempts}, and it is not repeated"),
        );
    }
    let mut operations = fail(trial, reason);
    let mut user_attrs = Attributes::from_iter([(RETRY_OF.into(), trial.number.into())]);
    for key in [SEED, INDEX] {
        user_attrs.extend(trial.user_attrs.get(key).map(|value| (key.into(), value.clone())));
    }
    let fixed = external(&trial.params).into_iter().collect::<Attributes>();
    let system_attrs = Attributes::from_iter([(FIXED.into(), fixed.into())]);
    let trial = Box::new(NewTrial { user_attrs, system_attrs, ..NewTrial::waiting() });
    operations.push(Operation::CreateTrial { study: study.id, trial });
    operations
}
