use moe_core::{StateMut, StateRef};
use moe_routers::telemetry::Consistency;

use crate::module::Module;
use crate::optimizer::{Optimizer, OptimizerOptions};
use crate::store::weights::{OtherModule, Weights};
use crate::train::history::History;

/// Everything that training is between two epochs: kept (see [`RunDir`](crate::RunDir)), it continues to the same bits.
///
/// All random draws are functions of the seed, the step and the row, so there is no generator to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    pub(crate) optimizer: Optimizer,
    /// After the last epoch.
    pub(crate) last: Weights,
    /// After the best one.
    pub(crate) best: Weights,
    /// Names of the frozen parameters.
    pub(crate) frozen: Vec<String>,
    /// Where each gate sent each row last; empty before the first step.
    pub(crate) memories: Vec<Consistency>,
    pub(crate) history: History,
}

impl TrainState {
    /// Before the first epoch. What is frozen in `module` now stays so until the end, also after an interruption.
    pub fn new(module: &dyn Module, optimizer: OptimizerOptions) -> Self {
        let mut frozen = Vec::new();
        module.visit(&mut |name, state| {
            if matches!(state, StateRef::Parameter(parameter) if parameter.is_frozen()) {
                frozen.push(name.to_string());
            }
        });
        TrainState {
            optimizer: Optimizer::new(optimizer),
            last: Weights::of(module),
            best: Weights::of(module),
            frozen,
            memories: Vec::new(),
            history: History::new(),
        }
    }

    /// What has been done so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The weights after the last epoch.
    pub fn last(&self) -> &Weights {
        &self.last
    }

    /// The weights after the best epoch.
    pub fn best(&self) -> &Weights {
        &self.best
    }

    /// Puts the weights after the last epoch into `module`, and freezes what was frozen.
    ///
    /// # Errors
    /// If the state is that of another module.
    pub(crate) fn restore(&self, module: &mut dyn Module) -> Result<(), OtherModule> {
        self.best.check(module)?;
        self.last.put_into(module)?;
        module.visit_mut(&mut |name, state| {
            if let StateMut::Parameter(parameter) = state {
                parameter.set_frozen(self.frozen.iter().any(|frozen| frozen == name));
            }
        });
        Ok(())
    }
}
