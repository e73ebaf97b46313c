//! One configuration with its data: its models, its runs, and what is checked before training.

use std::collections::BTreeMap;
use std::hint::black_box;

use moe_core::Real;
use moe_core::batch::BatchSource;
use moe_data::Dataset;
use moe_nn::{
    Baseline, Model, ModelDescription, Observer, TrainOptions, TrainState, continue_training,
    evaluate, import_weights,
};
use moe_routers::{GateSpec, Registry, RegistryError, RouterInfo, Value};

use crate::config::{Config, ModelConfig};
use crate::error::Error;
use crate::experiment::results::{RoutingResult, RunResult, TestResult};

/// A checked configuration with its data, ready to train.
#[derive(Debug)]
pub(crate) struct Experiment<'r> {
    /// The configuration with all defaults filled in.
    pub(crate) config: Config,
    pub(crate) data: Dataset,
    /// The routers that can be built.
    pub(crate) registry: &'r Registry,
}

impl<'r> Experiment<'r> {
    /// Checks the configuration and loads the data.
    ///
    /// # Errors
    /// If a value is out of range, a router is unknown or cannot be built as configured, parameters are given for an
    /// unknown router, the data cannot be loaded, a baseline does not fit them, or weights cannot be imported.
    pub(crate) fn prepare(config: &Config, registry: &'r Registry) -> Result<Self, Error> {
        let mut config = config.clone();
        config.validate()?;
        let ModelConfig { experts, k, .. } = config.model;
        let spec = GateSpec { inputs: 1, experts, k, seed: 0, gate: 0 };
        for (router, given) in &config.routers {
            // The parameters of a router that does not run are checked, but not K.
            info(registry, router)?.parameters(given)?;
        }
        let baseline = info(registry, &config.run.baseline);
        baseline.map_err(|error| Error::Config(format!("run.baseline: {error}")))?;
        for (i, router) in config.run.routers.iter().enumerate() {
            if config.run.routers[..i].contains(router) {
                return Err(Error::Config(format!("run.routers names \"{router}\" twice")));
            }
            let given = config.routers.get(router).cloned().unwrap_or_default();
            let parameters = info(registry, router)?.check(&spec, &given)?;
            let complete = parameters.values().map(|(name, value)| (name.into(), value.clone()));
            let complete: BTreeMap<String, Value> = complete.collect();
            if !complete.is_empty() {
                config.routers.insert(router.clone(), complete);
            }
        }
        let entry = moe_data::find(&config.dataset.name)?;
        config.dataset.options = entry.resolve(&config.dataset.options)?;
        let data = entry.load(&config.dataset.options)?;
        config.train = config.train.completed();
        let experiment = Experiment { config, data, registry };
        experiment.train_options(0)?;
        check_size(&experiment.config.model, &experiment.data)?;
        for router in &experiment.config.run.routers {
            if let ModelDescription::Bias(bias) = experiment.description(router)? {
                bias.build().map_err(|error| {
                    Error::Config(format!("data set {}: {error}", experiment.data.name))
                })?;
            }
            if experiment.config.import.is_some() {
                experiment.start(router, experiment.config.run.first_seed)?;
            }
        }
        Ok(experiment)
    }

    fn train_options(&self, seed: u64) -> Result<TrainOptions, Error> {
        self.config.train_options(seed, &self.data.tasks, self.steps_per_epoch())
    }

    /// Number of training steps per epoch.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.data.train.rows().div_ceil(self.config.train.batch_rows) as u64
    }

    /// Weight of each task's loss.
    pub(crate) fn task_weights(&self) -> Vec<Real> {
        self.train_options(0).expect("checked by `prepare`").task_weights
    }

    /// The model of a router, or of a baseline.
    ///
    /// # Errors
    /// If the baseline does not allow K or a parameter.
    pub(crate) fn description(&self, router: &str) -> Result<ModelDescription, RegistryError> {
        let mixture = self.config.description(router, self.data.input.clone(), &self.data.tasks);
        ModelDescription::of(mixture)
    }

    /// The model of `router` with the initial weights of `seed`, or those of `[import]`, and the state before the first
    /// epoch.
    ///
    /// # Errors
    /// If the model cannot be built or the weights cannot be imported.
    pub(crate) fn start(
        &self,
        router: &str,
        seed: u64,
    ) -> Result<(Box<dyn Model>, TrainState), Error> {
        let mut model = self.description(router)?.build(self.registry, seed)?;
        if let Some(import) = &self.config.import {
            import_weights(&mut *model, &import.file, &import.map())?;
        }
        let state = TrainState::new(&*model, self.train_options(seed)?.optimizer);
        Ok((model, state))
    }

    /// Trains the model that [`Experiment::start`] made for `router` and `seed`, from its state or a later one, and
    /// tests it.
    ///
    /// # Errors
    /// If training stops.
    pub(crate) fn run(
        &self,
        router: &str,
        seed: u64,
        mut model: Box<dyn Model>,
        state: TrainState,
        observer: &mut dyn Observer,
    ) -> Result<RunResult, Error> {
        let Experiment { config, data, .. } = self;
        let options = self.train_options(seed)?;
        let history =
            continue_training(&mut *model, state, &data.train, &data.val, &options, observer)
                .map_err(|source| Error::Train { router: router.into(), seed, source })?;
        let test = evaluate(&*model, &data.test, &options.task_weights, options.batch_rows);
        Ok(RunResult {
            router: router.into(),
            seed,
            num_experts: config.model.experts,
            k: config.model.k,
            parameters: model.parameter_count(),
            epochs: history.epochs.len(),
            best_epoch: history.best_epoch,
            val_loss: history.best_val_loss,
            test: TestResult::new(&test, &data.tasks),
            routing: RoutingResult::new(&history, &test, config.model.k, data.test.planted()),
            seconds: history.train_seconds,
            steps: history.steps,
            steps_per_second: history.steps as f64 / history.train_seconds.max(1e-9),
        })
    }
}

/// The description of a router of the registry or of a baseline.
pub(crate) fn info(registry: &Registry, id: &str) -> Result<RouterInfo, RegistryError> {
    match (Baseline::find(id), registry.get(id)) {
        (None, Ok(entry)) => Ok(entry.info().clone()),
        (Some(baseline), Err(_)) => Ok(baseline.info()),
        // A user's router with the id of a baseline could not be named.
        (Some(_), Ok(_)) => Err(RegistryError::Taken { id: id.into() }),
        (None, Err(RegistryError::UnknownRouter { id, mut known, .. })) => {
            known.extend(Baseline::ALL.map(|baseline| baseline.id().into()));
            let nearest = moe_core::nearest_name(&id, known.iter().map(String::as_str));
            let nearest = nearest.map(Into::into);
            Err(RegistryError::UnknownRouter { id, nearest, known })
        }
        (None, Err(error)) => Err(error),
    }
}

/// Refuses a model that does not fit into memory, before it is built.
fn check_size(model: &ModelConfig, data: &Dataset) -> Result<(), Error> {
    /// Each weight has its value, two moments, and its values after the last and the best epoch.
    const COPIES: usize = 5;
    let count = |factors: &[usize]| factors.iter().map(|&n| n as f64).product::<f64>();
    let columns = &data.input.columns;
    let ids = columns.iter().map(|column| column.vocabulary).sum();
    let mut weights = count(&[ids, model.embedding_width]);
    let inputs = columns.len() * model.embedding_width + data.input.dense_width();
    let layers = |inputs: usize, hidden: &[usize], outputs: usize| -> f64 {
        [&[inputs], hidden, &[outputs]].concat().windows(2).map(count).sum()
    };
    let expert = layers(inputs, &model.expert_hidden_widths, model.expert_width);
    weights += model.experts as f64 * expert;
    for task in &data.tasks {
        weights += layers(model.expert_width, &model.head_widths, task.kind.outputs());
    }
    let bytes = weights * (COPIES * size_of::<Real>()) as f64;
    let mut room = Vec::<u8>::new();
    let is_there = room.try_reserve_exact(bytes as usize).is_ok();
    // An unused allocation may be optimised away, and then always succeeds.
    black_box(room);
    if is_there {
        return Ok(());
    }
    Err(Error::Config(format!(
        "the model would have {weights:.1e} weights and need {bytes:.1e} bytes in training, more than \
         this machine has; reduce model.experts, expert_width, expert_hidden_widths, embedding_width or head_widths"
    )))
}
