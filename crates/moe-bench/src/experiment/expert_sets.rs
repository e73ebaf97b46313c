//! The sets of as many experts as a row has, all of them or a sample.

use std::collections::BTreeSet;

use moe_core::random::permutation;

/// Sets of equal size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpertSets {
    /// Each ascending.
    pub(crate) sets: Vec<Vec<u32>>,
    /// Number of all sets of that size; of a size, the sets are a sample if it is larger than their number.
    pub(crate) of: f64,
}

impl ExpertSets {
    /// All sets of `size` of N `experts`, in lexicographic order; or, if they are more than `most`, as many different ones,
    /// drawn from `seed` with equal probabilities.
    ///
    /// # Panics
    /// If `size` is above N.
    pub(crate) fn new(experts: usize, size: usize, most: usize, seed: u64) -> Self {
        assert!(size <= experts, "{size} of {experts} experts");
        // Each product is a binomial coefficient, so that small numbers stay whole.
        let of = (0..size).fold(1.0, |of, i| of * (experts - i) as f64 / (i + 1) as f64).round();
        let sets = if of <= most as f64 {
            all(experts, size)
        } else {
            let mut drawn = BTreeSet::new();
            let mut draw = 0;
            while drawn.len() < most {
                let order = permutation(experts, seed, &format!("expert sets of {size}"), draw);
                let mut set = order[..size].to_vec();
                set.sort_unstable();
                drawn.insert(set);
                draw += 1;
            }
            drawn.into_iter().collect()
        };
        ExpertSets { sets, of }
    }
}

/// All sets of `size` of the experts from 0 to `experts` - 1.
fn all(experts: usize, size: usize) -> Vec<Vec<u32>> {
    let mut sets = Vec::new();
    let mut set: Vec<u32> = (0..size as u32).collect();
    loop {
        sets.push(set.clone());
        // The last place that can still move up; those behind it follow it.
        let is_movable = |&place: &usize| (set[place] as usize) < experts - size + place;
        let Some(place) = (0..size).rev().find(is_movable) else { return sets };
        let first = set[place] + 1;
        set[place..].iter_mut().zip(first..).for_each(|(expert, next)| *expert = next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sets_are_all_there() {
        let two_of_four = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
        let found = ExpertSets::new(4, 2, 6, 1);
        assert_eq!(found, ExpertSets { sets: two_of_four.map(Vec::from).to_vec(), of: 6.0 });
        assert_eq!(ExpertSets::new(3, 3, 10, 1).sets, [[0, 1, 2]]);
        assert_eq!(ExpertSets::new(3, 0, 10, 1).sets, [[0; 0]]);
        assert_eq!(ExpertSets::new(3, 1, 10, 1).sets, [[0], [1], [2]]);
        assert_eq!(ExpertSets::new(16, 4, 2000, 1).sets.len(), 1820);
    }

    #[test]
    fn many_sets_are_drawn_from_a_seed() {
        let found = ExpertSets::new(20, 5, 100, 1);
        assert_eq!((found.sets.len(), found.of), (100, 15_504.0));
        let different: BTreeSet<_> = found.sets.iter().collect();
        assert_eq!(different.len(), 100);
        for set in &found.sets {
            assert!(set.len() == 5 && set.is_sorted_by(|a, b| a < b) && set[4] < 20, "{set:?}");
        }
        assert_eq!(ExpertSets::new(20, 5, 100, 1), found);
        assert_ne!(ExpertSets::new(20, 5, 100, 2), found);
        // Every expert is in a quarter of them: 25, with a standard deviation of 4.
        for expert in 0..20 {
            let count = found.sets.iter().filter(|set| set.contains(&expert)).count();
            assert!((8..45).contains(&count), "{expert}: {count}");
        }
        // One set is missing of those that there are.
        assert_eq!(ExpertSets::new(4, 2, 5, 1).sets.len(), 5);
    }
}
