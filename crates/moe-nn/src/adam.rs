use moe_core::tape::{Gradient, Gradients, RowGradient};
use moe_core::{Real, StateMut};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Module;

/// Settings of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamOptions {
    /// Step size.
    pub learning_rate: Real,
    /// Decay of the first moment.
    pub beta1: Real,
    /// Decay of the second moment.
    pub beta2: Real,
    /// Added to the root of the second moment.
    pub epsilon: Real,
}

impl Default for AdamOptions {
    /// Keras's defaults, apart from the learning rate.
    fn default() -> Self {
        AdamOptions { learning_rate: 5e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 }
    }
}

/// Adam (Kingma and Ba, 2015), as PyTorch computes it: the bias correction of the second moment stands inside the
/// root, before epsilon is added.
///
/// The moments of every element decay in every step, also those of embedding rows without gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    options: AdamOptions,
    steps: i32,
    /// For each parameter, in the order of the module's visit, first and second moments.
    moments: Vec<(Vec<Real>, Vec<Real>)>,
}

/// Elements of a parallel piece of an update.
const PIECE: usize = 1 << 14;

/// Number of a piece, its values and their first and second moments.
type Piece<'a> = (usize, &'a mut [Real], &'a mut [Real], &'a mut [Real]);

impl Adam {
    /// An optimiser that has not stepped yet.
    pub fn new(options: AdamOptions) -> Self {
        Adam { options, steps: 0, moments: Vec::new() }
    }

    /// Updates every parameter of `module` that is not frozen. A parameter without gradient is updated as if it were
    /// zero.
    ///
    /// # Panics
    /// If `module` is not the one of the earlier steps.
    pub fn step(&mut self, module: &mut dyn Module, gradients: &Gradients) {
        let is_first = self.steps == 0;
        self.steps += 1;
        let AdamOptions { learning_rate, beta1, beta2, epsilon } = self.options;
        let update = Update {
            beta1,
            beta2,
            epsilon,
            step_size: learning_rate / (1.0 - beta1.powi(self.steps)),
            root_correction: (1.0 - beta2.powi(self.steps)).sqrt(),
        };
        let moments = &mut self.moments;
        let mut index = 0;
        module.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else {
                return;
            };
            let size = parameter.value().len();
            if is_first {
                moments.push((vec![0.0; size], vec![0.0; size]));
            }
            let known = moments.get_mut(index).filter(|(first, _)| first.len() == size);
            let (first, second) =
                known.unwrap_or_else(|| panic!("{name} is not the parameter of earlier steps"));
            index += 1;
            if parameter.is_frozen() {
                return;
            }
            let gradient = gradients.get(parameter);
            let cols = parameter.value().cols();
            let rows_per_piece = (PIECE / cols.max(1)).max(1);
            let piece = rows_per_piece * cols.max(1);
            let values = parameter.value_mut().as_mut_slice();
            let run = |(i, values, first, second): Piece<'_>| match gradient {
                None => update.decay(values, first, second),
                Some(Gradient::Dense(gradient)) => {
                    let gradient = &gradient.as_slice()[i * piece..][..values.len()];
                    update.apply(values, first, second, gradient);
                }
                Some(Gradient::Rows(gradient)) => {
                    update.apply_rows(values, first, second, gradient, i * rows_per_piece);
                }
            };
            if size <= piece {
                run((0, values, first, second));
            } else {
                let moments = first.par_chunks_mut(piece).zip(second.par_chunks_mut(piece));
                let pieces = values.par_chunks_mut(piece).zip(moments);
                pieces.enumerate().for_each(|(i, (v, (m1, m2)))| run((i, v, m1, m2)));
            }
        });
        assert_eq!(index, self.moments.len(), "the module has lost parameters");
    }
}

/// The constants of one step.
struct Update {
    beta1: Real,
    beta2: Real,
    epsilon: Real,
    step_size: Real,
    root_correction: Real,
}

impl Update {
    fn apply(
        &self,
        values: &mut [Real],
        first: &mut [Real],
        second: &mut [Real],
        gradient: &[Real],
    ) {
        let moments = first.iter_mut().zip(second.iter_mut());
        for ((value, (m, v)), g) in values.iter_mut().zip(moments).zip(gradient) {
            self.element(value, m, v, *g);
        }
    }

    /// [`Update::apply`] with a gradient of zero.
    fn decay(&self, values: &mut [Real], first: &mut [Real], second: &mut [Real]) {
        let moments = first.iter_mut().zip(second.iter_mut());
        for (value, (m, v)) in values.iter_mut().zip(moments) {
            self.element(value, m, v, 0.0);
        }
    }

    /// The update of the rows from `start` on, with a gradient for some of them.
    fn apply_rows(
        &self,
        values: &mut [Real],
        first: &mut [Real],
        second: &mut [Real],
        gradient: &RowGradient,
        start: usize,
    ) {
        let (rows, cols) = (gradient.rows(), gradient.values().cols());
        let mut next = rows.partition_point(|&row| (row as usize) < start);
        let moments = first.chunks_mut(cols).zip(second.chunks_mut(cols));
        for (row, (values, (first, second))) in (start..).zip(values.chunks_mut(cols).zip(moments))
        {
            if rows.get(next).is_some_and(|&r| r as usize == row) {
                self.apply(values, first, second, gradient.values().row(next));
                next += 1;
            } else {
                self.decay(values, first, second);
            }
        }
    }

    #[inline(always)]
    fn element(&self, value: &mut Real, m: &mut Real, v: &mut Real, g: Real) {
        *m = self.beta1 * *m + (1.0 - self.beta1) * g;
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *value -= self.step_size * *m / (v.sqrt() / self.root_correction + self.epsilon);
    }
}
