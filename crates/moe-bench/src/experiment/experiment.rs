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
use crate::experiment::metadata::{CostMeter, Host};
use crate::experiment::results::RunResult;
use crate::experiment::routing_result::RoutingResult;
use crate::experiment::run_curve::RunCurve;
use crate::experiment::test_result::TestResult;

/// A checked configuration with its data, ready to train.
#[derive(Debug)]
pub(crate) struct Experiment<'r> {
    /// The configuration with all defaults filled in.
    pub(crate) config: Config,
    /// The configuration of each router that runs, with what `[per_router]` changes.
    routers: BTreeMap<String, Config>,
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
        Self::checked(config, data, models)
    }

    /// Another configuration, whose data set is ignored, with the data of this one.
    ///
    /// # Errors
    /// As [`Experiment::prepare`].
    pub(crate) fn with_config(&self, config: &Config) -> Result<Self, Error> {
        let mut config = completed(config, self.models)?;
        config.dataset = self.config.dataset.clone();
        Self::checked(config, Arc::clone(&self.data), self.models)
    }

    /// The experiment with a complete configuration, which is refused if it does not fit the data.
    fn checked(config: Config, data: Arc<Dataset>, models: &'r Models) -> Result<Self, Error> {
        let of_router = |router: &String| {
            let mut own = config.for_router(router)?;
            own.train = own.train.completed();
            Ok((router.clone(), own))
        };
        let routers = config.run.routers.iter().map(of_router).collect::<Result<_, Error>>()?;
        let experiment = Experiment { config, routers, data, models };
        for router in &experiment.config.run.routers {
            experiment.train_options(router, 0)?;
            experiment.check(router)?;
            if experiment.config.import.is_some() {
                experiment.start(router, experiment.config.run.first_seed)?;
            }
        }
        Ok(experiment)
    }

    /// The configuration of a router that runs.
    pub(crate) fn config_of(&self, router: &str) -> &Config {
        &self.routers[router]
    }

    fn train_options(&self, router: &str, seed: u64) -> Result<TrainOptions, Error> {
        let steps_per_epoch = self.steps_per_epoch(router);
        self.config_of(router).train_options(seed, &self.data.tasks, steps_per_epoch)
    }

    /// Number of training steps per epoch of a router.
    fn steps_per_epoch(&self, router: &str) -> u64 {
        self.data.train.rows().div_ceil(self.config_of(router).train.batch_rows) as u64
    }

    /// The largest number of training steps that a run of a router may take.
    pub(crate) fn most_steps(&self, router: &str) -> u64 {
        self.steps_per_epoch(router) * self.config_of(router).train.epochs as u64
    }

    /// Weight of each task's loss.
    pub(crate) fn task_weights(&self) -> Vec<Real> {
        let options = self.train_options(&self.config.run.routers[0], 0);
        options.expect("checked by `prepare`").task_weights
    }

    /// The model of a router or of an entry without one, such as a baseline.
    ///
    /// # Errors
    /// If the model does not allow K or a parameter.
    pub(crate) fn description(
        &self,
        router: &str,
    ) -> Result<Arc<dyn ModelDescription>, ModelError> {
        let input = self.data.input.clone();
        let settings = self.config_of(router).description(router, input, &self.data.tasks);
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
        let state = TrainState::new(&*model, self.train_options(router, seed)?.optimizer);
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
        let (config, data) = (self.config_of(router), &self.data);
        let meter = CostMeter::start();
        let options = self.train_options(router, seed)?;
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
        let rows = data.train.rows();
        let cost = meter.end(&history, rows, &*model, &data.test, options.batch_rows);
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
            curve: RunCurve::of(&history.epochs),
            seconds: history.train_seconds,
            steps: history.steps,
            steps_per_second: history.steps as f64 / history.train_seconds.max(1e-9),
            cost,
            host: Host::here(rayon::current_num_threads(), 1),
        })
    }
}

/// The configuration with all defaults of its routers and its optimiser, checked as far as that needs no data.
pub(crate) fn completed(config: &Config, models: &Models) -> Result<Config, Error> {
    let mut config = config.clone();
    config.validate()?;
    for router in config.per_router.keys() {
        models.info(router)?;
    }
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
        let ModelConfig { experts, k, .. } = config.for_router(router)?.model;
        let spec = GateSpec { inputs: 1, experts, k, seed: 0, gate: 0 };
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
