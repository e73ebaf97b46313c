use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::buffer::Buffer;

use super::assignments::Assignments;

/// The order in which the experts of a layer are computed.
///
/// For the gates of a layer, the union of their assignments becomes *slots*: one per (row, expert) that any
/// gate chose, so that an expert is computed once for a row whichever gates use it. Slots are in
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

/// The plan for no rows and no experts.
impl Default for ExpertPlan {
    fn default() -> Self {
        let none = || Buffer::unspecified(0);
        let zero = || Buffer::filled(1, 0);
        ExpertPlan {
            rows: 0,
            expert_offsets: zero(),
            slot_rows: none(),
            slot_experts: none(),
            row_offsets: zero(),
            row_slots: none(),
            pair_slots: Vec::new(),
        }
    }
}

impl ExpertPlan {
    /// The plan for these gates.
    ///
    /// # Panics
    /// If there is no gate, or the gates differ in rows or experts.
    pub fn new(gates: &[&Assignments]) -> Self {
        let mut plan = ExpertPlan::default();
        plan.rebuild(gates.len(), |gate| gates[gate]);
        plan
    }

    /// [`ExpertPlan::new`] for gates 0 to `num_gates` - 1, in the memory of an earlier plan of the thread that is no longer
    /// used.
    ///
    /// # Panics
    /// As `new`.
    pub fn shared<'a>(num_gates: usize, gate: impl Fn(usize) -> &'a Assignments) -> Arc<Self> {
        /// Plans of a pass that several layers make, and of passes that overlap.
        const MOST_KEPT: usize = 16;
        thread_local!(static KEPT: RefCell<Vec<Arc<ExpertPlan>>> = const { RefCell::new(Vec::new()) });
        let spare = KEPT.with_borrow_mut(|kept| {
            let unused = kept.iter_mut().position(|plan| Arc::get_mut(plan).is_some());
            unused.map(|at| kept.swap_remove(at))
        });
        let mut plan = spare.unwrap_or_default();
        let rebuilt = Arc::get_mut(&mut plan).expect("it has no other owner");
        rebuilt.rebuild(num_gates, gate);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MOST_KEPT {
                kept.push(Arc::clone(&plan));
            }
        });
        plan
    }

    /// Replaces the plan by that for other gates, in place if the memory is large enough.
    fn rebuild<'a>(&mut self, num_gates: usize, gate: impl Fn(usize) -> &'a Assignments) {
        assert!(num_gates > 0, "a layer has at least one gate");
        let (num_experts, rows) = (gate(0).num_experts(), gate(0).rows());
        assert!(
            (0..num_gates).map(&gate).all(|g| (g.num_experts(), g.rows()) == (num_experts, rows)),
            "the gates of a layer differ in rows or experts"
        );
        let ExpertPlan { expert_offsets, slot_rows, slot_experts, row_offsets, row_slots, .. } =
            self;

        // The union, row by row, experts ascending; and, one place further, the load of each expert.
        let union = &mut *row_slots;
        union.resize((0..num_gates).map(|g| gate(g).pairs()).sum());
        row_offsets.resize(rows + 1);
        row_offsets[0] = 0;
        expert_offsets.resize(num_experts + 1);
        expert_offsets.fill(0);
        let mut slots = 0;
        for row in 0..rows {
            let mut end = slots;
            for of_row in (0..num_gates).map(|g| gate(g).of_row(row)) {
                union[end..end + of_row.len()].copy_from_slice(of_row);
                end += of_row.len();
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

        // A stable counting sort by expert. The offset after an expert's is where its next slot will be, in the end that
        // of the next expert. The slot of a row takes the place of the expert in the union.
        let mut first = 0;
        for next in &mut expert_offsets[1..] {
            first += std::mem::replace(next, first);
        }
        row_slots.resize(slots);
        slot_rows.resize(slots);
        slot_experts.resize(slots);
        for row in 0..rows {
            for i in row_offsets[row] as usize..row_offsets[row + 1] as usize {
                let expert = row_slots[i];
                let next = &mut expert_offsets[expert as usize + 1];
                slot_rows[*next as usize] = row as u32;
                slot_experts[*next as usize] = expert;
                row_slots[i] = *next;
                *next += 1;
            }
        }

        self.rows = rows;
        self.pair_slots.resize_with(num_gates, || Buffer::unspecified(0));
        for (pair_slots, gate) in self.pair_slots.iter_mut().zip((0..num_gates).map(&gate)) {
            let experts = gate.experts();
            pair_slots.resize(experts.len());
            for row in 0..rows {
                let mut slots = self.row_slots[row_offsets[row] as usize..].iter();
                for pair in gate.pairs_of(row) {
                    let is_of = |slot: &&u32| self.slot_experts[**slot as usize] == experts[pair];
                    pair_slots[pair] = *slots.find(is_of).expect("every pair is in the union");
                }
            }
        }
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of experts (N).
    pub fn num_experts(&self) -> usize {
        self.expert_offsets.len() - 1
    }

    /// Number of gates (G).
    pub fn num_gates(&self) -> usize {
        self.pair_slots.len()
    }

    /// Number of slots (S).
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

    #[test]
    fn no_experts_is_a_plan() {
        let none = Assignments::fixed(3, 0, vec![]);
        assert_eq!(ExpertPlan::new(&[&none]).rebuilt(&[&none]), ExpertPlan::new(&[&none]));
    }

    #[test]
    #[should_panic(expected = "the gates of a layer differ in rows or experts")]
    fn gates_have_the_same_rows() {
        let a = Assignments::fixed(3, 1, vec![2, 0]);
        ExpertPlan::new(&[&a, &Assignments::fixed(3, 1, vec![2])]);
    }

    impl ExpertPlan {
        /// The plan for these gates, in the memory of this one.
        fn rebuilt(mut self, gates: &[&Assignments]) -> Self {
            self.rebuild(gates.len(), |gate| gates[gate]);
            self
        }
    }

    #[test]
    fn a_plan_takes_the_memory_of_one_that_is_no_longer_used() {
        let gate = Assignments::fixed(3, 1, vec![2, 0]);
        let plan = || ExpertPlan::shared(1, |_| &gate);
        let (first, second) = (plan(), plan());
        assert_eq!((&*first, &*second), (&ExpertPlan::new(&[&gate]), &ExpertPlan::new(&[&gate])));
        let address = Arc::as_ptr(&first);
        assert_ne!(address, Arc::as_ptr(&second));
        drop(first);
        assert_eq!(Arc::as_ptr(&plan()), address);
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
        fn a_plan_rebuilt_is_a_new_plan(
            (a, b) in (0usize..9, 1usize..6).prop_flat_map(|(rows, n)| (gate(rows, n), gate(rows, n))),
            c in (0usize..9, 1usize..6).prop_flat_map(|(rows, n)| gate(rows, n)),
        ) {
            let (of_two, of_one) = (ExpertPlan::new(&[&a, &b]), ExpertPlan::new(&[&c]));
            prop_assert_eq!(&of_two.clone().rebuilt(&[&c]), &of_one);
            prop_assert_eq!(of_one.rebuilt(&[&a, &b]), of_two);
        }

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
