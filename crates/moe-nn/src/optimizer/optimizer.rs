use moe_core::tape::Gradients;
use moe_core::{Real, StateMut};
use serde::{Deserialize, Serialize};

use crate::module::{Module, visit_parameters};
use crate::optimizer::clipping::sum_of_squares;
use crate::optimizer::error::OptimizerError;
use crate::optimizer::options::OptimizerOptions;
use crate::optimizer::span::Span;
use crate::optimizer::update::Update;

/// Updates the parameters of a module by their gradients. An optimiser that was saved and loaded continues to the same
/// bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Optimizer {
    options: OptimizerOptions,
    steps: u64,
    /// One entry per parameter, in the order of the module's visit.
    moments: Vec<Moments>,
    /// Working memory: the sums of squares of the pieces of a gradient.
    #[serde(skip)]
    sums: Vec<f64>,
}

impl PartialEq for Optimizer {
    fn eq(&self, other: &Self) -> bool {
        let Optimizer { options, steps, moments, sums: _ } = self;
        (options, steps, moments) == (&other.options, &other.steps, &other.moments)
    }
}

/// The running averages of a parameter's gradients: one number per element, or empty if the rule keeps none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moments {
    /// Adam's first moment, or the buffer of momentum.
    first: Vec<Real>,
    /// Adam's second moment.
    second: Vec<Real>,
}

/// Norms of the gradients of a step, before clipping.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNorms {
    /// Euclidean norm of all gradients together.
    pub total: f64,
    /// The parameter with the largest norm (the first of equals), and that norm; `None` if no parameter has a gradient.
    pub largest: Option<(String, f64)>,
    /// The norm of each parameter's gradient, in the order of the module's visit; 0 for a parameter without a gradient.
    pub parameters: Vec<f64>,
}

impl Optimizer {
    /// An optimiser that has not taken a step yet.
    pub fn new(options: OptimizerOptions) -> Self {
        Optimizer { options, steps: 0, moments: Vec::new(), sums: Vec::new() }
    }

    /// Updates every parameter of `module` that is not frozen. A parameter without a gradient is updated as if its
    /// gradient were zero, except under [`lazy`](crate::Rule::Adam::lazy) Adam.
    ///
    /// # Errors
    /// If a gradient is not finite, or, in the first step, a parameter group does not fit the module. Nothing has
    /// changed then.
    ///
    /// # Panics
    /// If `module` differs from the one of the earlier steps.
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
        let kept = options.rule.moments_kept();
        let mut index = 0;
        module.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else {
                return;
            };
            let size = parameter.value().len();
            let [first_size, second_size] = kept.map(|is_kept| if is_kept { size } else { 0 });
            if is_first {
                let zeros = |size| vec![0.0; size];
                moments.push(Moments { first: zeros(first_size), second: zeros(second_size) });
            }
            let known = moments.get_mut(index);
            let known =
                known.filter(|m| (m.first.len(), m.second.len()) == (first_size, second_size));
            let Moments { first, second } = known.unwrap_or_else(|| {
                panic!("{name} differs from the parameter of the earlier steps")
            });
            index += 1;
            if parameter.is_frozen() {
                return;
            }
            let gradient = gradients.get(parameter);
            let update = Update::new(options, *steps, name, learning_rate, limits, gradient);
            let cols = parameter.value().cols();
            let values = parameter.value_mut().as_mut_slice();
            update.run(Span { values, first, second }, cols, gradient);
        });
        assert_eq!(
            index,
            self.moments.len(),
            "the module has fewer parameters than in the earlier steps"
        );
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
        visit_parameters(module, |name, parameter| {
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

/// The error for a gradient whose sum of squares is not finite.
fn not_finite(parameter: &str, gradient: &[Real]) -> OptimizerError {
    let values = gradient.iter().map(|&value| f64::from(value));
    let first = values.clone().find(|value| !value.is_finite());
    // In double precision every element can be finite while its square is not.
    let value = first.or_else(|| values.max_by(|a, b| a.abs().total_cmp(&b.abs())));
    OptimizerError::NotFinite { parameter: parameter.into(), value: value.unwrap_or(f64::NAN) }
}
