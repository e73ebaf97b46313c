//! Draws experts from the softmax of a row.

use moe_core::dispatch::Assignments;
use moe_core::kernel::for_row_blocks2;
use moe_core::{Buffer, Real, Tensor};

/// The experts drawn for B rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: number of times that each expert was drawn; `None` if each was drawn once.
    pub counts: Option<Tensor>,
    /// `[B]`: the kept expert of each row, one of those drawn.
    pub kept: Buffer<u32>,
}

/// Draws `k` experts for every row from the softmax of its logits, one after the other, with or without replacement,
/// and one of the distinct experts drawn, with equal probabilities.
///
/// `uniforms(row, out)` writes k + 1 numbers in [0, 1). For a number u, the first expert is drawn whose cumulative
/// fraction of the remaining mass is above u; the last number chooses among the drawn experts in ascending order.
///
/// # Shapes
/// `logits` and their softmax `probabilities` `[B, N]`
pub(crate) fn draw(
    logits: &Tensor,
    probabilities: Tensor,
    k: usize,
    replace: bool,
    uniforms: impl Fn(usize, &mut [Real]) + Send + Sync,
) -> Drawn {
    let (rows, n) = (logits.rows(), logits.cols());
    let mut mass = probabilities;
    // Uniform numbers, replaced by the indices of the experts drawn.
    let mut draws = Tensor::unspecified([rows, k + 1]);
    let (out, other) = ((mass.as_mut_slice(), n), (draws.as_mut_slice(), k + 1));
    for_row_blocks2(out, other, |first, mass, draws| {
        let rows = mass.chunks_exact_mut(n).zip(draws.chunks_exact_mut(k + 1));
        for (row, (mass, draws)) in (first..).zip(rows) {
            uniforms(row, draws);
            if replace {
                with_replacement(mass, &mut draws[..k]);
            } else {
                without_replacement(logits.row(row), mass, &mut draws[..k]);
            }
        }
    });
    if replace { counted(n, &draws) } else { distinct(n, &draws) }
}

/// Replaces uniform numbers by distinct positions, drawn from the softmax of `logits` over the remaining positions.
/// `mass` is that softmax, and is consumed.
fn without_replacement(logits: &[Real], mass: &mut [Real], draws: &mut [Real]) {
    /// A remaining mass below this has lost its precision and is computed again.
    const LITTLE: Real = 1e-20;
    for i in 0..draws.len() {
        let (before, rest) = draws.split_at_mut(i);
        let is_taken = |j: usize| before.contains(&(j as Real));
        let mut left: Real = mass.iter().sum();
        let enough = left >= LITTLE;
        if !enough {
            let open = (0..logits.len()).filter(|&j| !is_taken(j));
            let max = open.fold(Real::NEG_INFINITY, |max, j| max.max(logits[j]));
            for (j, m) in mass.iter_mut().enumerate() {
                *m = if is_taken(j) { 0.0 } else { (logits[j] - max).exp() };
            }
            left = mass.iter().sum();
        }
        let found = position(mass, rest[0] * left);
        // NaN logits leave no mass.
        let j = found.or_else(|| (0..mass.len()).find(|&j| !is_taken(j))).expect("k is at most n");
        mass[j] = 0.0;
        rest[0] = j as Real;
    }
}

/// Replaces uniform numbers by positions, drawn in proportion to `mass`.
fn with_replacement(mass: &[Real], draws: &mut [Real]) {
    let total: Real = mass.iter().sum();
    for draw in draws {
        *draw = position(mass, *draw * total).unwrap_or(0) as Real;
    }
}

/// The first position whose cumulative mass is above `target` or, if rounding leaves none, the last one with any mass.
fn position(mass: &[Real], target: Real) -> Option<usize> {
    let mut sum = 0.0;
    let above = mass.iter().position(|m| {
        sum += m;
        target < sum
    });
    above.or_else(|| mass.iter().rposition(|&m| m > 0.0))
}

/// The element of `of` that a uniform number in [0, 1) selects.
fn chosen(of: &[u32], u: Real) -> u32 {
    of[((u * of.len() as Real) as usize).min(of.len() - 1)]
}

/// The experts of draws `[B, K + 1]` without replacement.
fn distinct(n: usize, draws: &Tensor) -> Drawn {
    let (rows, k) = (draws.rows(), draws.cols() - 1);
    let mut experts = Buffer::unspecified(rows * k);
    for (row, experts) in experts.chunks_exact_mut(k).enumerate() {
        experts.iter_mut().zip(draws.row(row)).for_each(|(expert, &j)| *expert = j as u32);
    }
    let assignments = Assignments::fixed_from_buffer(n, k, experts);
    let mut kept = Buffer::unspecified(rows);
    for (row, kept) in kept.iter_mut().enumerate() {
        *kept = chosen(assignments.of_row(row), draws.row(row)[k]);
    }
    Drawn { assignments, counts: None, kept }
}

/// The experts of draws `[B, K + 1]` with replacement.
fn counted(n: usize, draws: &Tensor) -> Drawn {
    let (rows, k) = (draws.rows(), draws.cols() - 1);
    let mut offsets = Buffer::filled(rows + 1, 0);
    let mut experts = Buffer::<u32>::unspecified(rows * k);
    let mut counts = Tensor::zeros([rows * k]);
    let times = counts.as_mut_slice();
    let mut kept = Buffer::unspecified(rows);
    let mut pairs = 0;
    for row in 0..rows {
        // The row's draws are sorted in place, then merged run by run.
        let start = pairs;
        let all = &mut experts[start..start + k];
        all.iter_mut().zip(draws.row(row)).for_each(|(expert, &j)| *expert = j as u32);
        all.sort_unstable();
        for at in start..start + k {
            let expert = experts[at];
            if pairs == start || experts[pairs - 1] != expert {
                experts[pairs] = expert;
                pairs += 1;
            }
            times[pairs - 1] += 1.0;
        }
        kept[row] = chosen(&experts[start..pairs], draws.row(row)[k]);
        offsets[row + 1] = pairs as u32;
    }
    experts.truncate(pairs);
    let counts = Tensor::from_fn([pairs], |pair| counts.as_slice()[pair]);
    let assignments = Assignments::from_buffers(n, offsets, experts);
    let assignments = assignments.expect("sorted runs are ascending");
    Drawn { assignments, counts: Some(counts), kept }
}
