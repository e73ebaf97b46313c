//! The losses and the cost of a run by epoch, as results have them.

use moe_nn::EpochRecord;
use serde::{Deserialize, Serialize};

/// The losses and the cost of a run by epoch. Empty for a model that is not trained in epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCurve {
    /// `[epochs]`: mean over the steps of the epoch of the weighted loss of the tasks, in training mode; `None` (null in JSON)
    /// stands for one that is not finite.
    pub train: Vec<Option<f64>>,
    /// `[epochs]`: weighted loss on the validation split after the epoch; `None` as above.
    pub val: Vec<Option<f64>>,
    /// `[epochs]`: mean number of experts that a row had in a gate in training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experts_per_row: Vec<f64>,
    /// `[epochs]`: seconds of training up to the end of the epoch, with its validation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<f64>,
}

impl RunCurve {
    /// What these epochs have.
    pub(crate) fn of(epochs: &[EpochRecord]) -> Self {
        let losses = |loss: fn(&EpochRecord) -> f64| {
            epochs.iter().map(|epoch| Some(loss(epoch)).filter(|loss| loss.is_finite())).collect()
        };
        RunCurve {
            train: losses(|epoch| epoch.train_loss),
            val: losses(|epoch| epoch.val_loss),
            experts_per_row: epochs.iter().map(|epoch| epoch.experts_per_row).collect(),
            seconds: epochs.iter().map(|epoch| epoch.seconds).collect(),
        }
    }

    /// Returns whether there is no epoch.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty() && self.val.is_empty()
    }

    /// The seconds of each epoch, with its validation.
    pub(crate) fn seconds_of_epochs(&self) -> Vec<f64> {
        let before = [0.0].iter().chain(&self.seconds);
        self.seconds.iter().zip(before).map(|(end, start)| end - start).collect()
    }
}
