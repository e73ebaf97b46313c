use moe_core::batch::{Batch, BatchSource};
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_routers::RoutingStats;
use moe_routers::telemetry::GateSummary;

use crate::eval::evaluate::evaluate;
use crate::models::model::Model;
use crate::train::error::TrainError;
use crate::train::gate_health::{self, GateHealth};
use crate::train::gradient_health::GradientHealth;
use crate::train::history::{EpochRecord, History, StopReason};
use crate::train::observer::Observer;
use crate::train::options::TrainOptions;
use crate::train::step::{StepContext, StepReport, train_step};
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

/// Means and statistics over the training steps of an epoch.
#[derive(Default)]
pub(crate) struct EpochSteps {
    /// Weighted loss of the tasks.
    loss: f64,
    /// Each term of the loss by name.
    terms: Vec<(String, f64)>,
    gradients: GradientHealth,
    gates: GateHealth,
}

impl<'a> Run<'a> {
    /// Takes the training steps of the next epoch.
    pub(crate) fn train_epoch(
        &self,
        model: &mut dyn Model,
        state: &mut TrainState,
        observer: &mut dyn Observer,
        hook: &mut dyn StepHook,
    ) -> Result<EpochSteps, TrainError> {
        let TrainOptions { seed, batch_rows, micro_batch_rows, .. } = *self.options;
        let epoch = state.history.epochs.len() + 1;
        let order = permutation(self.train.rows(), seed, "shuffle", epoch as u64);
        let batches = order.chunks(batch_rows.max(1));
        let num_steps = batches.len() as u64;
        let mut tape = Tape::new();
        let mut steps = EpochSteps::default();
        for rows in batches {
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
            steps.add(report, state, self.train.rows());
        }
        steps.loss /= num_steps as f64;
        steps.terms.iter_mut().for_each(|term| term.1 /= num_steps as f64);
        Ok(steps)
    }

    /// Fits a model that is not trained by gradient steps; returns `None` for any other. The passes over the split count as
    /// steps.
    pub(crate) fn fit(&self, model: &mut dyn Model, state: &mut TrainState) -> Option<EpochSteps> {
        let TrainOptions { task_weights, batch_rows, .. } = self.options;
        state.history.steps += model.fit(self.train)?;
        state.history.stopped = Some(StopReason::Fitted);
        let found = evaluate(model, self.train, task_weights, *batch_rows);
        let tasks = self.train.tasks().iter().zip(task_weights).zip(&found.tasks);
        let terms = tasks.map(|((task, &weight), metrics)| {
            (task.name.clone(), f64::from(weight) * metrics.loss())
        });
        Some(EpochSteps { loss: found.loss, terms: terms.collect(), ..EpochSteps::default() })
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
        steps: &EpochSteps,
    ) -> Vec<GateSummary> {
        let mut gates = steps.gates.summaries(&mut state.memories);
        if !gates.is_empty() {
            let rows = self.options.batch_rows.clamp(1, self.val.rows());
            let batch = self.val.batch(&(0..rows as u32).collect::<Vec<_>>());
            gate_health::set_weight_differences(&mut gates, model, &batch, &self.next_step(state));
        }
        gates
    }
}

impl EpochSteps {
    /// Adds a step. Until the end of the epoch, the loss and its terms are sums.
    fn add(&mut self, report: StepReport, state: &mut TrainState, rows: usize) {
        let StepReport { loss, terms, gradient_norms, row_ids, decisions } = report;
        self.gradients.add(&gradient_norms);
        self.gates.add(&row_ids, &decisions, &mut state.memories, rows);
        for decision in decisions.iter().flatten() {
            state.history.routing.get_or_insert_default().add(&decision.assignments);
        }
        self.loss += loss;
        if self.terms.is_empty() {
            self.terms = terms;
        } else {
            self.terms.iter_mut().zip(terms).for_each(|(sum, term)| sum.1 += term.1);
        }
    }

    /// The record of the epoch, whose weights `history` already counts as the best if they are. Warns of gradients and gates
    /// that look unhealthy.
    pub(crate) fn into_record(
        self,
        model: &dyn Model,
        history: &History,
        gates: Vec<GateSummary>,
        val_loss: f64,
        seconds: f64,
    ) -> EpochRecord {
        let EpochSteps { loss: train_loss, terms: train_terms, gradients, .. } = self;
        let (epoch, steps) = (history.epochs.len() + 1, history.steps);
        let is_best = history.best_epoch == epoch;
        let idle_parameters = gradients.idle(model);
        gradients.warn(epoch, &idle_parameters);
        gate_health::warn(epoch, &gates, history.epochs.last().map(|record| &record.gates[..]));
        tracing::info!(target: TARGET, epoch, steps, train_loss, val_loss, is_best, "epoch");
        EpochRecord {
            epoch,
            steps,
            train_loss,
            train_terms,
            gradient_norm: gradients.mean(),
            largest_gradient_norm: gradients.largest,
            idle_parameters,
            val_loss,
            is_best,
            gates,
            experts_per_row: history.routing.as_ref().map_or(0.0, RoutingStats::experts_per_row),
            seconds,
        }
    }
}
