//! Which rows belong to which part.

use moe_core::random;

/// Cuts `rows` at random into two parts, the second with the share `percent` of them (rounded to the
/// nearest). The order within a part is that of `rows`.
///
/// The choice is that of ChaCha8 under `seed` and `purpose`.
pub(crate) fn cut(rows: Vec<u32>, percent: usize, seed: u64, purpose: &str) -> [Vec<u32>; 2] {
    let second = (rows.len() * percent + 50) / 100;
    let mut in_second = vec![false; rows.len()];
    for &position in &random::permutation(rows.len(), seed, purpose, 0)[..second] {
        in_second[position as usize] = true;
    }
    let mut parts = [Vec::with_capacity(rows.len() - second), Vec::with_capacity(second)];
    for (row, in_second) in rows.into_iter().zip(in_second) {
        parts[usize::from(in_second)].push(row);
    }
    parts
}

/// Parts of these sizes, one after the other from row 0.
pub(crate) fn consecutive(sizes: [usize; 3]) -> [Vec<u32>; 3] {
    let mut next = 0;
    sizes.map(|size| {
        let start = next;
        next += size as u32;
        (start..next).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_ordered_and_of_the_right_size() {
        let rows: Vec<u32> = (100..300).collect();
        let [first, second] = cut(rows.clone(), 15, 7, "test");
        assert_eq!((first.len(), second.len()), (170, 30));
        assert!(first.is_sorted() && second.is_sorted());
        let mut all = [first, second].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
    }

    #[test]
    fn value_stability() {
        assert_eq!(cut((0..10).collect(), 30, 1, "test")[1], STABLE);
        assert_ne!(cut((0..10).collect(), 30, 2, "test")[1], STABLE);
        assert_ne!(cut((0..10).collect(), 30, 1, "other")[1], STABLE);
    }

    /// From this code: it stands here so that a change of the stream is noticed.
    const STABLE: [u32; 3] = [3, 4, 8];

    #[test]
    fn few_rows_do_not_panic() {
        assert_eq!(cut(vec![], 50, 1, "test"), [vec![], vec![]]);
        assert_eq!(cut(vec![4], 10, 1, "test"), [vec![4], vec![]]);
        assert_eq!(cut(vec![4], 100, 1, "test"), [vec![], vec![4]]);
    }
}
