use crate::module::Module;
use crate::optimizer::GradientNorms;
use moe_core::StateRef;

/// What the gradients of an epoch were like, step by step.
#[derive(Debug, Default)]
pub(crate) struct GradientHealth {
    steps: u64,
    sum: f64,
    largest: f64,
    /// The largest norm of each parameter, in the order of the module's visit.
    parameters: Vec<f64>,
}

impl GradientHealth {
    pub(crate) fn add(&mut self, norms: &GradientNorms) {
        self.steps += 1;
        self.sum += norms.total;
        self.largest = self.largest.max(norms.total);
        self.parameters.resize(norms.parameters.len(), 0.0);
        for (most, norm) in self.parameters.iter_mut().zip(&norms.parameters) {
            *most = most.max(*norm);
        }
    }

    /// Mean norm of all gradients together.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.steps.max(1) as f64
    }

    /// The largest one.
    pub(crate) fn largest(&self) -> f64 {
        self.largest
    }

    /// Names of the parameters that learn and have had no gradient but zero.
    pub(crate) fn idle(&self, module: &dyn Module) -> Vec<String> {
        let mut norms = self.parameters.iter();
        let mut idle = Vec::new();
        module.visit(&mut |name, state| {
            let StateRef::Parameter(parameter) = state else { return };
            if norms.next() == Some(&0.0) && !parameter.is_frozen() {
                idle.push(name.to_string());
            }
        });
        idle
    }

    /// Says what looks wrong.
    pub(crate) fn warn(&self, epoch: usize, idle: &[String]) {
        /// A norm that is so many times the mean is worth a word.
        const BURST: f64 = 50.0;
        let (mean, largest) = (self.mean(), self.largest);
        if !idle.is_empty() {
            tracing::warn!(epoch, parameters = ?idle, "without gradient in the whole epoch");
        }
        if largest > BURST * mean {
            tracing::warn!(
                epoch,
                mean,
                largest,
                "a gradient is far larger than the others; clipping may help"
            );
        }
    }
}
