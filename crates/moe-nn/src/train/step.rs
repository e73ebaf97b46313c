use std::sync::Arc;

use moe_core::batch::{Batch, TaskSpec};
use moe_core::kernel::in_pool;
use moe_core::tape::{Tape, Var};
use moe_core::{Buffer, Pass, Real};
use moe_routers::aux_loss::total_loss;
use moe_routers::telemetry::gate_label;
use moe_routers::{AuxLoss, Routing};

use crate::layers::forward::LayerRoutings;
use crate::models::model::Model;
use crate::optimizer::error::OptimizerError;
use crate::optimizer::optimizer::{GradientNorms, Optimizer};
use crate::train::contribution::{Contribution, Decision, LayerObserved};
use crate::train::error::StepError;
use crate::train::not_finite_cause::NotFiniteCause;
use crate::train::step_hook::{StepCounts, StepHook};

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
    /// The row ids of each micro-batch.
    pub row_ids: Vec<Buffer<u64>>,
    /// The decision of each gate of each MoE layer, for each micro-batch.
    pub decisions: Vec<Vec<Decision>>,
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
/// `hook` may add the contributions of other processes before the optimiser updates the model; `&mut ()` adds none. The whole
/// batch is then that of all processes.
///
/// # Errors
/// If a term of the loss or a gradient is not finite, or, in the first step, a parameter group does not fit the model; any
/// error of `hook`.
///
/// # Panics
/// If there is no micro-batch, model and batch do not fit, there is not one weight per task, or an MoE layer is not among
/// those that the model lists ([`Module::gates_mut`](crate::Module::gates_mut)).
pub fn train_step(
    tape: &mut Tape,
    model: &mut dyn Model,
    optimizer: &mut Optimizer,
    hook: &mut dyn StepHook,
    at: &StepContext<'_>,
    micro_batches: &[Batch],
) -> Result<StepReport, StepError> {
    assert_eq!(at.task_weights.len(), at.tasks.len(), "one weight per task");
    in_pool(|| {
        let mut whole = StepCounts::of(micro_batches, at.tasks.len());
        hook.count(&mut whole)?;
        let mut sum = None;
        for batch in micro_batches {
            tape.clear();
            let part = gradients(tape, model, at, &whole, batch);
            // Clearing the tape makes the parameters uniquely owned again, so that they are updated in place.
            tape.clear();
            sum = Some(hook.add(model, sum, part)?);
        }
        let Contribution { loss, terms, gradients, observed, row_ids, decisions } =
            sum.expect("a batch has a micro-batch");
        let gradient_norms = optimizer.step(model, &gradients).map_err(|error| match error {
            OptimizerError::NotFinite { parameter, value } => {
                let cause = NotFiniteCause::of_step(model, at.tasks, micro_batches, at.step == 0);
                StepError::Gradient { parameter, value, cause }
            }
            error => error.into(),
        })?;
        tell_gates(model, &observed);
        Ok(StepReport { loss, terms, gradient_norms, row_ids, decisions })
    })
}

/// Passes the gates of each layer what they observed in the step.
fn tell_gates(model: &mut dyn Model, observed: &[LayerObserved]) {
    let mut layers = model.gates_mut();
    for LayerObserved { layer, gates } in observed {
        let known = layers.iter_mut().find(|known| *known.layer == **layer);
        let known = known.unwrap_or_else(|| {
            panic!("the model does not list MoE layer {layer} in Module::gates_mut")
        });
        known.gates.after_step(gates);
    }
}

/// Computes the gradients of the share of the loss that belongs to `batch`, a micro-batch of the `whole`.
fn gradients(
    tape: &Tape,
    model: &dyn Model,
    at: &StepContext<'_>,
    whole: &StepCounts,
    batch: &Batch,
) -> Result<Contribution, StepError> {
    let pass = Pass::training(batch, at.seed, at.step, at.epoch);
    let output = model.run(tape, &pass, &batch.inputs);
    let share = |part: usize, all: usize| part as Real / all.max(1) as Real;
    let value = |var: Var<'_>| f64::from(var.value().item());
    let mut terms = Vec::with_capacity(at.tasks.len());
    let mut losses = Vec::with_capacity(at.tasks.len());
    for (i, task) in at.tasks.iter().enumerate() {
        let weight = at.task_weights[i] * share(batch.targets[i].counted(), whole.targets[i]);
        let loss = task.kind.loss(output.predictions[i], &batch.targets[i]).scale(weight);
        terms.push((task.name.clone(), value(loss)));
        losses.push(loss);
    }
    let loss = losses.into_iter().reduce(|a, b| a + b).expect("a model has a task");
    let mut aux_losses = Vec::new();
    for (layer, gate, routing) in output.gates() {
        for aux in &routing.aux_losses {
            let term = AuxLoss { value: aux.value.scale(share(batch.rows(), whole.rows)), ..*aux };
            terms.push((format!("{} {}", gate_label(layer, gate), term.name), value(term.value)));
            aux_losses.push(term);
        }
    }
    if let Some((term, value)) = terms.iter().find(|(_, value)| !value.is_finite()) {
        let cause =
            NotFiniteCause::of_step(model, at.tasks, std::slice::from_ref(batch), at.step == 0);
        return Err(StepError::Loss { term: term.clone(), value: *value, cause });
    }
    let loss_value = value(loss);
    let gradients = tape.backward(total_loss(loss, &aux_losses));
    let (mut decisions, mut observed) = (Vec::new(), Vec::new());
    for LayerRoutings { layer, gates, batch_rows, .. } in output.layers {
        let mut of_gates = Vec::with_capacity(gates.len());
        for (gate, routing) in gates.into_iter().enumerate() {
            let Routing { assignments, weights, telemetry, observed, .. } = routing;
            of_gates.push(observed);
            decisions.push(Decision {
                layer: Arc::clone(&layer),
                gate,
                is_of_batch: batch_rows.is_none(),
                assignments,
                weights: weights.value(),
                telemetry: telemetry.into_vec(),
            });
        }
        observed.push(LayerObserved { layer, gates: of_gates });
    }
    let (row_ids, decisions) = (vec![Buffer::copy_of(&batch.row_ids)], vec![decisions]);
    Ok(Contribution { loss: loss_value, terms, gradients, observed, row_ids, decisions })
}
