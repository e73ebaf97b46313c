use moe_core::tape::Gradients;
use moe_core::{Real, StateMut};
use serde::{Deserialize, Serialize};

use crate::error::OtherModule;
use crate::module::{Module, visit_parameters};
use crate::optimizer::clipping::sum_of_squares;
use crate::optimizer::error::OptimizerError;
use crate::optimizer::moments::{
    Check, Moments, NamedMoments, UnnamedMoments, from_tensors, name_moments, to_tensors,
};
use crate::optimizer::options::OptimizerOptions;
use crate::optimizer::span::Span;
use crate::optimizer::update::Update;
use crate::store::weights::Weights;

/// Updates the parameters of a module by their gradients. An optimiser that was saved and loaded continues to the same
/// bits, also with a module that visits its parameters in another order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Optimizer {
    options: OptimizerOptions,
    steps: u64,
    /// The moments of each parameter, by its name; none before the first step.
    moments: NamedMoments,
    /// The moments of a saved state without names, in the order of the parameters, until [`Optimizer::check`] names them.
    unnamed: Vec<Moments>,
    /// Working memory: the sums of squares of the pieces of a gradient.
    #[serde(skip)]
    sums: Vec<f64>,
}

impl PartialEq for Optimizer {
    fn eq(&self, other: &Self) -> bool {
        let Optimizer { options, steps, moments, unnamed, sums: _ } = self;
        let of_other = (&other.options, &other.steps, &other.moments, &other.unnamed);
        (options, steps, moments, unnamed) == of_other
    }
}

/// An [`Optimizer`] whose moments have no names, as runs of format 1 hold it.
#[derive(Deserialize)]
pub(crate) struct UnnamedOptimizer {
    options: OptimizerOptions,
    steps: u64,
    moments: Vec<UnnamedMoments>,
}

impl From<UnnamedOptimizer> for Optimizer {
    fn from(saved: UnnamedOptimizer) -> Self {
        let UnnamedOptimizer { options, steps, moments } = saved;
        let unnamed = moments.into_iter().map(Moments::from).collect();
        Optimizer { steps, unnamed, ..Optimizer::new(options) }
    }
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
        Optimizer {
            options,
            steps: 0,
            moments: NamedMoments::new(),
            unnamed: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// The moments as tensors that are named after their parameters, and the optimiser without them.
    pub(crate) fn parts(&self) -> (Weights, Optimizer) {
        let rest = Optimizer {
            options: self.options.clone(),
            steps: self.steps,
            moments: NamedMoments::new(),
            unnamed: self.unnamed.clone(),
            sums: Vec::new(),
        };
        (to_tensors(&self.moments), rest)
    }

    /// The optimiser of these [`Optimizer::parts`].
    ///
    /// # Errors
    /// The first tensor that is not a moment.
    pub(crate) fn of_parts(moments: Weights, rest: Optimizer) -> Result<Self, OtherModule> {
        Ok(Optimizer { moments: from_tensors(moments)?, ..rest })
    }

    /// Checks that the steps so far were steps of `module`. Moments without names get those of its parameters.
    ///
    /// # Errors
    /// The first parameter whose moments are missing or of another size, or moments without a parameter.
    pub(crate) fn check(&mut self, module: &dyn Module) -> Result<(), OtherModule> {
        if !self.unnamed.is_empty() {
            self.moments = name_moments(&mut self.unnamed, module)?;
        }
        if self.steps == 0 {
            return Ok(());
        }
        let mut check = Check::new(&self.moments, self.options.rule.moments_kept());
        visit_parameters(module, |name, parameter| check.add(name, parameter));
        check.finish(module)
    }

    /// Updates every parameter of `module` that is not frozen. A parameter without a gradient is updated as if its
    /// gradient were zero, except under [`lazy`](crate::Rule::Adam::lazy) Adam.
    ///
    /// # Errors
    /// If a gradient is not finite, the parameters differ from those of the earlier steps, or, in the first step, a
    /// parameter group does not fit the module. Nothing has changed then.
    pub fn step(
        &mut self,
        module: &mut dyn Module,
        gradients: &Gradients,
    ) -> Result<GradientNorms, OptimizerError> {
        if self.steps == 0 {
            self.options.check_groups(module)?;
        }
        let norms = self.norms(module, gradients)?;
        let limits = self.options.clipping.limits(norms.total);
        let learning_rate = self.options.learning_rate * self.options.schedule.factor(self.steps);
        let is_first = self.steps == 0;
        self.steps += 1;
        let Optimizer { options, moments, steps, .. } = self;
        let kept = options.rule.moments_kept();
        module.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else {
                return;
            };
            if is_first {
                moments.insert(name.into(), Moments::zeros(kept, parameter));
            }
            if parameter.is_frozen() {
                return;
            }
            let Moments { first, second } = moments.get_mut(name).expect("checked by `norms`");
            let gradient = gradients.get(parameter);
            let update = Update::new(options, *steps, name, learning_rate, limits, gradient);
            let cols = parameter.value().cols();
            let values = parameter.value_mut().as_mut_slice();
            let (first, second) = (first.as_mut_slice(), second.as_mut_slice());
            update.run(Span { values, first, second }, cols, gradient);
        });
        Ok(norms)
    }

    /// The norms of all gradients. Checks that gradients are finite and that moments fit.
    fn norms(
        &mut self,
        module: &dyn Module,
        gradients: &Gradients,
    ) -> Result<GradientNorms, OptimizerError> {
        let Optimizer { options, steps, moments, sums, .. } = self;
        let mut check = (*steps > 0).then(|| Check::new(moments, options.rule.moments_kept()));
        let mut total = 0.0;
        let mut largest: Option<(String, f64)> = None;
        let mut parameters = Vec::with_capacity(moments.len());
        let mut error = None;
        visit_parameters(module, |name, parameter| {
            if let Some(check) = &mut check {
                check.add(name, parameter);
            }
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
        check.map_or(Ok(()), |check| check.finish(module))?;
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
