//! The losses of a run by epoch, as results have them.

use moe_nn::EpochRecord;
use serde::{Deserialize, Serialize};

/// The losses of a run by epoch; `None` (null in JSON) stands for one that is not finite. Empty for a model that is not trained in
/// epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossCurve {
    /// `[epochs]`: mean over the steps of the epoch of the weighted loss of the tasks, in training mode.
    pub train: Vec<Option<f64>>,
    /// `[epochs]`: weighted loss on the validation split after the epoch.
    pub val: Vec<Option<f64>>,
}

impl LossCurve {
    /// The losses of these epochs.
    pub(crate) fn of(epochs: &[EpochRecord]) -> Self {
        let losses = |loss: fn(&EpochRecord) -> f64| {
            epochs.iter().map(|epoch| Some(loss(epoch)).filter(|loss| loss.is_finite())).collect()
        };
        LossCurve { train: losses(|epoch| epoch.train_loss), val: losses(|epoch| epoch.val_loss) }
    }

    /// Returns whether there is no epoch.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty() && self.val.is_empty()
    }
}
