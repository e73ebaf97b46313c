use moe_core::dispatch::Assignments;
use moe_core::{Buffer, Real, Tensor};

/// The K largest values of every row; of equal values, the earlier.
///
/// # Shapes
/// `[B, N]` → K of N experts for each of B rows
///
/// # Panics
/// If K is 0 or above N.
pub fn top_k_assignments(values: &Tensor, k: usize) -> Assignments {
    let mut experts = Buffer::unspecified(values.rows() * k);
    for (row, chosen) in experts.chunks_exact_mut(k).enumerate() {
        top_k_indices(values.row(row), chosen);
    }
    Assignments::fixed_from_buffer(values.cols(), k, experts)
}

/// Fills `chosen` with the positions of the largest values of `row`, largest first; of equal values, the earlier.
///
/// # Panics
/// If `chosen` is longer than the row.
pub fn top_k_indices(row: &[Real], chosen: &mut [u32]) {
    let k = chosen.len();
    assert!(k <= row.len(), "the {k} largest of {} values", row.len());
    let mut found = 0;
    for (i, value) in row.iter().enumerate() {
        let is_below = |&j: &u32| row[j as usize].total_cmp(value).is_lt();
        // Most values are not among the largest so far.
        if found == k && !chosen.last().is_some_and(is_below) {
            continue;
        }
        let mut rank = found.min(k - 1);
        found = (found + 1).min(k);
        while rank > 0 && is_below(&chosen[rank - 1]) {
            chosen[rank] = chosen[rank - 1];
            rank -= 1;
        }
        chosen[rank] = i as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_earlier_position() {
        let mut chosen = [9; 3];
        top_k_indices(&[1.0, 3.0, 3.0, 2.0, 3.0], &mut chosen);
        assert_eq!(chosen, [1, 2, 4]);
    }

    proptest! {
        #[test]
        fn equals_a_stable_sort(values in prop::collection::vec(-3i32..3, 1..12), k in 0usize..12) {
            let row: Vec<Real> = values.iter().map(|&v| v as Real).collect();
            let k = k.min(row.len());
            let mut sorted: Vec<u32> = (0..row.len() as u32).collect();
            sorted.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
            let mut chosen = vec![0; k];
            top_k_indices(&row, &mut chosen);
            prop_assert_eq!(&chosen, &sorted[..k]);
        }
    }
}
