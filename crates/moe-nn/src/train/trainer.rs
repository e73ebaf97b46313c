use std::time::Instant;

use moe_core::Real;
use moe_core::batch::{Batch, BatchSource, TaskSpec};
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_routers::telemetry::GateSummary;
use moe_routers::{RoutingStats, TrainingLength};

use crate::eval::evaluate::Evaluation;
use crate::eval::evaluate::evaluate;
use crate::models::model::Model;
use crate::optimizer::OptimizerOptions;
use crate::store::weights::{OtherModule, Weights};
use crate::train::gate_health;
use crate::train::gate_health::GateHealth;
use crate::train::gradient_health::GradientHealth;
use crate::train::history::{EpochRecord, History, StopReason};
use crate::train::one_ahead::one_ahead;
use crate::train::step::{StepContext, StepError, StepReport, train_step};
use crate::train::train_state::TrainState;

/// How a model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Seed of shuffles and of all draws in training.
    pub seed: u64,
    /// B.
    pub batch_rows: usize,
    /// Rows that are computed at a time, for batches that do not fit into memory (see [`train_step`]).
    pub micro_batch_rows: Option<usize>,
    /// Whether a thread of its own makes the next batch while the present one is learnt; the result is the same. It is
    /// for sources whose batches take long to make. From columns in memory a batch is made in a hundredth of a step or
    /// less, and where all cores learn that is not worth a thread.
    pub prefetch: bool,
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
            prefetch: false,
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
    model.begin_training(TrainingLength {
        steps_per_epoch: train.rows().div_ceil(options.batch_rows.max(1)) as u64,
        epochs: options.epochs as u64,
    });
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
        let mut run = Epoch {
            number: epoch,
            tasks: train.tasks(),
            options,
            state: &mut state,
            gradients: GradientHealth::default(),
            gates: GateHealth::default(),
        };
        let (train_loss, train_terms) = run.train(model, train, observer)?;
        let gates = run.gate_summaries(model, val);
        let Epoch { gradients, .. } = run;
        state.history.train_seconds += epoch_started.elapsed().as_secs_f64();
        let evaluation = evaluate(model, val, &options.task_weights, options.batch_rows);
        check_validation(&evaluation, train.tasks(), epoch)?;
        state.last = Weights::of(model);
        let idle_parameters = gradients.idle(model);
        gradients.warn(epoch, &idle_parameters);
        let history = &mut state.history;
        gate_health::warn(epoch, &gates, history.epochs.last().map(|record| &record.gates[..]));
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
            gradient_norm: gradients.mean(),
            largest_gradient_norm: gradients.largest(),
            idle_parameters,
            val_loss: evaluation.loss,
            is_best,
            gates,
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
    if history.stopped == Some(StopReason::Fitted) {
        Some(StopReason::Fitted)
    } else if epochs >= options.epochs {
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
    /// From 1.
    number: usize,
    tasks: &'a [TaskSpec],
    options: &'a TrainOptions,
    state: &'a mut TrainState,
    gradients: GradientHealth,
    gates: GateHealth,
}

impl<'a> Epoch<'a> {
    /// Takes all steps; returns the means of the tasks' loss and of every term of the loss.
    fn train(
        &mut self,
        model: &mut dyn Model,
        source: &dyn BatchSource,
        observer: &mut dyn Observer,
    ) -> Result<(f64, Vec<(String, f64)>), TrainError> {
        if let Some(passes) = model.fit(source) {
            return Ok(self.fitted(model, source, passes));
        }
        let TrainOptions { seed, batch_rows, micro_batch_rows, prefetch, .. } = *self.options;
        let order = permutation(source.rows(), seed, "shuffle", self.number as u64);
        let at_a_time = micro_batch_rows.unwrap_or(usize::MAX).max(1);
        let mut batches = order.chunks(batch_rows.max(1)).map(|rows| -> Vec<Batch> {
            rows.chunks(at_a_time).map(|rows| source.batch(rows)).collect()
        });
        let steps = batches.len() as u64;
        let mut learn = |batches: &mut dyn Iterator<Item = Vec<Batch>>| {
            self.steps(model, batches, source.rows(), steps, observer)
        };
        let (loss, mut terms) =
            if prefetch { one_ahead(batches, learn) } else { learn(&mut batches) }?;
        terms.iter_mut().for_each(|term| term.1 /= steps as f64);
        Ok((loss / steps as f64, terms))
    }

    /// Takes a step on each batch, in its parts; returns the sums of the tasks' loss and of every term of the loss.
    fn steps(
        &mut self,
        model: &mut dyn Model,
        batches: &mut dyn Iterator<Item = Vec<Batch>>,
        rows: usize,
        steps: u64,
        observer: &mut dyn Observer,
    ) -> Result<(f64, Vec<(String, f64)>), TrainError> {
        let mut tape = Tape::new();
        let mut loss_sum = 0.0;
        let mut sums: Vec<(String, f64)> = Vec::new();
        for parts in batches {
            let StepReport { loss, terms, gradient_norms, decisions } =
                self.step(&mut tape, model, &parts)?;
            self.gradients.add(&gradient_norms);
            self.gates.add(&parts, &decisions, &mut self.state.memories, rows);
            tracing::debug!(step = self.state.history.steps, loss, "step");
            observer.on_step(self.state.history.steps, steps, loss);
            loss_sum += loss;
            if sums.is_empty() {
                sums = terms;
            } else {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| sum.1 += term.1);
            }
        }
        Ok((loss_sum, sums))
    }

    /// Notes that the model has been fitted in so many passes; returns what [`Epoch::train`] does.
    fn fitted(
        &mut self,
        model: &dyn Model,
        source: &dyn BatchSource,
        passes: u64,
    ) -> (f64, Vec<(String, f64)>) {
        let TrainOptions { task_weights, batch_rows, .. } = self.options;
        self.state.history.steps += passes;
        self.state.history.stopped = Some(StopReason::Fitted);
        let found = evaluate(model, source, task_weights, *batch_rows);
        let terms = self.tasks.iter().zip(task_weights).zip(&found.tasks);
        let terms = terms.map(|((task, &weight), metrics)| {
            (task.name.clone(), f64::from(weight) * metrics.loss())
        });
        (found.loss, terms.collect())
    }

    fn step(
        &mut self,
        tape: &mut Tape,
        model: &mut dyn Model,
        parts: &[Batch],
    ) -> Result<StepReport, TrainError> {
        let at = self.context();
        let TrainState { optimizer, history, .. } = &mut *self.state;
        history.steps += 1;
        let report = train_step(tape, model, optimizer, &at, parts);
        let report = report.map_err(|source| TrainError::Step {
            step: history.steps,
            epoch: self.number,
            source,
        })?;
        for decision in report.decisions.iter().flatten() {
            history.routing.get_or_insert_default().add(&decision.assignments);
        }
        Ok(report)
    }

    /// Of the next step.
    fn context(&self) -> StepContext<'a> {
        StepContext {
            seed: self.options.seed,
            step: self.state.history.steps,
            epoch: self.number as u64 - 1,
            tasks: self.tasks,
            task_weights: &self.options.task_weights,
        }
    }

    /// How each gate did in the steps taken, and on the first rows of `val` in training against use.
    fn gate_summaries(&mut self, model: &dyn Model, val: &dyn BatchSource) -> Vec<GateSummary> {
        let mut gates = self.gates.summaries(&mut self.state.memories);
        if !gates.is_empty() {
            let rows = self.options.batch_rows.clamp(1, val.rows());
            let batch = val.batch(&(0..rows as u32).collect::<Vec<_>>());
            let differences = gate_health::weight_differences(model, &batch, &self.context());
            for (gate, difference) in gates.iter_mut().zip(differences) {
                gate.weight_difference = Some(difference);
            }
        }
        gates
    }
}
