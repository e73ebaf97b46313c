use std::ops::Range;

use crate::Buffer;

use super::Assignments;

/// In which order the experts of a layer are computed.
///
/// For the gates of a layer, the union of their assignments becomes *slots*: one per (row, expert) that any
/// gate asked for, so that an expert is computed once for a row whichever gates use it. Slots are in
/// expert-major order, rows ascending within an expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertPlan {
    rows: usize,
    /// First slot of each expert; N + 1 numbers.
    expert_offsets: Buffer<u32>,
    /// Row of each slot.
    slot_rows: Buffer<u32>,
    /// Expert of each slot.
    slot_experts: Buffer<u32>,
    /// First entry of each row in `row_slots`; B + 1 numbers.
    row_offsets: Buffer<u32>,
    /// Slots of each row, experts ascending.
    row_slots: Buffer<u32>,
    /// For each gate, the slot of each of its pairs.
    pair_slots: Vec<Buffer<u32>>,
}

impl ExpertPlan {
    /// The plan for these gates.
    ///
    /// # Panics
    /// If there is no gate, or the gates differ in rows or experts.
    pub fn new(gates: &[&Assignments]) -> Self {
        let first = gates.first().expect("a layer has at least one gate");
        let (rows, num_experts) = (first.rows(), first.num_experts());
        for gate in gates {
            assert_eq!(
                (gate.rows(), gate.num_experts()),
                (rows, num_experts),
                "the gates of a layer differ in rows or experts"
            );
        }

        // The union, row by row, experts ascending; and the load of each expert.
        let most_slots = gates.iter().map(|gate| gate.pairs()).sum();
        let mut union = Buffer::<u32>::unspecified(most_slots);
        let mut row_offsets = Buffer::<u32>::filled(rows + 1, 0);
        let mut expert_offsets = Buffer::<u32>::filled(num_experts + 1, 0);
        let mut slots = 0;
        for row in 0..rows {
            let mut end = slots;
            for gate in gates {
                let experts = gate.of_row(row);
                union[end..end + experts.len()].copy_from_slice(experts);
                end += experts.len();
            }
            union[slots..end].sort_unstable();
            let start = slots;
            for i in start..end {
                if i == start || union[i] != union[slots - 1] {
                    union[slots] = union[i];
                    slots += 1;
                }
            }
            for &expert in &union[start..slots] {
                expert_offsets[expert as usize + 1] += 1;
            }
            row_offsets[row + 1] = slots as u32;
        }
        for expert in 0..num_experts {
            expert_offsets[expert + 1] += expert_offsets[expert];
        }

        // A stable counting sort by expert.
        let mut next = expert_offsets.clone();
        let mut slot_rows = Buffer::<u32>::unspecified(slots);
        let mut slot_experts = Buffer::<u32>::unspecified(slots);
        let mut row_slots = Buffer::<u32>::unspecified(slots);
        for row in 0..rows {
            for i in row_offsets[row] as usize..row_offsets[row + 1] as usize {
                let expert = union[i] as usize;
                let slot = next[expert];
                next[expert] += 1;
                slot_rows[slot as usize] = row as u32;
                slot_experts[slot as usize] = expert as u32;
                row_slots[i] = slot;
            }
        }

        let pair_slots = gates
            .iter()
            .map(|gate| {
                let mut pair_slots = Buffer::<u32>::unspecified(gate.pairs());
                for row in 0..rows {
                    let mut i = row_offsets[row] as usize;
                    for pair in gate.pairs_of(row) {
                        while union[i] != gate.experts()[pair] {
                            i += 1;
                        }
                        pair_slots[pair] = row_slots[i];
                    }
                }
                pair_slots
            })
            .collect();

        ExpertPlan {
            rows,
            expert_offsets,
            slot_rows,
            slot_experts,
            row_offsets,
            row_slots,
            pair_slots,
        }
    }

    /// B.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// N.
    pub fn num_experts(&self) -> usize {
        self.expert_offsets.len() - 1
    }

    /// G.
    pub fn num_gates(&self) -> usize {
        self.pair_slots.len()
    }

    /// S.
    pub fn slots(&self) -> usize {
        self.slot_rows.len()
    }

    /// The slots of an expert.
    pub fn slots_of_expert(&self, expert: usize) -> Range<usize> {
        self.expert_offsets[expert] as usize..self.expert_offsets[expert + 1] as usize
    }

    /// The slots of a row, experts ascending.
    pub fn slots_of_row(&self, row: usize) -> &[u32] {
        &self.row_slots[self.row_offsets[row] as usize..self.row_offsets[row + 1] as usize]
    }

    /// Row of each slot.
    pub fn slot_rows(&self) -> &[u32] {
        &self.slot_rows
    }

    /// Expert of each slot.
    pub fn slot_experts(&self) -> &[u32] {
        &self.slot_experts
    }

    /// The slot of each pair of a gate, in the order of its assignments.
    pub fn pair_slots(&self, gate: usize) -> &[u32] {
        &self.pair_slots[gate]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_of_gates_shares_slots() {
        let a = Assignments::fixed(3, 1, vec![2, 0]);
        let b = Assignments::fixed(3, 2, vec![0, 2, 1, 2]);
        let plan = ExpertPlan::new(&[&a, &b]);
        assert_eq!(plan.slot_experts(), [0, 0, 1, 2, 2]);
        assert_eq!(plan.slot_rows(), [0, 1, 1, 0, 1]);
        assert_eq!(plan.slots_of_row(1), [1, 2, 4]);
        assert_eq!(plan.pair_slots(0), [3, 1]);
        assert_eq!(plan.pair_slots(1), [0, 3, 2, 4]);
        assert_eq!(plan.slots_of_expert(2), 3..5);
    }

    /// Random assignments: each row has any subset of the experts.
    fn gate(rows: usize, num_experts: usize) -> impl Strategy<Value = Assignments> {
        prop::collection::vec(prop::collection::vec(any::<bool>(), num_experts), rows).prop_map(
            move |table| {
                let mut offsets = vec![0];
                let mut experts = Vec::new();
                for row in table {
                    experts.extend((0..num_experts as u32).filter(|&e| row[e as usize]));
                    offsets.push(experts.len() as u32);
                }
                Assignments::new(num_experts, offsets, experts).unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn every_pair_has_its_slot_and_every_slot_a_pair(
            (a, b) in (0usize..9, 1usize..6).prop_flat_map(|(rows, n)| (gate(rows, n), gate(rows, n)))
        ) {
            let plan = ExpertPlan::new(&[&a, &b]);
            let mut asked = vec![false; plan.slots()];
            for (g, gate) in [&a, &b].into_iter().enumerate() {
                for row in 0..gate.rows() {
                    for pair in gate.pairs_of(row) {
                        let slot = plan.pair_slots(g)[pair] as usize;
                        prop_assert_eq!(plan.slot_rows()[slot] as usize, row);
                        prop_assert_eq!(plan.slot_experts()[slot], gate.experts()[pair]);
                        asked[slot] = true;
                    }
                }
            }
            prop_assert!(asked.into_iter().all(|asked| asked));
            let keys: Vec<_> = (plan.slot_experts().iter().zip(plan.slot_rows())).collect();
            prop_assert!(keys.is_sorted_by(|x, y| x < y));
            for row in 0..plan.rows() {
                let experts: Vec<_> =
                    plan.slots_of_row(row).iter().map(|&s| plan.slot_experts()[s as usize]).collect();
                prop_assert!(experts.is_sorted_by(|x, y| x < y));
            }
            for expert in 0..plan.num_experts() {
                for slot in plan.slots_of_expert(expert) {
                    prop_assert_eq!(plan.slot_experts()[slot] as usize, expert);
                }
            }
        }
    }
}
