use super::set_hash;

/// Sets that are counted at a time.
const COUNTERS: usize = 32;

/// The most frequent sets of experts, in bounded memory: the summary of Misra and Gries ("Finding repeated elements",
/// 1982).
///
/// With R rows a count is never too large, and too small by at most (R - counted) / 33, where `counted` is the sum of
/// all counts. Sets are told apart by a 64-bit hash.
#[derive(Clone, Debug)]
pub(super) struct FrequentSets {
    /// 0 where no set has been yet.
    hashes: [u64; COUNTERS],
    counts: [u64; COUNTERS],
    sets: Vec<Vec<u32>>,
}

impl Default for FrequentSets {
    fn default() -> Self {
        FrequentSets {
            hashes: [0; COUNTERS],
            counts: [0; COUNTERS],
            sets: vec![Vec::new(); COUNTERS],
        }
    }
}

impl FrequentSets {
    /// Counts a row with these ascending experts.
    pub(super) fn add(&mut self, experts: &[u32]) {
        let hash = set_hash(experts);
        // Without an early exit, so that the comparisons are one vector operation or two.
        let mut found = COUNTERS;
        for (place, known) in self.hashes.iter().enumerate() {
            found = if *known == hash { place } else { found };
        }
        if found < COUNTERS {
            self.counts[found] += 1;
        } else if let Some(free) = self.counts.iter().position(|&count| count == 0) {
            (self.hashes[free], self.counts[free]) = (hash, 1);
            self.sets[free].clear();
            self.sets[free].extend_from_slice(experts);
        } else {
            self.counts.iter_mut().for_each(|count| *count -= 1);
        }
    }

    /// The set with the largest count; of equal ones the first. No experts and 0 before the first row.
    pub(super) fn top(&self) -> (&[u32], u64) {
        let mut top = 0;
        for place in 1..COUNTERS {
            top = if self.counts[place] > self.counts[top] { place } else { top };
        }
        (&self.sets[top], self.counts[top])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_frequent_set_survives_any_number_of_others() {
        let mut sets = FrequentSets::default();
        for i in 0..10_000u32 {
            // Half of the rows go to sets of their own, the frequent one last.
            sets.add(&[i, i + 1]);
            if i >= 5_000 {
                sets.add(&[3, 5, 8]);
            }
        }
        let (top, count) = sets.top();
        assert_eq!(top, [3, 5, 8]);
        assert!((5_000 - 10_000 / 33..=5_000).contains(&count), "{count}");
    }

    #[test]
    fn sets_are_told_apart() {
        assert_ne!(set_hash(&[]), 0);
        let mut seen: Vec<u64> = (0..64u32)
            .flat_map(|a| (a + 1..64).map(move |b| set_hash(&[a, b])))
            .chain((0..64).map(|a| set_hash(&[a])))
            .collect();
        seen.sort_unstable();
        assert!(seen.is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn counts_are_within_the_bound(rows in prop::collection::vec(0u32..60, 1..2000)) {
            let (mut sets, mut exact) = (FrequentSets::default(), BTreeMap::<u32, u64>::new());
            for &row in &rows {
                // Skewed: small numbers more often.
                let expert = row % (1 + row / 7);
                sets.add(&[expert]);
                *exact.entry(expert).or_default() += 1;
            }
            let most = *exact.values().max().unwrap();
            let (top, count) = sets.top();
            let counted: u64 = sets.counts.iter().sum();
            let slack = (rows.len() as u64 - counted) / 33;
            prop_assert!(count <= most && count + slack >= most, "{count} of {most}");
            prop_assert!(count <= exact[&top[0]]);
        }
    }
}
