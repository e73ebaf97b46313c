use serde::{Deserialize, Serialize};

use crate::module::{Module, visit_parameters};
use crate::optimizer::optimizer::GradientNorms;

/// Statistics of the gradients over the steps of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GradientHealth {
    /// Number of steps.
    pub(crate) steps: u64,
    sum: f64,
    /// Largest joint norm of all gradients.
    pub(crate) largest: f64,
    /// Largest norm of the gradient of each parameter, in the order of the module's visit.
    parameters: Vec<f64>,
}

impl GradientHealth {
    /// Adds the gradients of a step.
    pub(crate) fn add(&mut self, norms: &GradientNorms) {
        self.steps += 1;
        self.sum += norms.total;
        self.largest = self.largest.max(norms.total);
        self.parameters.resize(norms.parameters.len(), 0.0);
        for (most, norm) in self.parameters.iter_mut().zip(&norms.parameters) {
            *most = most.max(*norm);
        }
    }

    /// Mean over the steps of the joint norm of all gradients.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.steps.max(1) as f64
    }

    /// Names of the trainable parameters whose gradients were always zero.
    pub(crate) fn idle(&self, module: &dyn Module) -> Vec<String> {
        let mut norms = self.parameters.iter();
        let mut idle = Vec::new();
        visit_parameters(module, |name, parameter| {
            if norms.next() == Some(&0.0) && !parameter.is_frozen() {
                idle.push(name.to_string());
            }
        });
        idle
    }

    /// Logs what looks unhealthy.
    pub(crate) fn warn(&self, epoch: usize, idle: &[String]) {
        /// Warn when a norm exceeds this multiple of the mean.
        const BURST: f64 = 50.0;
        let (mean, largest) = (self.mean(), self.largest);
        if !idle.is_empty() {
            tracing::warn!(epoch, parameters = ?idle, "no gradient in the whole epoch");
        }
        if largest > BURST * mean {
            tracing::warn!(
                epoch,
                mean,
                largest,
                "a gradient is far larger than the mean; clipping may help"
            );
        }
    }
}
