use moe_core::batch::{Batch, TaskSpec};
use moe_core::dispatch::Assignments;
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Real};
use moe_routers::Observed;
use moe_routers::aux_loss::total_loss;

use crate::{Model, Optimizer, OptimizerError, task_loss};

/// What a training step found, before its update.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Weighted loss of the tasks.
    pub loss: f64,
    /// Each term of the loss by name: tasks (weighted), then the auxiliary losses of each gate, such as
    /// `gate 0 load-balance`.
    pub terms: Vec<(String, f64)>,
    /// Euclidean norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// What each gate decided.
    pub assignments: Vec<Assignments>,
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

/// Takes one training step on a batch. The tape is cleared, and can serve the next step.
///
/// # Errors
/// If a term of the loss or a gradient is not finite, or, in the first step, a group of the optimiser does not suit the
/// model.
///
/// # Panics
/// If model and batch do not fit, or there is not one weight per task.
pub fn train_step(
    tape: &mut Tape,
    model: &mut dyn Model,
    optimizer: &mut Optimizer,
    pass: &Pass<'_>,
    batch: &Batch,
    tasks: &[TaskSpec],
    task_weights: &[Real],
) -> Result<StepReport, StepError> {
    assert_eq!(task_weights.len(), tasks.len(), "one weight per task");
    tape.clear();
    let output = model.forward(tape, pass, &batch.inputs);

    let value = |var: Var<'_>| f64::from(var.value().item());
    let mut terms = Vec::with_capacity(tasks.len());
    let mut losses = Vec::with_capacity(tasks.len());
    for (i, task) in tasks.iter().enumerate() {
        let loss = task_loss(output.predictions[i], &batch.targets[i]).scale(task_weights[i]);
        terms.push((task.name.clone(), value(loss)));
        losses.push(loss);
    }
    let loss = losses.into_iter().reduce(|a, b| a + b).expect("a model has a task");
    let mut aux_losses = Vec::new();
    for (gate, routing) in output.routings.iter().enumerate() {
        for aux in &routing.aux_losses {
            terms.push((format!("gate {gate} {}", aux.name), value(aux.value)));
            aux_losses.push(*aux);
        }
    }
    if let Some((term, value)) = terms.iter().find(|(_, value)| !value.is_finite()) {
        return Err(StepError::Loss { term: term.clone(), value: *value });
    }
    let loss_value = value(loss);

    let gradients = tape.backward(total_loss(loss, &aux_losses));
    let mut assignments = Vec::with_capacity(output.routings.len());
    let mut observed: Vec<Observed> = Vec::with_capacity(output.routings.len());
    for routing in output.routings {
        assignments.push(routing.assignments);
        observed.push(routing.observed);
    }
    // With the tape cleared the parameters have one owner again and are updated in place.
    tape.clear();
    let gradient_norm = optimizer.step(model, &gradients)?.total;
    model.after_step(&observed);
    Ok(StepReport { loss: loss_value, terms, gradient_norm, assignments })
}
