//! A study in its journal: which trials there are, who works on them, and what they report.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moe_nn::Models;
use serde_json::Value as Json;

use crate::config::Config;
use crate::config::tune::{SamplerKind, TuneConfig};
use crate::error::Error;
use crate::experiment::metadata::Host;
use crate::journal::journal::Journal;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Attributes, Param, State, Study as Kept, Trial, TrialState};
use crate::journal::time;
use crate::study::axis::Axis;
use crate::study::ending::{MOST_DEATHS, ended, fail, fail_and_repeat};
use crate::study::found::Found;
use crate::study::pruner::Curve;
use crate::study::sampler::{Sampler, Seen};
use crate::study::space::{Parameters, ROUTER, Space};
use crate::study::stored::{begin, stored};
use crate::study::trial::{self, ALIVE, FIXED, FOUND, INDEX, SEED, WORKER};
use crate::study::turn::{Turn, fewest, next};
use crate::study::worker_id::WorkerId;

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
    /// It could not run to its end, for this reason.
    Failed(String, Found),
    /// The process ends; the trial is to be run again.
    Interrupted(String),
}

impl Study {
    /// The study in the journal `path`, which is created if there is none. `configure` makes its configuration, from the one
    /// that it has if it exists.
    ///
    /// # Errors
    /// If the journal cannot be read or written, the configuration is wrong, or it differs from that of the study in more
    /// than the number of trials or epochs and the places of data.
    pub(crate) fn open(
        path: &Path,
        models: &Models,
        configure: impl FnOnce(Option<&Config>) -> Result<Config, Error>,
    ) -> Result<Self, Error> {
        let mut journal = Journal::open(path)?;
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

    /// Number of the trials that are to be done, of all routers; fewer are where a number of epochs ends them.
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

    /// Whether all trials have ended.
    pub(crate) fn is_over(&self) -> Result<bool, Error> {
        self.look(|study| {
            let next = next(study, &self.space, self.tune());
            next.is_none() && study.trials.iter().all(|trial| trial.state.is_finished())
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
        let router = known.map(Into::into);
        let router = router.unwrap_or_else(|| fewest(study, &self.space).router);
        let (params, seed) = self.choose(study, &router, index, &fixed);
        let seed = trial::seed(waiting).unwrap_or(seed);
        let id = waiting.id;
        let job =
            Job { id, number: waiting.number, router, parameters: trial::external(&params), seed };
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
        let Some(Turn { router, index }) = next(study, &self.space, self.tune()) else {
            return (Vec::new(), None);
        };
        let (params, seed) = self.choose(study, &router, index, &Parameters::new());
        let (id, number) = (state.next_trial_id(), study.trials.len());
        let job = Job { id, number, router, parameters: trial::external(&params), seed };
        let mut user_attrs = self.own_attrs(seed);
        user_attrs.insert(INDEX.into(), index.into());
        let trial = Box::new(NewTrial { params, user_attrs, ..NewTrial::running() });
        (vec![Operation::CreateTrial { study: study.id, trial }], Some(job))
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

    /// Writes what this process and its machine are.
    pub(crate) fn announce(&self, host: &Host) -> Result<(), Error> {
        let (key, value) = (self.own.key(), serde_json::to_value(host).expect("text and numbers"));
        let operation = Operation::SetStudyUserAttr { study: self.id, key, value };
        self.journal().transaction(|_| Ok((vec![operation], ())))
    }

    /// Writes losses of a trial, and that its worker lives. Returns whether the trial is still that of this process: one that was
    /// taken for dead is not.
    pub(crate) fn report(&self, job: &Job, losses: &[(u64, f64)]) -> Result<bool, Error> {
        self.journal().transaction(|state| {
            if state.studies[self.id].trials[job.number].state != TrialState::Running {
                return Ok((Vec::new(), false));
            }
            let mut operations = intermediate(job, losses);
            let now = time::to_iso(&time::now());
            let (key, value) = (ALIVE.into(), now.into());
            operations.push(Operation::SetTrialUserAttr { trial: job.id, key, value });
            Ok((operations, true))
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
                Outcome::Failed(reason, of) => {
                    found(of);
                    fail(trial, reason)
                }
                Outcome::Interrupted(reason) => fail_and_repeat(study, trial, reason, usize::MAX),
            };
            operations.extend(end);
            Ok((operations, ()))
        })
    }
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
