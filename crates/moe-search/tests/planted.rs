//! Experts in an order that is wrong for the gate: the swap search finds the right one.

use std::sync::Arc;

use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::random::{chacha, permutation, uniform};
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_routers::{GateSet, GateSpec, Gates, HashRouter, HashTable, Relabelled, Router, Share};
use moe_search::{SwapResult, swap_search};
use proptest::prelude::*;

const D: usize = 6;
const ROWS: usize = 256;

/// Teachers, rows that belong to one of them each, and the same teachers as experts in another order.
struct Planted {
    experts: usize,
    rows: Tensor,
    /// The teacher of each row.
    keys: Vec<u64>,
    targets: Tensor,
    /// `[N, D, 1]`: expert `order[teacher]` is that teacher.
    weights: Tensor,
    order: Vec<u32>,
}

impl Planted {
    fn new(experts: usize, seed: u64) -> Self {
        let draw =
            |shape: &[usize], stream| uniform(shape, 1.0, &mut chacha(seed, "tests", stream));
        let (teachers, rows) = (draw(&[experts, D], 0), draw(&[ROWS, D], 1));
        let keys: Vec<u64> = (0..ROWS as u64).map(|row| row % experts as u64).collect();
        let targets = Tensor::from_fn([ROWS, 1], |row| {
            let teacher = teachers.row(keys[row] as usize);
            teacher.iter().zip(rows.row(row)).map(|(w, x)| w * x).sum()
        });
        let order = permutation(experts, seed, "tests", 2);
        let mut weights = Tensor::zeros([experts, D, 1]);
        for (teacher, &expert) in order.iter().enumerate() {
            let place = expert as usize * D..(expert as usize + 1) * D;
            weights.as_mut_slice()[place].copy_from_slice(teachers.row(teacher));
        }
        Planted { experts, rows, keys, targets, weights, order }
    }

    /// A gate that sends every row to the expert with its teacher's number, which is another teacher.
    fn gates(&self) -> Box<dyn GateSet> {
        let spec = GateSpec { inputs: D, experts: self.experts, k: 1, seed: 1, gate: 0 };
        let mut router = HashRouter::new(&spec, HashTable::Balanced, self.experts);
        router.visit_mut(&mut |_, mut state| {
            *state.tensor_mut() = Tensor::from_fn([self.experts], |key| key as Real);
        });
        Box::new(Gates::new(vec![Box::new(router)]))
    }

    /// The mean squared error of the mixture with these numbers for the gate's experts.
    fn loss(&self, labels: &[u32]) -> f64 {
        let gates = Relabelled::new(self.gates(), Share::All, vec![labels.to_vec()]);
        let tape = Tape::inference();
        let x = tape.constant(self.rows.clone());
        let (mode, keys) = (Mode::Train, &self.keys[..]);
        let pass = Pass {
            mode,
            seed: 1,
            step: 0,
            epoch: 0,
            row_ids: keys,
            keys,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let routing = gates.route(&pass, x).remove(0);
        let assignments: &Assignments = &routing.assignments;
        let plan = Arc::new(ExpertPlan::new(&[assignments]));
        let bias = tape.constant(Tensor::zeros([self.experts, 1]));
        let weight = tape.constant(self.weights.clone());
        let slots = x.gather_slots(&plan).grouped_linear(weight, bias, &plan);
        let error = slots.combine(routing.weights, assignments, &plan, 0)
            - tape.constant(self.targets.clone());
        f64::from((error * error).mean().value().item())
    }
}

fn searched(planted: &Planted) -> SwapResult {
    let start: Vec<u32> = (0..planted.experts as u32).collect();
    swap_search(start, 2000, |labels| planted.loss(labels))
}

#[test]
fn swaps_recover_the_order() {
    // A permutation that no single swap improves need not be the best one, so not always.
    let mut recovered = 0;
    for experts in 2..13 {
        for seed in 0..10 {
            let planted = Planted::new(experts, seed);
            let found = searched(&planted);
            let is_planted = found.permutation == planted.order;
            assert!(!is_planted || found.loss < 1e-10, "{found:?}");
            recovered += usize::from(is_planted);
        }
    }
    assert!(recovered >= 108, "{recovered} of 110");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_swap_improves_what_is_found(experts in 2usize..13, seed: u64) {
        let planted = Planted::new(experts, seed);
        let found = searched(&planted);
        prop_assert!(found.is_optimum, "{:?}", found);
        for a in 0..experts {
            for b in a + 1..experts {
                let mut swapped = found.permutation.clone();
                swapped.swap(a, b);
                prop_assert!(planted.loss(&swapped) >= found.loss);
            }
        }
    }
}

#[test]
fn the_order_is_wrong_at_first() {
    let planted = Planted::new(8, 5);
    let start: Vec<u32> = (0..8).collect();
    assert!(planted.loss(&start) > 0.1, "{}", planted.loss(&start));
    // Too few losses do not get there.
    assert!(swap_search(start, 4, |labels| planted.loss(labels)).loss > 0.05);
}
