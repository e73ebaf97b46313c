//! One configuration with its data: its models, its runs, and what is checked before training.

use std::collections::BTreeMap;
use std::sync::Arc;

use moe_core::Real;
use moe_core::batch::BatchSource;
use moe_data::Dataset;
use moe_nn::{
    DataOrigin, Model, ModelDescription, ModelError, Models, Observer, TrainError, TrainOptions,
    TrainState, continue_training, evaluate, import_weights,
};
use moe_routers::{GateSpec, Value};

use crate::config::{Config, ModelConfig};
use crate::error::Error;
use crate::experiment::results::{RoutingResult, RunResult, TestResult};

/// A checked configuration with its data, ready to train.
#[derive(Debug)]
pub(crate) struct Experiment<'r> {
    /// The configuration with all defaults filled in.
    pub(crate) config: Config,
    pub(crate) data: Arc<Dataset>,
    /// The models that can be built.
    pub(crate) models: &'r Models,
}

impl<'r> Experiment<'r> {
    /// Checks the configuration and loads the data.
    ///
    /// # Errors
    /// If a value is out of range, a router is unknown or cannot be built as configured, parameters are given for an
    /// unknown router, the data cannot be loaded, a baseline does not fit them, or weights cannot be imported.
    pub(crate) fn prepare(config: &Config, models: &'r Models) -> Result<Self, Error> {
        let mut config = completed(config, models)?;
        let entry = moe_data::find(&config.dataset.name)?;
        config.dataset.options = entry.resolve(&config.dataset.options)?;
        let data = Arc::new(entry.load(&config.dataset.options)?);
        Experiment { config, data, models }.checked()
    }

    /// Refuses a configuration that does not fit the data.
    fn checked(self) -> Result<Self, Error> {
        self.train_options(0)?;
        for router in &self.config.run.routers {
            self.check(router)?;
            if self.config.import.is_some() {
                self.start(router, self.config.run.first_seed)?;
            }
        }
        Ok(self)
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

    /// The model of a router or of an entry without one, such as a baseline.
    ///
    /// # Errors
    /// If the model does not allow K or a parameter.
    pub(crate) fn description(
        &self,
        router: &str,
    ) -> Result<Arc<dyn ModelDescription>, ModelError> {
        let settings = self.config.description(router, self.data.input.clone(), &self.data.tasks);
        self.models.describe(settings)
    }

    /// Refuses a model that does not fit the data or into memory, before it is built.
    fn check(&self, router: &str) -> Result<(), Error> {
        self.check_groups(router)?;
        /// Each weight has its value, two moments, and its values after the last and the best epoch.
        const COPIES: usize = 5;
        let description = self.description(router)?;
        let problem = match description.validate(self.models.routers()) {
            Ok(()) => description.check_memory(COPIES, self.models.routers()),
            wrong => wrong,
        };
        problem.map_err(|error| match error {
            ModelError::Router(error) => error.into(),
            ModelError::TooLarge { .. } => Error::Config(format!(
                "{error}; reduce model.experts, expert_width, expert_hidden_widths, embedding_width or head_widths"
            )),
            error => Error::Config(format!("data set {}: {error}", self.data.name)),
        })
    }

    /// Refuses a router that reads planted groups for data that have none.
    fn check_groups(&self, router: &str) -> Result<(), Error> {
        if self.data.groups().is_some() || !self.models.info(router)?.reads_groups {
            return Ok(());
        }
        let with_groups = moe_data::catalog().iter().filter(|entry| entry.groups.is_some());
        let with_groups: Vec<&str> = with_groups.map(|entry| entry.id).collect();
        Err(Error::Config(format!(
            "router {router} needs a data set with planted groups: {}; {} has none",
            with_groups.join(", "),
            self.data.name
        )))
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
        let mut model = self.models.build(&*self.description(router)?, seed)?;
        if let Some(import) = &self.config.import {
            import_weights(&mut *model, &import.file, &import.map())?;
        }
        let state = TrainState::new(&*model, self.train_options(seed)?.optimizer);
        Ok((model, state))
    }

    /// Name of the column of numbers that an error names by its dense value.
    fn column(&self, error: &TrainError) -> Option<String> {
        let DataOrigin::Dense(index) = error.not_finite_cause()?.number()?.origin else {
            return None;
        };
        Some(self.data.schema()?.numbers.get(index)?.name.clone())
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
                .map_err(|source| {
                    let column = self.column(&source);
                    let source = Box::new(source);
                    Error::Train { router: router.into(), seed, source, column }
                })?;
        let test = evaluate(&*model, &data.test, &options.task_weights, options.batch_rows);
        for (task, rows) in data.tasks.iter().zip(&test.non_finite).filter(|(_, rows)| **rows > 0) {
            let (all, task) = (data.test.rows(), &task.name);
            tracing::warn!(
                "router {router}, seed {seed}: the predictions of the task {task} are not finite for {rows} of {all} rows of \
                 the test split"
            );
        }
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
            routing: RoutingResult::new(&history, &test, config.model.k, data.test.groups()),
            seconds: history.train_seconds,
            steps: history.steps,
            steps_per_second: history.steps as f64 / history.train_seconds.max(1e-9),
        })
    }
}

/// The configuration with all defaults of its routers and its optimiser, checked as far as that needs no data.
pub(crate) fn completed(config: &Config, models: &Models) -> Result<Config, Error> {
    let mut config = config.clone();
    config.validate()?;
    let ModelConfig { experts, k, .. } = config.model;
    let spec = GateSpec { inputs: 1, experts, k, seed: 0, gate: 0 };
    for (router, given) in &config.routers {
        // The parameters of a router that does not run are checked, but not K.
        models.info(router)?.parameters(given)?;
    }
    let baseline = models.info(&config.run.baseline);
    baseline.map_err(|error| Error::Config(format!("run.baseline: {error}")))?;
    for (i, router) in config.run.routers.iter().enumerate() {
        if config.run.routers[..i].contains(router) {
            return Err(Error::Config(format!("run.routers names \"{router}\" twice")));
        }
        let given = config.routers.get(router).cloned().unwrap_or_default();
        let parameters = models.info(router)?.check(&spec, &given)?;
        let complete = parameters.values().map(|(name, value)| (name.into(), value.clone()));
        let complete: BTreeMap<String, Value> = complete.collect();
        if !complete.is_empty() {
            config.routers.insert(router.clone(), complete);
        }
    }
    config.train = config.train.completed();
    Ok(config)
}
