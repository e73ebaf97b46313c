//! The sparse layer against a dense oracle that computes every expert on every row with plain operators.

mod common;

use std::sync::Arc;

use common::{assert_close, assignments, cases, close, rng, row_ids, spread, uniform};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::kernel::multiply_adds;
use moe_core::random::{DrawRows, Philox};
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor};
use proptest::prelude::*;

const TOLERANCE: Real = if size_of::<Real>() == 8 { 1e-12 } else { 1e-5 };
const DROPOUT: Real = 0.3;

/// A layer of N experts (a linear map, ReLU and dropout each) that G gates share, and what it is run on.
struct Layer {
    gates: Vec<Assignments>,
    /// `[B, D]`
    x: Tensor,
    /// `[N, D, O]`
    weight: Tensor,
    /// `[N, O]`
    bias: Tensor,
    /// Of each gate, `[pairs]`.
    gate_weights: Vec<Tensor>,
    /// `[B, G O]`
    cotangent: Tensor,
    row_ids: Vec<u64>,
    philox: Philox,
}

/// Outputs of all gates side by side, and the gradients of everything that goes in.
struct Outcome {
    y: Tensor,
    dx: Tensor,
    d_weight: Tensor,
    d_bias: Tensor,
    d_gate_weights: Vec<Tensor>,
}

/// Multiply-adds of the two passes.
struct Work {
    forward: u64,
    backward: u64,
}

impl Layer {
    fn new(gates: Vec<Assignments>, d: usize, o: usize, seed: u64) -> Self {
        let (rows, n) = (gates[0].rows(), gates[0].num_experts());
        let mut rng = rng(seed, 0);
        Layer {
            x: uniform([rows, d], &mut rng),
            weight: uniform([n, d, o], &mut rng),
            bias: uniform([n, o], &mut rng),
            gate_weights: gates.iter().map(|gate| spread([gate.pairs()], &mut rng)).collect(),
            cotangent: uniform([rows, gates.len() * o], &mut rng),
            row_ids: row_ids(rows),
            philox: Philox::new(seed, "dropout", 1),
            gates,
        }
    }

    fn plan(&self) -> ExpertPlan {
        ExpertPlan::new(&self.gates.iter().collect::<Vec<_>>())
    }

    fn sparse(&self) -> (Outcome, Work) {
        let plan = Arc::new(self.plan());
        let tape = Tape::new();
        let x = tape.variable(self.x.clone());
        let weight = tape.variable(self.weight.clone());
        let bias = tape.variable(self.bias.clone());
        let gate_weights: Vec<Var<'_>> =
            self.gate_weights.iter().map(|weights| tape.variable(weights.clone())).collect();

        let start = multiply_adds();
        let ids: Vec<u64> = plan.slot_rows().iter().map(|&r| self.row_ids[r as usize]).collect();
        let drawn = DrawRows { row_ids: &ids, experts: Some(plan.slot_experts()) };
        let slots = x.gather_slots(&plan).grouped_linear(weight, bias, &plan).relu();
        let slots = slots.dropout(DROPOUT, self.philox, drawn);
        let parts: Vec<Var<'_>> = (self.gates.iter().zip(&gate_weights).enumerate())
            .map(|(g, (gate, weights))| slots.combine(*weights, gate, &plan, g))
            .collect();
        let y = tape.concat(&parts);
        let forward = multiply_adds();
        let gradients = tape.backward_from(y, self.cotangent.clone());
        let backward = multiply_adds();

        let wrt = |var: Var<'_>| gradients.wrt(var).expect("the output depends on it");
        let outcome = Outcome {
            y: y.value(),
            dx: wrt(x),
            d_weight: wrt(weight),
            d_bias: wrt(bias),
            d_gate_weights: gate_weights.into_iter().map(wrt).collect(),
        };
        (outcome, Work { forward: forward - start, backward: backward - forward })
    }

    /// y_g = Σ_e column e of the dense gate matrix times expert e of every row.
    fn dense(&self) -> Outcome {
        let (rows, n) = (self.gates[0].rows(), self.gates[0].num_experts());
        let [d, o] = [self.weight.shape()[1], self.weight.shape()[2]];
        let tape = Tape::new();
        let x = tape.variable(self.x.clone());
        let part = |tensor: &Tensor, e: usize, size: usize| {
            tensor.as_slice()[e * size..(e + 1) * size].to_vec()
        };
        let weights: Vec<Var<'_>> = (0..n)
            .map(|e| tape.variable(Tensor::new([d, o], part(&self.weight, e, d * o))))
            .collect();
        let biases: Vec<Var<'_>> =
            (0..n).map(|e| tape.variable(Tensor::new([o], part(&self.bias, e, o)))).collect();
        let experts: Vec<Var<'_>> = (0..n)
            .map(|e| {
                let same = vec![e as u32; rows];
                let drawn = DrawRows { row_ids: &self.row_ids, experts: Some(&same) };
                x.linear(weights[e], biases[e]).relu().dropout(DROPOUT, self.philox, drawn)
            })
            .collect();
        let columns: Vec<Vec<Var<'_>>> = (self.gates.iter().zip(&self.gate_weights))
            .map(|(gate, weights)| {
                let dense = gate.to_dense(weights);
                let column = |e| Tensor::from_fn([rows, 1], |row| dense.row(row)[e]);
                (0..n).map(|e| tape.variable(column(e))).collect()
            })
            .collect();
        let parts: Vec<Var<'_>> = columns
            .iter()
            .map(|columns| {
                let weighted =
                    columns.iter().zip(&experts).map(|(&column, &expert)| column * expert);
                weighted.reduce(|sum, term| sum + term).expect("at least one expert")
            })
            .collect();
        let y = tape.concat(&parts);
        let gradients = tape.backward_from(y, self.cotangent.clone());
        let wrt = |var: Var<'_>| gradients.wrt(var).expect("the output depends on it");
        let stacked = |vars: &[Var<'_>], shape: &[usize]| {
            let data = vars.iter().flat_map(|&var| wrt(var).as_slice().to_vec()).collect();
            Tensor::new(shape, data)
        };
        let d_gate_weights = (self.gates.iter().zip(&columns))
            .map(|(gate, columns)| {
                let columns: Vec<Tensor> = columns.iter().map(|&column| wrt(column)).collect();
                let at_pair = |row: usize, e: u32| columns[e as usize].as_slice()[row];
                let pairs = (0..rows)
                    .flat_map(|row| gate.of_row(row).iter().map(move |&e| (row, e)))
                    .map(|(row, e)| at_pair(row, e))
                    .collect();
                Tensor::new([gate.pairs()], pairs)
            })
            .collect();
        Outcome {
            y: y.value(),
            dx: wrt(x),
            d_weight: stacked(&weights, &[n, d, o]),
            d_bias: stacked(&biases, &[n, o]),
            d_gate_weights,
        }
    }

    /// Both ways agree, and the sparse one did the work of its slots and no more.
    fn check(&self) {
        let ((sparse, work), dense) = (self.sparse(), self.dense());
        assert_close(&sparse.y, &dense.y, TOLERANCE, "output");
        assert_close(&sparse.dx, &dense.dx, TOLERANCE, "gradient of x");
        assert_close(&sparse.d_weight, &dense.d_weight, TOLERANCE, "gradient of the weight");
        assert_close(&sparse.d_bias, &dense.d_bias, TOLERANCE, "gradient of the bias");
        for (g, (a, b)) in sparse.d_gate_weights.iter().zip(&dense.d_gate_weights).enumerate() {
            assert_close(a, b, TOLERANCE, &format!("gradient of the weights of gate {g}"));
        }
        let [_, d, o] = self.weight.shape()[..] else { unreachable!("weights have three axes") };
        let one_product = (self.plan().slots() * d * o) as u64;
        assert_eq!(work.forward, one_product, "multiply-adds forward");
        assert_eq!(work.backward, 2 * one_product, "multiply-adds backward");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn random_routings(
        rows in 0usize..40, n in 1usize..7, g in 1usize..4, d in 1usize..13, o in 1usize..11, seed: u64,
    ) {
        let mut rng = rng(seed, 1);
        let gates = (0..g).map(|_| assignments(rows, n, &mut rng)).collect();
        Layer::new(gates, d, o, seed).check();
    }

    /// As top-k routers do: K of N for every row, from one to all.
    #[test]
    fn k_experts_for_every_row(rows in 1usize..40, n in 1usize..7, skipped in 0usize..7, seed: u64) {
        let k = n - skipped % n;
        let mut rng = rng(seed, 1);
        let mut gate = || {
            let chosen = |_| moe_core::rand::seq::index::sample(&mut rng, n, k).into_vec();
            let experts = (0..rows).flat_map(chosen).map(|e| e as u32).collect();
            Assignments::fixed(n, k, experts)
        };
        Layer::new(vec![gate(), gate()], 5, 3, seed).check();
    }
}

/// More rows than a block, and an inner dimension that no kernel divides evenly.
#[test]
fn a_layer_of_several_row_blocks() {
    let mut rng = rng(8, 1);
    let gates = (0..2).map(|_| assignments(300, 5, &mut rng)).collect();
    Layer::new(gates, 37, 19, 8).check();
}

#[test]
fn routings_at_the_edges() {
    let of = |n, offsets: &[u32], experts: &[u32]| {
        Assignments::new(n, offsets.to_vec(), experts.to_vec()).unwrap()
    };
    let table = [
        vec![of(1, &[0, 1], &[0])],
        vec![of(4, &[0, 0, 0], &[])],
        vec![of(4, &[0], &[])],
        vec![Assignments::dense(5, 4); 2],
        vec![of(3, &[0, 1, 2, 3], &[1, 1, 1]), of(3, &[0, 1, 2, 3], &[2, 2, 2])],
        vec![of(2, &[0, 1, 1], &[0]), of(2, &[0, 0, 2], &[0, 1]), of(2, &[0, 0, 0], &[])],
    ];
    for gates in table {
        Layer::new(gates, 3, 2, 4).check();
    }
}

/// Negative controls: the comparison sees an expert exchanged for another, and masks that are not the same.
#[test]
fn the_comparison_can_fail() {
    let mut layer = Layer::new(vec![Assignments::dense(6, 2)], 3, 4, 2);
    let right = layer.sparse().0;
    layer.philox = Philox::new(2, "dropout", 2);
    let other_masks = layer.sparse().0;
    assert!(!close(&other_masks.y, &right.y, TOLERANCE));
    assert!(!close(&other_masks.d_weight, &right.d_weight, TOLERANCE));
    layer.philox = Philox::new(2, "dropout", 1);
    layer.weight.as_mut_slice().rotate_left(12);
    let exchanged = layer.sparse().0;
    assert!(!close(&exchanged.y, &right.y, TOLERANCE));
    assert!(!close(&exchanged.dx, &right.dx, TOLERANCE));
}
