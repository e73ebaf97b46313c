use std::time::Instant;

use moe_core::batch::{Batch, BatchSource};
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_routers::telemetry::GateSummary;

use crate::eval::evaluate::evaluate;
use crate::models::model::Model;
use crate::store::weights::Weights;
use crate::train::clock::Clock;
use crate::train::control::TrainControl;
use crate::train::epoch_progress::EpochProgress;
use crate::train::error::TrainError;
use crate::train::gate_health;
use crate::train::history::StopReason;
use crate::train::observer::Observer;
use crate::train::options::TrainOptions;
use crate::train::step::{StepContext, train_step};
use crate::train::step_hook::StepHook;
use crate::train::train_state::TrainState;

/// Name under which the trainer logs.
pub(crate) const TARGET: &str = "moe_nn::trainer";

/// The data and settings of a training run.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) train: &'a dyn BatchSource,
    pub(crate) val: &'a dyn BatchSource,
    pub(crate) options: &'a TrainOptions,
}

impl<'a> Run<'a> {
    /// Takes the steps of the next epoch, or the rest of them if the state was saved inside it. Where the observer asks for
    /// it, the state is completed and passed on between two steps.
    pub(crate) fn train_epoch(
        &self,
        model: &mut dyn Model,
        state: &mut TrainState,
        clock: &Clock,
        observer: &mut dyn Observer,
        hook: &mut dyn StepHook,
    ) -> Result<EpochProgress, TrainError> {
        let mut since = Instant::now();
        let TrainOptions { seed, batch_rows, micro_batch_rows, .. } = *self.options;
        let epoch = state.history.epochs.len() + 1;
        let order = permutation(self.train.rows(), seed, "shuffle", epoch as u64);
        let batches = order.chunks(batch_rows.max(1));
        let num_steps = batches.len() as u64;
        let new = || EpochProgress::new(num_steps);
        let mut progress = state.in_progress.take().unwrap_or_else(new);
        if progress.of != num_steps {
            return Err(TrainError::OtherEpoch { saved: progress.of, given: num_steps });
        }
        let mut batches = batches.skip(progress.steps() as usize);
        let mut tape = Tape::new();
        loop {
            let control = observer.control();
            if control != TrainControl::Continue {
                progress.train_seconds += since.elapsed().as_secs_f64();
                progress.seconds = clock.seconds();
                state.in_progress = Some(progress);
                save(model, state, observer)?;
                if control == TrainControl::SaveAndStop {
                    return Err(TrainError::Interrupted { step: state.history.steps, epoch });
                }
                progress = state.in_progress.take().unwrap_or_else(new);
                since = Instant::now();
            }
            let Some(rows) = batches.next() else { break };
            let micro_batches: Vec<Batch> = rows
                .chunks(micro_batch_rows.unwrap_or(usize::MAX).max(1))
                .map(|rows| self.train.batch(rows))
                .collect();
            let at = self.next_step(state);
            state.history.steps += 1;
            let step = state.history.steps;
            let optimizer = &mut state.optimizer;
            let report = train_step(&mut tape, model, optimizer, hook, &at, &micro_batches)
                .map_err(|source| TrainError::Step { step, epoch, source })?;
            tracing::debug!(target: TARGET, step, loss = report.loss, "step");
            observer.on_step(step, num_steps, report.loss);
            let TrainState { memories, history, .. } = &mut *state;
            progress.add(report, memories, history, self.train.rows());
        }
        progress.train_seconds += since.elapsed().as_secs_f64();
        Ok(progress)
    }

    /// Fits a model that is not trained by gradient steps; returns `None` for any other. The passes over the split count as
    /// steps.
    pub(crate) fn fit(
        &self,
        model: &mut dyn Model,
        state: &mut TrainState,
    ) -> Option<EpochProgress> {
        let since = Instant::now();
        let TrainOptions { task_weights, batch_rows, .. } = self.options;
        state.history.steps += model.fit(self.train)?;
        state.history.stopped = Some(StopReason::Fitted);
        let found = evaluate(model, self.train, task_weights, *batch_rows);
        let tasks = self.train.tasks().iter().zip(task_weights).zip(&found.tasks);
        let terms = tasks.map(|((task, &weight), metrics)| {
            (task.name.clone(), f64::from(weight) * metrics.loss())
        });
        let train_seconds = since.elapsed().as_secs_f64();
        Some(EpochProgress::fitted(found.loss, terms.collect(), train_seconds))
    }

    /// Context of the next step.
    fn next_step(&self, state: &TrainState) -> StepContext<'a> {
        StepContext {
            seed: self.options.seed,
            step: state.history.steps,
            epoch: state.history.epochs.len() as u64,
            tasks: self.train.tasks(),
            task_weights: &self.options.task_weights,
        }
    }

    /// Summarises the routing of each gate in the steps of the epoch, and how its weights in training differ from those at
    /// inference for the first validation rows.
    pub(crate) fn gate_summaries(
        &self,
        model: &dyn Model,
        state: &mut TrainState,
        progress: &EpochProgress,
    ) -> Vec<GateSummary> {
        let mut gates = progress.gate_summaries(&mut state.memories);
        if !gates.is_empty() {
            let rows = self.options.batch_rows.clamp(1, self.val.rows());
            let batch = self.val.batch(&(0..rows as u32).collect::<Vec<_>>());
            gate_health::set_weight_differences(&mut gates, model, &batch, &self.next_step(state));
        }
        gates
    }
}

/// Completes a state between two steps with the weights of `model`, and passes it to the observer.
fn save(
    model: &dyn Model,
    state: &mut TrainState,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let step = state.history.steps;
    tracing::debug!(target: TARGET, step, "checkpoint");
    state.last = Weights::of(model);
    observer.on_checkpoint(state).map_err(|message| TrainError::Checkpoint { step, message })
}
