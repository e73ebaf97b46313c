/// The result of [`swap_search`].
#[derive(Clone, Debug, PartialEq)]
pub struct SwapResult {
    /// The permutation: expert e becomes expert `permutation[e]`.
    pub permutation: Vec<u32>,
    /// Loss of the permutation.
    pub loss: f64,
    /// Number of times that the loss was computed.
    pub losses: usize,
    /// Whether no single swap reduces the loss. If not, the budget was exhausted.
    pub is_optimum: bool,
}

/// Local search over permutations by swapping pairs (2-opt), for comparison with learnt ones. Every pair is tried in
/// turn, and a swap is kept if it reduces the loss, until no swap does or the loss has been computed `budget` times.
/// NaN is never a smaller loss.
///
/// ```
/// use moe_search::swap_search;
///
/// // Number of misplaced experts.
/// let wrong = |labels: &[u32]| labels.iter().zip([2, 0, 1, 3]).filter(|(a, b)| **a != *b).count() as f64;
/// let found = swap_search(vec![0, 1, 2, 3], 100, wrong);
/// assert_eq!((found.permutation, found.loss), (vec![2, 0, 1, 3], 0.0));
/// ```
///
/// # Panics
/// If the budget is zero.
pub fn swap_search(
    start: Vec<u32>,
    budget: usize,
    mut loss: impl FnMut(&[u32]) -> f64,
) -> SwapResult {
    assert!(budget > 0, "a search needs the loss of its start");
    let n = start.len();
    let pairs: Vec<_> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
    let mut best =
        SwapResult { loss: loss(&start), permutation: start, losses: 1, is_optimum: false };
    let mut in_vain = 0;
    for &(a, b) in pairs.iter().cycle() {
        if in_vain == pairs.len() || best.losses == budget {
            break;
        }
        best.permutation.swap(a, b);
        let found = loss(&best.permutation);
        best.losses += 1;
        if found < best.loss || (best.loss.is_nan() && !found.is_nan()) {
            best.loss = found;
            in_vain = 0;
        } else {
            best.permutation.swap(a, b);
            in_vain += 1;
        }
    }
    best.is_optimum = in_vain == pairs.len();
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_an_optimum_or_at_the_budget() {
        // A matching of rows to columns, whose sum is smallest for the reverse order.
        let calls = std::cell::Cell::new(0);
        let sum = |labels: &[u32]| {
            calls.set(calls.get() + 1);
            labels.iter().enumerate().map(|(i, &l)| i as f64 * f64::from(l)).sum()
        };
        let found = swap_search((0..6).collect(), 1000, sum);
        assert_eq!(found.permutation, [5, 4, 3, 2, 1, 0]);
        assert!(found.is_optimum && found.losses == calls.get());
        let cut = swap_search((0..6).collect(), 5, sum);
        assert_eq!((cut.losses, cut.is_optimum), (5, false));
        assert!(cut.loss < 55.0);
    }

    #[test]
    fn a_loss_of_nan_is_left_and_not_entered() {
        let first_is = |wanted: u32| {
            move |labels: &[u32]| if labels[0] == wanted { f64::NAN } else { f64::from(labels[1]) }
        };
        assert!(!swap_search(vec![0, 1, 2], 100, first_is(0)).loss.is_nan());
        assert_eq!(swap_search(vec![1, 0, 2], 100, first_is(2)).loss, 0.0);
        assert!(swap_search(vec![0], 100, |_: &[u32]| 1.0).is_optimum);
    }
}
