use moe_core::Real;
use moe_core::kernel::{Loops, wide};
use moe_core::tape::{Gradient, RowGradient};

use crate::optimizer::adam::AdamStep;
use crate::optimizer::clipping::Limits;
use crate::optimizer::options::{OptimizerOptions, Rule};
use crate::optimizer::sgd::SgdStep;
use crate::optimizer::span::{PIECE, Span};

/// The step of one parameter.
pub(super) struct Update {
    rule: RuleStep,
    /// Whether elements without a gradient stay as they are.
    rests: bool,
}

enum RuleStep {
    Adam(AdamStep),
    Sgd(SgdStep),
}

impl Update {
    /// The update of `parameter` in step `t`, counted from 1.
    pub(super) fn new(
        options: &OptimizerOptions,
        t: u64,
        parameter: &str,
        learning_rate: f64,
        limits: Limits,
        gradient: Option<&Gradient>,
    ) -> Self {
        let group = options.group(parameter);
        let learning_rate = learning_rate * group.map_or(1.0, |group| group.learning_rate_factor);
        let decay = group.and_then(|group| group.weight_decay);
        match options.rule {
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

    /// Updates a matrix with `cols` columns.
    pub(super) fn run(&self, matrix: Span<'_>, cols: usize, gradient: Option<&Gradient>) {
        let cols = cols.max(1);
        let piece = (PIECE / cols).max(1) * cols;
        match gradient {
            None if self.rests => {}
            None => matrix.for_pieces(0, piece, &|_, span| self.apply(span, None)),
            Some(Gradient::Dense(gradient)) => {
                let gradient = gradient.as_slice();
                matrix.for_pieces(0, piece, &|from, span| {
                    let gradient = &gradient[from..][..span.values.len()];
                    self.apply(span, Some(gradient));
                });
            }
            Some(Gradient::Rows(gradient)) => {
                matrix.for_pieces(0, piece, &|from, span| {
                    self.apply_rows(span, cols, gradient, from / cols);
                });
            }
        }
    }

    /// Updates the rows from `start` on, some of which have a gradient.
    fn apply_rows(&self, mut span: Span<'_>, cols: usize, gradient: &RowGradient, start: usize) {
        let (rows, len) = (gradient.rows(), span.values.len());
        let mut done = 0;
        for index in rows.partition_point(|&row| (row as usize) < start)..rows.len() {
            let from = (rows[index] as usize - start) * cols;
            if from >= len {
                break;
            }
            if !self.rests {
                self.apply(span.slice(done..from), None);
            }
            done = from + cols;
            self.apply(span.slice(from..done), Some(gradient.values().row(index)));
        }
        if !self.rests {
            self.apply(span.slice(done..len), None);
        }
    }

    fn apply(&self, span: Span<'_>, gradient: Option<&[Real]>) {
        wide(Piece { rule: &self.rule, span, gradient });
    }
}

/// Values that all have a gradient, or have none.
struct Piece<'a> {
    rule: &'a RuleStep,
    span: Span<'a>,
    gradient: Option<&'a [Real]>,
}

impl Loops for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.rule {
            RuleStep::Adam(step) => step.apply(self.span, self.gradient),
            RuleStep::Sgd(step) => step.apply(self.span, self.gradient),
        }
    }
}
