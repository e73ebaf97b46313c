use moe_core::batch::{Batch, TaskSpec};
use moe_core::dispatch::Assignments;
use moe_core::kernel::in_pool;
use moe_core::tape::{Gradients, Tape, Var};
use moe_core::{Pass, Real, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{AuxLoss, Observed, Routing};

use crate::models::model::Model;
use crate::optimizer::{GradientNorms, Optimizer, OptimizerError};
use crate::train::task_loss::task_loss;

/// What a training step found, before its update.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Weighted loss of the tasks.
    pub loss: f64,
    /// Each term of the loss by name: tasks (weighted), then the auxiliary losses of each gate, such as
    /// `gate 0 load-balance`.
    pub terms: Vec<(String, f64)>,
    /// How large the gradients were, before clipping.
    pub gradient_norms: GradientNorms,
    /// For each part, what each gate decided.
    pub decisions: Vec<Vec<Decision>>,
}

/// What a gate decided for the rows of a part: what [`GateStats::add`](moe_routers::telemetry::GateStats::add) takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: the weight of each (row, expert) pair.
    pub weights: Tensor,
    /// Numbers of the router's own, by name.
    pub telemetry: Vec<(&'static str, f64)>,
}

/// Why a training step was not taken. The model has not been updated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A term of the loss is not a finite number.
    #[error("{term} is {value}; try a smaller learning rate")]
    Loss {
        /// The term: a task, or an auxiliary loss.
        term: String,
        /// Its value.
        value: f64,
    },
    /// The optimiser refuses to step.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

/// Where training is, and what it minimises.
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
    /// Weight of each task's loss.
    pub task_weights: &'a [Real],
}

/// Takes one training step on a batch that comes in one or more parts, which are computed one after the other. The tape
/// is cleared, and can serve the next step.
///
/// The gradients are those of the whole batch: a task's loss is the mean over the rows of all parts that count for it.
/// An auxiliary loss is the mean of the parts', by rows. So the parts do not matter but for rounding, unless a router
/// looks at more than one row.
///
/// # Errors
/// If a term of the loss or a gradient is not finite, or, in the first step, a group of the optimiser does not suit the
/// model.
///
/// # Panics
/// If there is no part, model and batch do not fit, or there is not one weight per task.
pub fn train_step(
    tape: &mut Tape,
    model: &mut dyn Model,
    optimizer: &mut Optimizer,
    at: &StepContext<'_>,
    parts: &[Batch],
) -> Result<StepReport, StepError> {
    assert_eq!(at.task_weights.len(), at.tasks.len(), "one weight per task");
    in_pool(|| step(tape, model, optimizer, at, parts))
}

/// [`train_step`] on a thread of the pool.
fn step(
    tape: &mut Tape,
    model: &mut dyn Model,
    optimizer: &mut Optimizer,
    at: &StepContext<'_>,
    parts: &[Batch],
) -> Result<StepReport, StepError> {
    let mut found: Option<Found> = None;
    for part in parts {
        tape.clear();
        let of_part = gradients(tape, model, at, parts, part)?;
        // With the tape cleared the parameters have one owner again and are updated in place.
        tape.clear();
        match &mut found {
            None => found = Some(of_part),
            Some(found) => found.add(of_part),
        }
    }
    let found = found.expect("a batch has a part");
    let gradient_norms = optimizer.step(model, &found.gradients)?;
    model.after_step(&found.observed);
    let Found { loss, terms, decisions, .. } = found;
    Ok(StepReport { loss, terms, gradient_norms, decisions })
}

/// What a part of a batch contributes.
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

/// The gradients of one part's share of the loss.
fn gradients(
    tape: &Tape,
    model: &dyn Model,
    at: &StepContext<'_>,
    parts: &[Batch],
    part: &Batch,
) -> Result<Found, StepError> {
    let pass = Pass::training(part, at.seed, at.step, at.epoch);
    let output = model.forward(tape, &pass, &part.inputs);
    let share = |count: &dyn Fn(&Batch) -> usize| -> Real {
        let all: usize = parts.iter().map(count).sum();
        count(part) as Real / all.max(1) as Real
    };
    let value = |var: Var<'_>| f64::from(var.value().item());
    let mut terms = Vec::with_capacity(at.tasks.len());
    let mut losses = Vec::with_capacity(at.tasks.len());
    for (i, task) in at.tasks.iter().enumerate() {
        let weight = at.task_weights[i] * share(&|part| part.targets[i].counted());
        let loss = task_loss(output.predictions[i], &part.targets[i]).scale(weight);
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
        (Decision { assignments, weights: weights.value().clone(), telemetry }, observed)
    });
    let (decisions, observed) = routings.unzip();
    Ok(Found { loss: loss_value, terms, gradients, decisions: vec![decisions], observed })
}
