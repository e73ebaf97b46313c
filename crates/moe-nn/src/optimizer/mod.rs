//! Optimisers with parameter groups, schedules of the learning rate and clipping.

mod adam;
mod clipping;
mod error;
mod groups;
mod options;
mod schedule;
mod sgd;
mod update;

use moe_core::tape::{Gradient, Gradients};
use moe_core::{Real, StateMut, StateRef};
use serde::{Deserialize, Serialize};

use crate::module::Module;
use adam::AdamStep;
use clipping::{Limits, sum_of_squares};
use sgd::SgdStep;
use update::{RuleStep, Span, Update};

pub use clipping::Clipping;
pub use error::OptimizerError;
pub use groups::ParameterGroup;
pub use options::{OptimizerOptions, Rule};
pub use schedule::{Decay, Schedule};

/// Elements of a parallel piece of work.
const PIECE: usize = 1 << 14;

/// Updates the parameters of a module by their gradients. Saved and loaded, it goes on to the same bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Optimizer {
    options: OptimizerOptions,
    steps: u64,
    /// One for each parameter, in the order of the module's visit.
    moments: Vec<Moments>,
    /// Sums over pieces of a gradient.
    #[serde(skip)]
    sums: Vec<f64>,
}

impl PartialEq for Optimizer {
    fn eq(&self, other: &Self) -> bool {
        let Optimizer { options, steps, moments, sums: _ } = self;
        (options, steps, moments) == (&other.options, &other.steps, &other.moments)
    }
}

/// What is kept of a parameter's gradients: one number per element, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moments {
    /// Adam's first moment, or the buffer of momentum.
    first: Vec<Real>,
    /// Adam's second moment.
    second: Vec<Real>,
}

/// How large the gradients of a step were, before clipping.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNorms {
    /// Euclidean norm of all gradients together.
    pub total: f64,
    /// The parameter with the largest norm (the first of equals), and that norm; `None` if nothing has a gradient.
    pub largest: Option<(String, f64)>,
    /// Of each parameter, in the order of the module's visit; 0 for one without gradient.
    pub parameters: Vec<f64>,
}

impl Optimizer {
    /// An optimiser that has not stepped yet.
    pub fn new(options: OptimizerOptions) -> Self {
        Optimizer { options, steps: 0, moments: Vec::new(), sums: Vec::new() }
    }

    /// Its settings.
    pub fn options(&self) -> &OptimizerOptions {
        &self.options
    }

    /// Updates every parameter of `module` that is not frozen; of a frozen one nothing changes. A parameter without
    /// gradient is updated as if it were zero (but see [`Rule::Adam`]'s `lazy`).
    ///
    /// # Errors
    /// If a gradient is not finite, or, in the first step, a group does not suit the module. Nothing has changed then.
    ///
    /// # Panics
    /// If `module` is not the one of the earlier steps.
    pub fn step(
        &mut self,
        module: &mut dyn Module,
        gradients: &Gradients,
    ) -> Result<GradientNorms, OptimizerError> {
        let is_first = self.steps == 0;
        if is_first {
            self.options.check_groups(module)?;
        }
        let norms = self.norms(module, gradients)?;
        let limits = self.options.clipping.limits(norms.total);
        let learning_rate = self.options.learning_rate * self.options.schedule.factor(self.steps);
        self.steps += 1;
        let Optimizer { options, moments, steps, .. } = self;
        let [keeps_first, keeps_second] = options.rule.keeps();
        let mut index = 0;
        module.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else {
                return;
            };
            let size = parameter.value().len();
            let (first_size, second_size) =
                (if keeps_first { size } else { 0 }, if keeps_second { size } else { 0 });
            if is_first {
                let zeros = |size| vec![0.0; size];
                moments.push(Moments { first: zeros(first_size), second: zeros(second_size) });
            }
            let known = moments.get_mut(index);
            let known =
                known.filter(|m| (m.first.len(), m.second.len()) == (first_size, second_size));
            let Moments { first, second } =
                known.unwrap_or_else(|| panic!("{name} is not the parameter of earlier steps"));
            index += 1;
            if parameter.is_frozen() {
                return;
            }
            let gradient = gradients.get(parameter);
            let update = options.update(*steps, name, learning_rate, limits, gradient);
            let cols = parameter.value().cols();
            let values = parameter.value_mut().as_mut_slice();
            update.run(Span { values, first, second }, cols, gradient);
        });
        assert_eq!(index, self.moments.len(), "the module has lost parameters");
        Ok(norms)
    }

    fn norms(
        &mut self,
        module: &dyn Module,
        gradients: &Gradients,
    ) -> Result<GradientNorms, OptimizerError> {
        let sums = &mut self.sums;
        let mut total = 0.0;
        let mut largest: Option<(String, f64)> = None;
        let mut parameters = Vec::with_capacity(self.moments.len());
        let mut error = None;
        module.visit(&mut |name, state| {
            let StateRef::Parameter(parameter) = state else {
                return;
            };
            let gradient = gradients.get(parameter).filter(|_| !parameter.is_frozen());
            let Some(gradient) = gradient.map(|gradient| gradient.stored().as_slice()) else {
                parameters.push(0.0);
                return;
            };
            let squares = sum_of_squares(gradient, sums);
            parameters.push(squares.sqrt());
            total += squares;
            if !squares.is_finite() {
                error.get_or_insert_with(|| not_finite(name, gradient));
            } else if largest.as_ref().is_none_or(|(_, most)| squares > *most) {
                largest = Some((name.into(), squares));
            }
        });
        match error {
            Some(error) => Err(error),
            None => Ok(GradientNorms {
                total: total.sqrt(),
                largest: largest.map(|(name, squares)| (name, squares.sqrt())),
                parameters,
            }),
        }
    }
}

/// Of a gradient whose squares have no finite sum.
fn not_finite(parameter: &str, gradient: &[Real]) -> OptimizerError {
    let values = gradient.iter().map(|&value| f64::from(value));
    let first = values.clone().find(|value| !value.is_finite());
    // Only doubles have finite elements with squares that are not.
    let value = first.or_else(|| values.max_by(|a, b| a.abs().total_cmp(&b.abs())));
    OptimizerError::NotFinite { parameter: parameter.into(), value: value.unwrap_or(f64::NAN) }
}

impl Rule {
    /// Whether it keeps a first moment, and a second.
    fn keeps(&self) -> [bool; 2] {
        match self {
            Rule::Adam { .. } | Rule::AdamW { .. } => [true, true],
            Rule::Sgd { momentum, .. } => [*momentum != 0.0, false],
        }
    }
}

impl OptimizerOptions {
    /// How a parameter moves in step `t`, from 1.
    fn update(
        &self,
        t: u64,
        parameter: &str,
        learning_rate: f64,
        limits: Limits,
        gradient: Option<&Gradient>,
    ) -> Update {
        let group = self.group(parameter);
        let learning_rate = learning_rate * group.map_or(1.0, |group| group.learning_rate_factor);
        let decay = group.and_then(|group| group.weight_decay);
        match self.rule {
            Rule::Adam { beta1, beta2, epsilon, lazy } => {
                let is_sparse = lazy && !matches!(gradient, Some(Gradient::Dense(_)));
                let betas = (beta1, beta2);
                let step = AdamStep::new(t, betas, epsilon, is_sparse, learning_rate, 0.0, limits);
                Update { rule: RuleStep::Adam(step), rests: is_sparse }
            }
            Rule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                let (betas, decay) = ((beta1, beta2), decay.unwrap_or(weight_decay));
                let step = AdamStep::new(t, betas, epsilon, false, learning_rate, decay, limits);
                Update { rule: RuleStep::Adam(step), rests: false }
            }
            Rule::Sgd { momentum, nesterov, weight_decay } => {
                let decay = decay.unwrap_or(weight_decay);
                let step = SgdStep {
                    limits,
                    learning_rate: learning_rate as Real,
                    momentum: momentum as Real,
                    nesterov,
                    weight_decay: decay as Real,
                };
                Update { rule: RuleStep::Sgd(step), rests: momentum == 0.0 && decay == 0.0 }
            }
        }
    }
}
