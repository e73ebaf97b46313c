use moe_core::batch::{Batch, TaskSpec};
use moe_core::dispatch::Assignments;
use moe_core::kernel::in_pool;
use moe_core::tape::{Gradients, Tape, Var};
use moe_core::{Pass, Real, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{AuxLoss, Observed, Routing};

use crate::models::model::Model;
use crate::optimizer::optimizer::{GradientNorms, Optimizer};
use crate::train::error::StepError;
use crate::train::task_loss::task_loss;

/// Report of a training step, with values from before its update.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Weighted loss of the tasks.
    pub loss: f64,
    /// Each term of the loss by name: tasks (weighted), then the auxiliary losses of each gate, such as
    /// `gate 0 load-balance`.
    pub terms: Vec<(String, f64)>,
    /// Norms of the gradients, before clipping.
    pub gradient_norms: GradientNorms,
    /// The decision of each gate, for each micro-batch.
    pub decisions: Vec<Vec<Decision>>,
}

/// A [`Routing`] after its tape has been cleared: the arguments of
/// [`GateStats::add`](moe_routers::telemetry::GateStats::add).
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: the weight of each (row, expert) pair.
    pub weights: Tensor,
    /// Values that the router reports, by name.
    pub telemetry: Vec<(&'static str, f64)>,
}

/// Position in a training run, and its objective.
#[derive(Clone, Copy, Debug)]
pub struct StepContext<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// Number of steps taken before this one.
    pub step: u64,
    /// Number of epochs completed before this one.
    pub epoch: u64,
    /// The tasks.
    pub tasks: &'a [TaskSpec],
    /// Weight of the loss of each task.
    pub task_weights: &'a [Real],
}

/// Takes one training step on a batch, which is given as one or more micro-batches that are computed one after the other.
/// The tape is cleared and can be reused for the next step.
///
/// The gradients are those of the whole batch: the loss of a task is the mean over the rows of all micro-batches that
/// count, and an auxiliary loss is the mean over the micro-batches, weighted by rows. Apart from rounding, the division
/// into micro-batches therefore only matters for routers that look at more than one row.
///
/// # Errors
/// If a term of the loss or a gradient is not finite, or, in the first step, a parameter group does not fit the model.
///
/// # Panics
/// If there is no micro-batch, model and batch do not fit, or there is not one weight per task.
pub fn train_step(
    tape: &mut Tape,
    model: &mut dyn Model,
    optimizer: &mut Optimizer,
    at: &StepContext<'_>,
    micro_batches: &[Batch],
) -> Result<StepReport, StepError> {
    assert_eq!(at.task_weights.len(), at.tasks.len(), "one weight per task");
    in_pool(|| {
        let mut found: Option<Found> = None;
        for batch in micro_batches {
            tape.clear();
            let part = gradients(tape, model, at, micro_batches, batch)?;
            // Clearing the tape makes the parameters uniquely owned again, so that they are updated in place.
            tape.clear();
            match &mut found {
                None => found = Some(part),
                Some(found) => found.add(part),
            }
        }
        let Found { loss, terms, gradients, decisions, observed } =
            found.expect("a batch has a micro-batch");
        let gradient_norms = optimizer.step(model, &gradients)?;
        model.after_step(&observed);
        Ok(StepReport { loss, terms, gradient_norms, decisions })
    })
}

/// Contribution of a micro-batch to a step.
struct Found {
    loss: f64,
    terms: Vec<(String, f64)>,
    gradients: Gradients,
    decisions: Vec<Vec<Decision>>,
    observed: Vec<Observed>,
}

impl Found {
    fn add(&mut self, other: Found) {
        self.loss += other.loss;
        self.terms.iter_mut().zip(other.terms).for_each(|(sum, term)| sum.1 += term.1);
        self.gradients.accumulate(other.gradients);
        self.decisions.extend(other.decisions);
        self.observed.iter_mut().zip(&other.observed).for_each(|(all, part)| all.add(part));
    }
}

/// Computes the gradients of the share of the loss that belongs to `batch`, one of `micro_batches`.
fn gradients(
    tape: &Tape,
    model: &dyn Model,
    at: &StepContext<'_>,
    micro_batches: &[Batch],
    batch: &Batch,
) -> Result<Found, StepError> {
    let pass = Pass::training(batch, at.seed, at.step, at.epoch);
    let output = model.forward(tape, &pass, &batch.inputs);
    let share = |count: &dyn Fn(&Batch) -> usize| -> Real {
        let all: usize = micro_batches.iter().map(count).sum();
        count(batch) as Real / all.max(1) as Real
    };
    let value = |var: Var<'_>| f64::from(var.value().item());
    let mut terms = Vec::with_capacity(at.tasks.len());
    let mut losses = Vec::with_capacity(at.tasks.len());
    for (i, task) in at.tasks.iter().enumerate() {
        let weight = at.task_weights[i] * share(&|batch| batch.targets[i].counted());
        let loss = task_loss(output.predictions[i], &batch.targets[i]).scale(weight);
        terms.push((task.name.clone(), value(loss)));
        losses.push(loss);
    }
    let loss = losses.into_iter().reduce(|a, b| a + b).expect("a model has a task");
    let mut aux_losses = Vec::new();
    for (gate, routing) in output.routings.iter().enumerate() {
        for aux in &routing.aux_losses {
            let term = AuxLoss { value: aux.value.scale(share(&Batch::rows)), ..*aux };
            terms.push((format!("gate {gate} {}", term.name), value(term.value)));
            aux_losses.push(term);
        }
    }
    if let Some((term, value)) = terms.iter().find(|(_, value)| !value.is_finite()) {
        return Err(StepError::Loss { term: term.clone(), value: *value });
    }
    let loss_value = value(loss);
    let gradients = tape.backward(total_loss(loss, &aux_losses));
    let routings = output.routings.into_iter();
    let routings = routings.map(|Routing { assignments, weights, telemetry, observed, .. }| {
        (
            Decision { assignments, weights: weights.value(), telemetry: telemetry.into_vec() },
            observed,
        )
    });
    let (decisions, observed) = routings.unzip();
    Ok(Found { loss: loss_value, terms, gradients, decisions: vec![decisions], observed })
}
