use std::ops::Range;

use moe_core::Real;

/// Number of elements in one parallel piece of work.
pub(super) const PIECE: usize = 1 << 14;

/// Replaces a denormal number by zero. Moments that decay for a long time would all become denormal, and arithmetic on
/// such numbers is many times slower.
#[inline(always)]
pub(super) fn flushed(moment: Real) -> Real {
    if moment.abs() < Real::MIN_POSITIVE { 0.0 } else { moment }
}

/// Values and their moments. A moment that the rule does not keep is empty.
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

    /// The elements of this range.
    pub(super) fn slice(&mut self, range: Range<usize>) -> Span<'_> {
        fn cut(slice: &mut [Real], range: Range<usize>) -> &mut [Real] {
            if slice.is_empty() { slice } else { &mut slice[range] }
        }
        Span {
            values: cut(self.values, range.clone()),
            first: cut(self.first, range.clone()),
            second: cut(self.second, range),
        }
    }

    /// Calls `f(index of the first element, piece)` for pieces of `piece` elements, in parallel if there are several.
    /// The indices start at `from`.
    pub(super) fn for_pieces(
        self,
        from: usize,
        piece: usize,
        f: &(impl Fn(usize, Span<'_>) + Sync),
    ) {
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
