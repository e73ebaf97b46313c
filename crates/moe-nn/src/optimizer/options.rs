use serde::{Deserialize, Serialize};

use crate::module::{Module, is_named, visit_parameters};
use crate::optimizer::clipping::Clipping;
use crate::optimizer::error::OptimizerError;
use crate::optimizer::groups::ParameterGroup;
use crate::optimizer::schedule::Schedule;

/// Settings of an [`Optimizer`](crate::Optimizer). They are doubles whatever the precision of the model: the constants of a
/// step are computed in double precision and rounded once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerOptions {
    /// The rule that turns a gradient into an update.
    pub rule: Rule,
    /// Learning rate, before the schedule.
    pub learning_rate: f64,
    /// Learning rate schedule.
    pub schedule: Schedule,
    /// Limit on gradients that are too large.
    pub clipping: Clipping,
    /// Settings for some of the parameters; the first group that matches a parameter applies.
    pub groups: Vec<ParameterGroup>,
}

impl Default for OptimizerOptions {
    /// Adam with a learning rate of 5e-4, without a schedule, clipping or groups.
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

impl OptimizerOptions {
    /// The group that applies to a parameter.
    pub(super) fn group(&self, parameter: &str) -> Option<&ParameterGroup> {
        self.groups.iter().find(|group| is_named(parameter, &group.prefix))
    }

    /// Checks that the groups fit the rule and match parameters of `module`.
    pub(super) fn check_groups(&self, module: &dyn Module) -> Result<(), OptimizerError> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        visit_parameters(module, |name, _| names.push(name.into()));
        for ParameterGroup { prefix, weight_decay, .. } in &self.groups {
            if !names.iter().any(|name| is_named(name, prefix)) {
                return Err(OptimizerError::EmptyGroup {
                    prefix: prefix.clone(),
                    parameters: names.join(", "),
                });
            }
            if let (Some(_), Rule::Adam { .. }) = (weight_decay, self.rule) {
                return Err(OptimizerError::GroupDecay { prefix: prefix.clone() });
            }
        }
        Ok(())
    }
}

/// A rule that turns a gradient into an update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Rule {
    /// Adam (Kingma and Ba, 2015), as `torch.optim.Adam`: the second moment is bias-corrected before its square root is
    /// taken and epsilon is added.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Whether embedding rows without a gradient are skipped, as in `torch.optim.SparseAdam`.
        ///
        /// If `false`, the moments of every row decay in every step, and a row keeps moving after its last gradient.
        /// If `true`, rows that are missing from a row-sparse gradient keep their values and moments, and so does a
        /// parameter without a gradient. The cost of a step is then proportional to the rows it touches. This is a
        /// different algorithm with different results: a rare row is updated with moments as old as its last
        /// gradient. As in SparseAdam, epsilon is then added before the bias correction. Dense gradients are treated
        /// alike in both cases.
        lazy: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`: values shrink by
    /// learning rate times decay, independently of the moments.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Fraction of each value that is lost per step at a learning rate of 1.
        weight_decay: f64,
    },
    /// Gradient descent with momentum, as `torch.optim.SGD` without dampening.
    Sgd {
        /// Fraction of the last direction that is kept in the next one; 0 disables momentum.
        momentum: f64,
        /// Whether to use Nesterov momentum (Sutskever et al., 2013).
        nesterov: bool,
        /// Fraction of each value that is added to its gradient.
        weight_decay: f64,
    },
}

impl Default for Rule {
    /// [`Rule::Adam`] with the constants of Keras, updating every row in every step.
    fn default() -> Self {
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, lazy: false }
    }
}

impl Rule {
    /// Whether the rule keeps a first moment, and a second.
    pub(super) fn moments_kept(&self) -> [bool; 2] {
        match self {
            Rule::Adam { .. } | Rule::AdamW { .. } => [true, true],
            Rule::Sgd { momentum, .. } => [*momentum != 0.0, false],
        }
    }
}
