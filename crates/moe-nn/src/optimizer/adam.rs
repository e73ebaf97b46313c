use moe_core::Real;
use moe_core::kernel::prefetch;

use crate::optimizer::clipping::Limits;
use crate::optimizer::span::{Span, flushed};

/// Number of values in a cache line.
const LINE: usize = 64 / size_of::<Real>();

/// Prefetch distance in values: two kilobytes. Hardware prefetchers stop at the end of a page.
const AHEAD: usize = 32 * LINE;

/// The constants of one step of Adam or AdamW.
pub(super) struct AdamStep {
    pub(super) limits: Limits,
    beta1: Real,
    beta2: Real,
    /// 1 - beta1 and 1 - beta2.
    new1: Real,
    new2: Real,
    step_size: Real,
    /// Factor applied to the square root of the second moment.
    root_correction: Real,
    epsilon: Real,
    /// Fraction of a value that remains after weight decay.
    kept: Real,
}

impl AdamStep {
    /// The constants of step `t`, counted from 1. With `is_sparse`, epsilon is added before the bias correction, as in
    /// `torch.optim.SparseAdam`.
    pub(super) fn new(
        t: u64,
        (beta1, beta2): (f64, f64),
        epsilon: f64,
        is_sparse: bool,
        learning_rate: f64,
        weight_decay: f64,
        limits: Limits,
    ) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        let root_correction = 1.0 / correction(beta2).sqrt();
        AdamStep {
            limits,
            beta1: beta1 as Real,
            beta2: beta2 as Real,
            new1: (1.0 - beta1) as Real,
            new2: (1.0 - beta2) as Real,
            step_size: (learning_rate / correction(beta1)) as Real,
            root_correction: root_correction as Real,
            epsilon: (if is_sparse { epsilon * root_correction } else { epsilon }) as Real,
            kept: (1.0 - learning_rate * weight_decay) as Real,
        }
    }

    /// Updates a span; `None` stands for a gradient of zeros.
    #[inline(always)]
    pub(super) fn apply(&self, span: Span<'_>, gradient: Option<&[Real]>) {
        let Span { values, first, second } = span;
        let (values, values_rest) = values.as_chunks_mut::<LINE>();
        let (first, first_rest) = first.as_chunks_mut::<LINE>();
        let (second, second_rest) = second.as_chunks_mut::<LINE>();
        let whole = values.len() * LINE;
        let lines = values.iter_mut().zip(first.iter_mut().zip(second));
        for (i, (values, (m, v))) in lines.enumerate() {
            for line in [&*values, m, v] {
                prefetch(line, AHEAD);
            }
            let gradient = gradient.map(|gradient| &gradient[i * LINE..][..LINE]);
            if let Some(line) = gradient {
                prefetch(line, AHEAD);
            }
            self.elements(values, m, v, gradient);
        }
        let gradient = gradient.map(|gradient| &gradient[whole..]);
        self.elements(values_rest, first_rest, second_rest, gradient);
    }

    #[inline(always)]
    fn elements(
        &self,
        values: &mut [Real],
        first: &mut [Real],
        second: &mut [Real],
        gradient: Option<&[Real]>,
    ) {
        let elements = values.iter_mut().zip(first.iter_mut().zip(second));
        match gradient {
            Some(gradient) => {
                for ((value, (m, v)), &g) in elements.zip(gradient) {
                    self.element(value, m, v, self.limits.apply(g));
                }
            }
            None => elements.for_each(|(value, (m, v))| self.element(value, m, v, 0.0)),
        }
    }

    #[inline(always)]
    fn element(&self, value: &mut Real, m: &mut Real, v: &mut Real, g: Real) {
        *m = flushed(self.beta1 * *m + self.new1 * g);
        *v = flushed(self.beta2 * *v + self.new2 * g * g);
        let root = v.sqrt() * self.root_correction + self.epsilon;
        *value = self.kept * *value - self.step_size * *m / root;
    }
}
