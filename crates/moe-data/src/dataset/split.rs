//! Assigns rows to splits.

use moe_core::random;

/// Cuts `rows` at random into two parts, the second with `percent` of them (rounded to the nearest number). The order
/// within a part is that of `rows`.
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

/// Cuts `rows` at random into two parts, the second with `share` of them (rounded up), each class in proportion.
/// The order within a part is that of `rows`.
///
/// The second part gets the exact share of each class, rounded down; the missing rows come one each from the classes with
/// the largest remainders, the lower class where these are equal. scikit-learn's `train_test_split(stratify=…)`, which made
/// COMET's MovieLens, counts in the same way. The choice within class c is that of ChaCha8 under `seed`, `purpose` and c.
pub(crate) fn cut_stratified(
    rows: Vec<u32>,
    classes: usize,
    class: impl Fn(u32) -> usize,
    share: f64,
    seed: u64,
    purpose: &str,
) -> [Vec<u32>; 2] {
    let mut counts = vec![0; classes];
    rows.iter().for_each(|&row| counts[class(row)] += 1);
    let wanted = in_proportion(&counts, share);
    let in_second: Vec<Vec<bool>> = (0..classes)
        .map(|c| {
            let mut in_second = vec![false; counts[c]];
            let order = random::permutation(counts[c], seed, purpose, c as u64);
            order[..wanted[c]].iter().for_each(|&place| in_second[place as usize] = true);
            in_second
        })
        .collect();
    let mut next = vec![0; classes];
    let second: usize = wanted.iter().sum();
    let mut parts = [Vec::with_capacity(rows.len() - second), Vec::with_capacity(second)];
    for row in rows {
        let class = class(row);
        parts[usize::from(in_second[class][next[class]])].push(row);
        next[class] += 1;
    }
    parts
}

/// Number of rows of each class in a `share` of all rows, rounded up.
fn in_proportion(counts: &[usize], share: f64) -> Vec<usize> {
    let all: usize = counts.iter().sum();
    let total = ((all as f64 * share).ceil() as usize).min(all);
    // Products of two sizes: u64 holds the rows of any file twice over.
    let exact = |count: usize| total as u64 * count as u64;
    let mut wanted: Vec<usize> =
        counts.iter().map(|&count| (exact(count) / all.max(1) as u64) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&c| std::cmp::Reverse(exact(counts[c]) % all.max(1) as u64));
    let missing = total - wanted.iter().sum::<usize>();
    by_remainder[..missing].iter().for_each(|&c| wanted[c] += 1);
    wanted
}

/// Splits of these sizes, one after the other from row 0.
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

    /// Recorded from this code, to notice a change of the stream.
    const STABLE: [u32; 3] = [3, 4, 8];

    /// The sizes of COMET's MovieLens (rows, watched): 199,950 and 100,021 of 1,999,496 and 1,000,209 for testing,
    /// 224,944 and 112,524 of the rest for validation.
    #[test]
    fn classes_are_in_proportion_as_in_the_official_split() {
        let test = in_proportion(&[999_287, 1_000_209], 0.1);
        assert_eq!(test, [199_950 - 100_021, 100_021]);
        let val = in_proportion(&[999_287 - test[0], 1_000_209 - test[1]], 0.125);
        assert_eq!(val, [224_944 - 112_524, 112_524]);
        // The sizes of COMET's Book-Crossing: 83,509 of 556,724 twice, which leaves 389,706.
        let all = [278_362; 2];
        let test = in_proportion(&all, 0.15);
        let val = in_proportion(&[0, 1].map(|c| all[c] - test[c]), 0.15 / 0.85);
        assert_eq!([&test, &val].map(|part| part.iter().sum::<usize>()), [83_509; 2]);
        assert_eq!(in_proportion(&[1, 1, 1], 0.5), [1, 1, 0]);
        assert_eq!(in_proportion(&[0, 0], 0.5), [0, 0]);
        assert_eq!(in_proportion(&[3, 2], 1.0), [3, 2]);
    }

    #[test]
    fn stratified_parts_are_disjoint_ordered_and_seeded() {
        let rows: Vec<u32> = (100..300).collect();
        let cut = |seed| {
            cut_stratified(rows.clone(), 2, |row| usize::from(row % 4 == 0), 0.1, seed, "test")
        };
        let [first, second] = cut(7);
        assert_eq!(second.len(), 20);
        assert_eq!(second.iter().filter(|&row| row % 4 == 0).count(), 5);
        assert!(first.is_sorted() && second.is_sorted());
        assert_ne!(second, cut(8)[1]);
        let mut all = [first, second].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
        // Recorded from this code, to notice a change of the stream.
        let few = cut_stratified((0..12).collect(), 2, |row| (row % 2) as usize, 0.3, 1, "test");
        assert_eq!(few[1], [3, 8, 9, 10]);
    }

    #[test]
    fn few_rows_do_not_panic() {
        assert_eq!(cut(vec![], 50, 1, "test"), [vec![0; 0], vec![]]);
        assert_eq!(cut(vec![4], 10, 1, "test"), [vec![4], vec![]]);
        assert_eq!(cut(vec![4], 100, 1, "test"), [vec![], vec![4]]);
    }
}
