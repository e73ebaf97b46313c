use moe_core::Real;

/// Appends the positions of the `k` largest values of `row` to `out`, largest first; of equal values the earlier.
///
/// # Panics
/// If `k` is larger than the row.
pub fn top_k_indices(row: &[Real], k: usize, out: &mut Vec<u32>) {
    assert!(k <= row.len(), "the {k} largest of {} values", row.len());
    let start = out.len();
    for (i, value) in row.iter().enumerate() {
        let rank = out[start..]
            .iter()
            .rposition(|&j| row[j as usize].total_cmp(value).is_ge())
            .map_or(0, |last| last + 1);
        if rank < k {
            out.insert(start + rank, i as u32);
            out.truncate(start + k);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_earlier_position() {
        let mut out = vec![9];
        top_k_indices(&[1.0, 3.0, 3.0, 2.0, 3.0], 3, &mut out);
        assert_eq!(out, [9, 1, 2, 4]);
    }

    proptest! {
        #[test]
        fn equals_a_stable_sort(values in prop::collection::vec(-3i32..3, 1..12), k in 0usize..12) {
            let row: Vec<Real> = values.iter().map(|&v| v as Real).collect();
            let k = k.min(row.len());
            let mut sorted: Vec<u32> = (0..row.len() as u32).collect();
            sorted.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
            let mut out = Vec::new();
            top_k_indices(&row, k, &mut out);
            prop_assert_eq!(&out, &sorted[..k]);
        }
    }
}
