use moe_core::batch::Batch;

use crate::models::model::Model;
use crate::train::contribution::Contribution;
use crate::train::error::StepError;

/// A place in a training step, between gradients and optimiser, where the contributions of several processes become one: a
/// data-parallel training in which each process computes some of the micro-batches of a batch, and all take the same step.
///
/// The default methods are those of a single process, and `()` is the hook that has nothing but these.
///
/// All processes must call the same methods equally often, so an error that a method returns must be returned in every process:
/// pass it on to the others instead of returning early. An optimiser that refuses the sum does so in all of them.
///
/// [`train_step`](crate::train_step) calls the methods on a thread of rayon's pool, so they must not wait for a training that
/// runs in the same pool.
pub trait StepHook: Send {
    /// Adds the counts of the other processes to those of this one. Called once per step, before anything is computed.
    ///
    /// # Errors
    /// An error ends the step. Neither the model nor the optimiser has changed.
    fn count(&mut self, _counts: &mut StepCounts) -> Result<(), StepError> {
        Ok(())
    }

    /// Returns `sum`, the contributions so far (`None` before the first ones), with `part` added, the contribution of the next
    /// micro-batch or the reason that there is none. Called once per micro-batch, in order. The default adds it with
    /// [`Contribution::add`].
    ///
    /// A hook that adds the parts of all processes in the order of their micro-batches gets the bits of a single process.
    /// [`Module::visit`](crate::Module::visit) gives the parameters of `model` in the same order in every process.
    ///
    /// # Errors
    /// `part` if it is an error, or an error of the hook. It ends the step. Neither the model nor the optimiser has
    /// changed.
    fn add(
        &mut self,
        _model: &dyn Model,
        sum: Option<Contribution>,
        part: Result<Contribution, StepError>,
    ) -> Result<Contribution, StepError> {
        let part = part?;
        Ok(match sum {
            None => part,
            Some(mut sum) => {
                sum.add(part);
                sum
            }
        })
    }
}

/// Does nothing: the hook of a single process.
impl StepHook for () {}

/// The numbers of rows that the losses of a step are means over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCounts {
    /// Number of rows in all micro-batches.
    pub rows: usize,
    /// For each task, the number of rows that have a target.
    pub targets: Vec<usize>,
}

impl StepCounts {
    /// The counts of these micro-batches for this number of tasks.
    pub(crate) fn of(micro_batches: &[Batch], tasks: usize) -> Self {
        let sum = |count: &dyn Fn(&Batch) -> usize| micro_batches.iter().map(count).sum();
        StepCounts {
            rows: sum(&Batch::rows),
            targets: (0..tasks).map(|task| sum(&|batch| batch.targets[task].counted())).collect(),
        }
    }
}
