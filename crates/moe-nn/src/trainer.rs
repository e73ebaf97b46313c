use std::time::Instant;

use moe_core::Real;
use moe_core::batch::{Batch, BatchSource, TaskSpec};
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_routers::RoutingStats;

use crate::health::GradientHealth;
use crate::{
    EpochRecord, Evaluation, History, Model, OptimizerOptions, OtherModule, StepContext, StepError,
    StepReport, StopReason, TrainState, Weights, evaluate, train_step,
};

/// How a model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Seed of shuffles and of all draws in training.
    pub seed: u64,
    /// B.
    pub batch_rows: usize,
    /// Rows that are computed at a time, for batches that do not fit into memory (see [`train_step`]).
    pub micro_batch_rows: Option<usize>,
    /// Largest number of epochs.
    pub epochs: usize,
    /// Training stops after so many epochs without a better validation loss.
    pub patience: usize,
    /// Training stops after the epoch in which it has taken so many seconds, those before an interruption included.
    pub max_seconds: Option<f64>,
    /// Weight of each task's loss.
    pub task_weights: Vec<Real>,
    /// The optimiser.
    pub optimizer: OptimizerOptions,
}

impl Default for TrainOptions {
    /// COMET's: batches of 512 rows, patience of 25 epochs. One task.
    fn default() -> Self {
        TrainOptions {
            seed: 0,
            batch_rows: 512,
            micro_batch_rows: None,
            epochs: 100,
            patience: 25,
            max_seconds: None,
            task_weights: vec![1.0],
            optimizer: OptimizerOptions::default(),
        }
    }
}

/// Is told how training goes.
pub trait Observer {
    /// After each step.
    fn on_step(&mut self, _step: u64, _steps_per_epoch: u64, _loss: f64) {}

    /// After each epoch, with everything that is needed to continue from there.
    ///
    /// # Errors
    /// An error stops training.
    fn on_epoch(&mut self, _record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        Ok(())
    }
}

/// An observer that does nothing.
impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        (**self).on_step(step, steps_per_epoch, loss);
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        (**self).on_epoch(record, state)
    }
}

/// Both are told, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        self.0.on_step(step, steps_per_epoch, loss);
        self.1.on_step(step, steps_per_epoch, loss);
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.0.on_epoch(record, state)?;
        self.1.on_epoch(record, state)
    }
}

/// Why training stopped before its end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A step could not be taken.
    #[error("step {step} (epoch {epoch}): {source}")]
    Step {
        /// From 1.
        step: u64,
        /// From 1.
        epoch: usize,
        /// Why.
        source: StepError,
    },
    /// The validation loss is not a finite number.
    #[error(
        "after epoch {epoch}: the validation loss of {term} is {value}; try a smaller learning rate"
    )]
    ValidationNotFinite {
        /// From 1.
        epoch: usize,
        /// The task.
        term: String,
        /// Its loss.
        value: f64,
    },
    /// A saved state is that of another model.
    #[error("the saved state is that of another model: {0}")]
    OtherModel(#[from] OtherModule),
    /// The observer could not do its work.
    #[error("after epoch {epoch}: {message}")]
    Observer {
        /// From 1.
        epoch: usize,
        /// What the observer said.
        message: String,
    },
    /// There is nothing to train or validate on.
    #[error("the {part} part has no rows")]
    EmptyPart {
        /// "training" or "validation".
        part: &'static str,
    },
}

/// Trains `model`, and leaves it with the weights of its best epoch on the validation part.
///
/// # Errors
/// If a part is empty, a step cannot be taken (see [`StepError`]), the validation loss is not finite, or the observer
/// fails.
///
/// # Panics
/// If the model does not fit the data, or there is not one weight per task.
pub fn train(
    model: &mut dyn Model,
    train: &dyn BatchSource,
    val: &dyn BatchSource,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<History, TrainError> {
    let state = TrainState::new(model, options.optimizer.clone());
    continue_training(model, state, train, val, options, observer)
}

/// [`train`], from a state that an observer was shown. The end is the same, to the bit, as without the interruption.
/// The optimiser and its settings are those of the state.
///
/// # Errors
/// As [`train`], or if the state is that of another model.
///
/// # Panics
/// As [`train`].
pub fn continue_training(
    model: &mut dyn Model,
    mut state: TrainState,
    train: &dyn BatchSource,
    val: &dyn BatchSource,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<History, TrainError> {
    for (part, source) in [("training", train), ("validation", val)] {
        if source.rows() == 0 {
            return Err(TrainError::EmptyPart { part });
        }
    }
    state.restore(model)?;
    let seconds_before = state.history.seconds();
    let started = Instant::now();
    loop {
        state.history.stopped = stop_reason(&state.history, options);
        if let Some(reason) = state.history.stopped {
            tracing::info!(?reason, best_epoch = state.history.best_epoch, "training ends");
            break;
        }
        let epoch = state.history.epochs.len() + 1;
        let epoch_started = Instant::now();
        let mut run = Epoch { epoch, tasks: train.tasks(), options, state: &mut state };
        let mut health = GradientHealth::default();
        let (train_loss, train_terms) = run.train(model, train, &mut health, observer)?;
        state.history.train_seconds += epoch_started.elapsed().as_secs_f64();
        let evaluation = evaluate(model, val, &options.task_weights, options.batch_rows);
        check_validation(&evaluation, train.tasks(), epoch)?;
        state.last = Weights::of(model);
        let idle_parameters = health.idle(model);
        health.warn(epoch, &idle_parameters);
        let history = &mut state.history;
        let is_best = evaluation.loss < history.best_val_loss;
        if is_best {
            history.best_epoch = epoch;
            history.best_val_loss = evaluation.loss;
            state.best = state.last.clone();
        }
        let record = EpochRecord {
            epoch,
            steps: history.steps,
            train_loss,
            train_terms,
            gradient_norm: health.mean(),
            largest_gradient_norm: health.largest(),
            idle_parameters,
            val_loss: evaluation.loss,
            is_best,
            experts_per_row: history.routing.as_ref().map_or(0.0, RoutingStats::experts_per_row),
            seconds: seconds_before + started.elapsed().as_secs_f64(),
        };
        let EpochRecord { steps, train_loss, val_loss, is_best, .. } = record;
        tracing::info!(epoch, steps, train_loss, val_loss, is_best, "epoch");
        history.epochs.push(record.clone());
        let observed = observer.on_epoch(&record, &state);
        observed.map_err(|message| TrainError::Observer { epoch, message })?;
    }
    state.best.put_into(model)?;
    Ok(state.history)
}

fn stop_reason(history: &History, options: &TrainOptions) -> Option<StopReason> {
    let epochs = history.epochs.len();
    if epochs >= options.epochs {
        Some(StopReason::Epochs)
    } else if epochs - history.best_epoch >= options.patience.max(1) {
        Some(StopReason::Patience)
    } else if options.max_seconds.is_some_and(|most| history.seconds() >= most) {
        Some(StopReason::Time)
    } else {
        None
    }
}

fn check_validation(
    evaluation: &Evaluation,
    tasks: &[TaskSpec],
    epoch: usize,
) -> Result<(), TrainError> {
    let losses = evaluation.tasks.iter().map(|task| task.loss());
    match losses.zip(tasks).find(|(loss, _)| !loss.is_finite()) {
        None => Ok(()),
        Some((value, task)) => {
            Err(TrainError::ValidationNotFinite { epoch, term: task.name.clone(), value })
        }
    }
}

/// An epoch being trained.
struct Epoch<'a> {
    epoch: usize,
    tasks: &'a [TaskSpec],
    options: &'a TrainOptions,
    state: &'a mut TrainState,
}

impl Epoch<'_> {
    /// Takes all steps; returns the means of the tasks' loss and of every term of the loss.
    fn train(
        &mut self,
        model: &mut dyn Model,
        source: &dyn BatchSource,
        health: &mut GradientHealth,
        observer: &mut dyn Observer,
    ) -> Result<(f64, Vec<(String, f64)>), TrainError> {
        let order = permutation(source.rows(), self.options.seed, "shuffle", self.epoch as u64);
        let batches = order.chunks(self.options.batch_rows.max(1));
        let steps = batches.len() as u64;
        let mut tape = Tape::new();
        let mut loss_sum = 0.0;
        let mut sums: Vec<(String, f64)> = Vec::new();
        for rows in batches {
            let at_a_time = self.options.micro_batch_rows.unwrap_or(rows.len()).max(1);
            let parts: Vec<Batch> = rows.chunks(at_a_time).map(|rows| source.batch(rows)).collect();
            let StepReport { loss, terms, gradient_norms, .. } =
                self.step(&mut tape, model, &parts)?;
            health.add(&gradient_norms);
            tracing::debug!(step = self.state.history.steps, loss, "step");
            observer.on_step(self.state.history.steps, steps, loss);
            loss_sum += loss;
            if sums.is_empty() {
                sums = terms;
            } else {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| sum.1 += term.1);
            }
        }
        sums.iter_mut().for_each(|sum| sum.1 /= steps as f64);
        Ok((loss_sum / steps as f64, sums))
    }

    fn step(
        &mut self,
        tape: &mut Tape,
        model: &mut dyn Model,
        parts: &[Batch],
    ) -> Result<StepReport, TrainError> {
        let TrainState { optimizer, history, .. } = &mut *self.state;
        let at = StepContext {
            seed: self.options.seed,
            step: history.steps,
            epoch: self.epoch as u64 - 1,
            tasks: self.tasks,
            task_weights: &self.options.task_weights,
        };
        history.steps += 1;
        let report = train_step(tape, model, optimizer, &at, parts);
        let report = report.map_err(|source| TrainError::Step {
            step: history.steps,
            epoch: self.epoch,
            source,
        })?;
        for assignments in &report.assignments {
            history.routing.get_or_insert_default().add(assignments);
        }
        Ok(report)
    }
}
