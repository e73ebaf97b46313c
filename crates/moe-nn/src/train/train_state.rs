use moe_core::StateMut;

use crate::error::OtherModule;
use crate::module::{Module, visit_parameters};
use crate::optimizer::optimizer::Optimizer;
use crate::optimizer::options::OptimizerOptions;
use crate::store::weights::Weights;
use crate::train::epoch_progress::EpochProgress;
use crate::train::history::History;
use crate::train::memories::Memories;

/// The complete state of training between two epochs, or between two steps of one. Training that continues from a saved state (see
/// [`RunDir`](crate::RunDir)) gives the same bits.
///
/// All random draws are functions of the seed, the step and the row, so there is no generator to save.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    pub(crate) optimizer: Optimizer,
    /// Weights after the last step.
    pub(crate) last: Weights,
    /// Weights after the best epoch.
    pub(crate) best: Weights,
    /// Names of the frozen parameters.
    pub(crate) frozen: Vec<String>,
    pub(crate) memories: Memories,
    pub(crate) history: History,
    /// The epoch in progress, if the state is between two of its steps.
    pub(crate) in_progress: Option<EpochProgress>,
}

impl TrainState {
    /// The state before the first epoch. Parameters that are frozen in `module` now stay frozen until the end, also after an
    /// interruption.
    pub fn new(module: &dyn Module, optimizer: OptimizerOptions) -> Self {
        let mut frozen = Vec::new();
        visit_parameters(module, |name, parameter| {
            if parameter.is_frozen() {
                frozen.push(name.to_string());
            }
        });
        TrainState {
            optimizer: Optimizer::new(optimizer),
            last: Weights::of(module),
            best: Weights::of(module),
            frozen,
            memories: Memories::default(),
            history: History::new(),
            in_progress: None,
        }
    }

    /// History of the training so far. If the state is inside an epoch, the history ends with the epoch before; only its steps
    /// and its routing are those of the last step.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Number of steps that the epoch in progress has taken; 0 between two epochs.
    pub fn steps_in_epoch(&self) -> u64 {
        self.in_progress.as_ref().map_or(0, EpochProgress::steps)
    }

    /// Seconds since training began, without interruptions.
    pub(crate) fn seconds(&self) -> f64 {
        self.in_progress.as_ref().map_or(self.history.seconds(), |progress| progress.seconds)
    }

    /// The weights after the last step.
    pub fn last(&self) -> &Weights {
        &self.last
    }

    /// The weights after the best epoch.
    pub fn best(&self) -> &Weights {
        &self.best
    }

    /// Puts the weights after the last step into `module`, and freezes the frozen parameters.
    ///
    /// # Errors
    /// If the state belongs to another module, which is then unchanged.
    pub(crate) fn restore(&mut self, module: &mut dyn Module) -> Result<(), OtherModule> {
        self.best.check(module)?;
        self.last.check(module)?;
        self.optimizer.check(module)?;
        self.last.put_into(module)?;
        module.visit_mut(&mut |name, state| {
            if let StateMut::Parameter(parameter) = state {
                parameter.set_frozen(self.frozen.iter().any(|frozen| frozen == name));
            }
        });
        Ok(())
    }

    /// Takes the weights of `module` at the end of an epoch, also as the best ones if this is the smallest validation loss
    /// so far.
    pub(crate) fn keep_weights(&mut self, module: &dyn Module, val_loss: f64) {
        self.last = Weights::of(module);
        if val_loss < self.history.best_val_loss {
            self.history.best_epoch = self.history.epochs.len() + 1;
            self.history.best_val_loss = val_loss;
            self.best = self.last.clone();
        }
    }
}
