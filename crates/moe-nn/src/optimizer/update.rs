use std::ops::Range;

use moe_core::Real;
use moe_core::kernel::{Loops, wide};
use moe_core::tape::{Gradient, RowGradient};

use super::PIECE;
use super::adam::AdamStep;
use super::sgd::SgdStep;

/// Zero in place of a number that would be denormal: moments that decay for long would all become such numbers, which
/// cost many times as much.
#[inline(always)]
pub(super) fn flushed(moment: Real) -> Real {
    if moment.abs() < Real::MIN_POSITIVE { 0.0 } else { moment }
}

/// Values and their moments; the moments that a rule does not keep are empty.
pub(super) struct Span<'a> {
    pub(super) values: &'a mut [Real],
    pub(super) first: &'a mut [Real],
    pub(super) second: &'a mut [Real],
}

impl<'a> Span<'a> {
    fn split_at(self, middle: usize) -> (Span<'a>, Span<'a>) {
        let split = |slice: &'a mut [Real]| {
            let middle = middle.min(slice.len());
            slice.split_at_mut(middle)
        };
        let (values, first, second) = (split(self.values), split(self.first), split(self.second));
        (
            Span { values: values.0, first: first.0, second: second.0 },
            Span { values: values.1, first: first.1, second: second.1 },
        )
    }

    fn part(&mut self, range: Range<usize>) -> Span<'_> {
        fn cut(slice: &mut [Real], range: Range<usize>) -> &mut [Real] {
            if slice.is_empty() { slice } else { &mut slice[range] }
        }
        Span {
            values: cut(self.values, range.clone()),
            first: cut(self.first, range.clone()),
            second: cut(self.second, range),
        }
    }

    /// Calls `f(first element, piece)` for pieces of `piece` elements, in parallel if there are several.
    fn for_pieces(self, from: usize, piece: usize, f: &(impl Fn(usize, Span<'_>) + Sync)) {
        let pieces = self.values.len().div_ceil(piece);
        if pieces <= 1 {
            return f(from, self);
        }
        let middle = pieces / 2 * piece;
        let (left, right) = self.split_at(middle);
        rayon::join(
            || left.for_pieces(from, piece, f),
            || right.for_pieces(from + middle, piece, f),
        );
    }
}

/// The step of one parameter.
pub(super) struct Update {
    pub(super) rule: RuleStep,
    /// Whether elements without gradient stay as they are.
    pub(super) rests: bool,
}

pub(super) enum RuleStep {
    Adam(AdamStep),
    Sgd(SgdStep),
}

impl Update {
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

    /// Updates the rows from `start` on, with a gradient for some of them.
    fn apply_rows(&self, mut span: Span<'_>, cols: usize, gradient: &RowGradient, start: usize) {
        let (rows, len) = (gradient.rows(), span.values.len());
        let mut done = 0;
        for index in rows.partition_point(|&row| (row as usize) < start)..rows.len() {
            let from = (rows[index] as usize - start) * cols;
            if from >= len {
                break;
            }
            if !self.rests {
                self.apply(span.part(done..from), None);
            }
            done = from + cols;
            self.apply(span.part(from..done), Some(gradient.values().row(index)));
        }
        if !self.rests {
            self.apply(span.part(done..len), None);
        }
    }

    fn apply(&self, span: Span<'_>, gradient: Option<&[Real]>) {
        wide(Piece { rule: &self.rule, span, gradient });
    }
}

/// Values with a gradient for each, or for none.
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
