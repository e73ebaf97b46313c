use serde::{Deserialize, Serialize};

use crate::telemetry::set_hash::set_hash;

/// Number of counters.
const PLACES: usize = 256;

/// The most frequent sets of experts, in bounded memory and constant time.
///
/// The hash of a set selects its counter. Among the sets of one counter, a majority vote finds the most frequent one
/// (Boyer and Moore, "MJRTY: a fast majority vote algorithm", 1981): a row of the counted set counts up, one of another
/// set counts down, and at zero the other set takes over the counter. So a count is never too large, and too small by
/// at most the number of rows of the other sets at its counter, on average 1/256 of them. Sets are distinguished by a
/// 64-bit hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Place>", into = "Vec<Place>")]
pub(super) struct FrequentSets {
    places: Vec<Place>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    hash: u64,
    count: u64,
    experts: Vec<u32>,
}

/// The saved form: the counters that have counted. The hash says which one it is.
impl From<FrequentSets> for Vec<Place> {
    fn from(sets: FrequentSets) -> Self {
        sets.places.into_iter().filter(|place| place.hash != 0).collect()
    }
}

impl From<Vec<Place>> for FrequentSets {
    fn from(kept: Vec<Place>) -> Self {
        let mut sets = FrequentSets::default();
        for place in kept {
            let at = place.hash as usize % PLACES;
            sets.places[at] = place;
        }
        sets
    }
}

impl Default for FrequentSets {
    fn default() -> Self {
        FrequentSets { places: vec![Place::default(); PLACES] }
    }
}

impl FrequentSets {
    /// Counts a row with these ascending experts.
    pub(super) fn add(&mut self, experts: &[u32]) {
        let hash = set_hash(experts);
        let place = &mut self.places[hash as usize % PLACES];
        if place.hash == hash {
            place.count += 1;
        } else if place.count > 0 {
            place.count -= 1;
        } else {
            (place.hash, place.count) = (hash, 1);
            place.experts.clear();
            place.experts.extend_from_slice(experts);
        }
    }

    /// The set with the largest count, of equal ones the first; no experts and 0 before the first row.
    pub(super) fn top(&self) -> (&[u32], u64) {
        // Of equal elements, `max_by_key` returns the last.
        let top = self.places.iter().rev().max_by_key(|place| place.count);
        top.map_or((&[], 0), |top| (&top.experts, top.count))
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
            // Two thirds of the rows go to distinct sets, the frequent one comes last.
            sets.add(&[i, i + 1]);
            if i >= 5_000 {
                sets.add(&[3, 5, 8]);
            }
        }
        let (top, count) = sets.top();
        assert_eq!(top, [3, 5, 8]);
        // About 39 of the others have the same counter.
        assert!((4_900..=5_000).contains(&count), "{count}");
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
            let place = |expert: u32| set_hash(&[expert]) as usize % PLACES;
            let (&likeliest, &most) = exact.iter().max_by_key(|(_, count)| **count).unwrap();
            let others = exact.iter().filter(|(e, _)| **e != likeliest && place(**e) == place(likeliest));
            let slack: u64 = others.map(|(_, count)| count).sum();
            let (top, count) = sets.top();
            prop_assert!(count <= exact[&top[0]]);
            prop_assert!(count + slack >= most, "{count} of {most}");
        }
    }
}
