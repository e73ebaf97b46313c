use moe_core::dispatch::Assignments;
use serde::{Deserialize, Serialize};

use crate::telemetry::set_hash::set_hash;

/// Number of rows that can be remembered, a power of two.
const PLACES: u64 = 1 << 20;

/// Routing consistency: the number of rows that go to different experts than when they were last seen (the change of a
/// sample's mask that MOESART's code reports, counted in rows).
///
/// Each row takes 4 bytes, at the position of its id modulo 2²⁰, so at most 4 MiB: 16 bits of the rest of the id and a
/// 16-bit hash of its experts. Of two rows at the same position, the later one is remembered and the other counts as
/// not seen. About one in 65 536 changed rows is taken for unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Consistency {
    /// Grows up to [`PLACES`]; 0 where there is no row yet.
    places: Vec<u32>,
    seen_again: u64,
    changed: u64,
}

/// The saved form of [`Consistency`]: the occupied positions, since ids may be far apart.
#[derive(Serialize, Deserialize)]
struct Kept {
    length: u32,
    /// Occupied positions and their contents.
    taken: Vec<(u32, u32)>,
    seen_again: u64,
    changed: u64,
}

impl From<Consistency> for Kept {
    fn from(memory: Consistency) -> Self {
        let Consistency { places, seen_again, changed } = memory;
        let length = places.len() as u32;
        let taken = (0..length).zip(places).filter(|(_, place)| *place != 0).collect();
        Kept { length, taken, seen_again, changed }
    }
}

impl From<Kept> for Consistency {
    fn from(kept: Kept) -> Self {
        let Kept { length, taken, seen_again, changed } = kept;
        // No run counts as far; the sums of a damaged file must not overflow.
        let [seen_again, changed] = [seen_again, changed].map(|count| count.min(1 << 53));
        let mut places = vec![0; length.min(PLACES as u32) as usize];
        for (at, value) in taken {
            if let Some(place) = places.get_mut(at as usize) {
                *place = value;
            }
        }
        Consistency { places, seen_again, changed }
    }
}

impl Consistency {
    /// Memory for ids below `rows`, which does not grow.
    pub fn for_rows(rows: usize) -> Self {
        Consistency { places: vec![0; rows.min(PLACES as usize)], ..Consistency::default() }
    }

    /// Adds a batch of a gate.
    ///
    /// # Panics
    /// If there is not one id per row.
    pub fn add(&mut self, row_ids: &[u64], assignments: &Assignments) {
        assert_eq!(row_ids.len(), assignments.rows(), "one id per row");
        let end = row_ids.iter().map(|id| id % PLACES + 1).max().unwrap_or(0) as usize;
        if end > self.places.len() {
            self.places.resize(end, 0);
        }
        for (row, id) in row_ids.iter().enumerate() {
            let tag = (id / PLACES) as u16;
            let experts = (set_hash(assignments.of_row(row)) >> 48).max(1) as u16;
            let place = &mut self.places[(id % PLACES) as usize];
            let is_known = *place & 0xffff != 0 && (*place >> 16) as u16 == tag;
            self.seen_again += u64::from(is_known);
            self.changed += u64::from(is_known && *place as u16 != experts);
            *place = u32::from(tag) << 16 | u32::from(experts);
        }
    }

    /// The fraction of rows whose experts changed since they were last seen, among the rows added since the last call
    /// that had been seen before; `None` if there are none. The experts of each row stay remembered.
    pub fn take_changed(&mut self) -> Option<f64> {
        let seen_again = std::mem::take(&mut self.seen_again);
        let changed = std::mem::take(&mut self.changed);
        (seen_again > 0).then(|| changed as f64 / seen_again as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saved_form_is_complete_and_small() {
        let mut memory = Consistency::default();
        memory.add(&[7, PLACES - 1], &Assignments::from_rows(4, [[0], [1]]));
        let text = serde_json::to_string(&memory).unwrap();
        assert!(text.len() < 200, "{text}");
        let mut read: Consistency = serde_json::from_str(&text).unwrap();
        assert_eq!(read, memory);
        read.add(&[7, PLACES - 1], &Assignments::from_rows(4, [[0], [2]]));
        assert_eq!(read.take_changed(), Some(0.5));
    }

    #[test]
    fn rows_are_compared_with_their_last_visit() {
        let mut memory = Consistency::default();
        memory.add(&[10, 11, 12, 13], &Assignments::from_rows(4, [[0], [1], [2], [3]]));
        assert_eq!(memory.take_changed(), None, "nothing has been seen before");
        // Another order; row 12 goes elsewhere, row 14 is new.
        memory.add(&[12, 14, 10], &Assignments::from_rows(4, [[1], [1], [0]]));
        memory.add(&[11], &Assignments::from_rows(4, [[1]]));
        assert_eq!(memory.take_changed(), Some(1.0 / 3.0));
        memory.add(&[12], &Assignments::from_rows(4, [vec![1]]));
        assert_eq!(memory.take_changed(), Some(0.0), "compared with the last visit, not the first");
        memory.add(&[12], &Assignments::from_rows(4, [vec![1, 2]]));
        assert_eq!(memory.take_changed(), Some(1.0));
        assert_eq!(memory.take_changed(), None);
    }

    #[test]
    fn rows_at_the_same_position_are_not_confused() {
        let mut memory = Consistency::default();
        let to = |expert| Assignments::from_rows(4, [[expert]]);
        memory.add(&[5], &to(0));
        memory.add(&[5 + PLACES], &to(1));
        assert_eq!(memory.take_changed(), None);
        memory.add(&[5 + PLACES], &to(1));
        memory.add(&[5], &to(0));
        assert_eq!(memory.take_changed(), Some(0.0), "row 5 was forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Consistency::default();
        for id in 0..50u64 {
            memory
                .add(&[id.wrapping_mul(0x9e37_79b9_7f4a_7c15)], &Assignments::from_rows(4, [[0]]));
        }
        assert!(memory.places.len() <= PLACES as usize);
        memory.add(&[], &Assignments::dense(0, 4));

        let mut memory = Consistency::for_rows(usize::MAX);
        assert_eq!(memory.places.len(), PLACES as usize);
        memory = Consistency::for_rows(3);
        memory.add(&[2, 0, 1], &Assignments::from_rows(4, [[0], [1], [2]]));
        assert_eq!(memory.places.len(), 3);
    }
}
