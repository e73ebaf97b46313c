use serde::{Deserialize, Serialize};

use super::{Clipping, ParameterGroup, Schedule};

/// Settings of an [`Optimizer`](super::Optimizer). Its numbers are doubles also where the model's are not: the constants of
/// a step are worked out in double precision and rounded once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerOptions {
    /// How a gradient becomes an update.
    pub rule: Rule,
    /// Step size.
    pub learning_rate: f64,
    /// How the step size changes over the steps.
    pub schedule: Schedule,
    /// What is done to gradients that are too large.
    pub clipping: Clipping,
    /// Parameters that are treated differently; for each parameter the first group that names it counts.
    pub groups: Vec<ParameterGroup>,
}

impl Default for OptimizerOptions {
    /// Adam at the learning rate 5e-4, and nothing else.
    fn default() -> Self {
        OptimizerOptions {
            rule: Rule::default(),
            learning_rate: 5e-4,
            schedule: Schedule::default(),
            clipping: Clipping::None,
            groups: Vec::new(),
        }
    }
}

/// How a gradient becomes an update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Rule {
    /// Adam (Kingma and Ba, 2015), as `torch.optim.Adam`: the bias correction of the second moment stands inside the
    /// root, before epsilon is added.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Whether rows of an embedding without gradient rest, as in `torch.optim.SparseAdam`.
        ///
        /// If not, the moments of every row decay in every step, and a row goes on moving after its last gradient. If
        /// so, rows that a gradient of sparse rows leaves out keep values and moments, and so does a parameter without
        /// gradient; a step costs what its rows cost, and a rare row is updated with moments as old as its last
        /// gradient, which is another algorithm with other results. Epsilon is added before the bias correction then,
        /// as SparseAdam does. Dense gradients are treated alike in both.
        lazy: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`: values shrink by
    /// learning rate times decay, apart from the moments.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Share of each value that is lost per step, for a learning rate of 1.
        weight_decay: f64,
    },
    /// Gradient descent with momentum, as `torch.optim.SGD` without dampening.
    Sgd {
        /// Share of the last direction that is kept in the next; 0 for none.
        momentum: f64,
        /// Whether the gradient is added once more ahead of the direction (Sutskever et al., 2013).
        nesterov: bool,
        /// Share of each value that is added to its gradient.
        weight_decay: f64,
    },
}

impl Default for Rule {
    /// [`Rule::Adam`] with Keras's constants, every row in every step.
    fn default() -> Self {
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, lazy: false }
    }
}
