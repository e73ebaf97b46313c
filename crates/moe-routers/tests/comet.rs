//! COMET against its definition, written out leaf by leaf.

mod common;

use approx::assert_abs_diff_eq;
use common::{DOUBLE, cases, rng, route, rows};
use moe_core::tape::Tape;
use moe_core::{Mode, Real, Tensor, random};
use moe_routers::{
    Comet, CometOptions, CometVariant, GateSet, GateSpec, Gates, RouteContext, Router, SmoothStep,
    SumOfParts,
};
use proptest::prelude::*;

/// A tree as nodes that own their children, built from the heap numbering: a leaf or a split.
enum Node {
    Leaf,
    Split(usize, Box<Node>, Box<Node>),
}

impl Node {
    fn new(number: usize, leaves: usize) -> Self {
        if number >= leaves - 1 {
            return Node::Leaf;
        }
        let child = |number| Box::new(Node::new(number, leaves));
        Node::Split(number, child(2 * number + 1), child(2 * number + 2))
    }

    /// Appends the probability of every leaf below, from left to right.
    fn leaves(&self, p: f64, steps: &[f64], out: &mut Vec<f64>) {
        match self {
            Node::Leaf => out.push(p),
            Node::Split(number, left, right) => {
                left.leaves(p * steps[*number], steps, out);
                right.leaves(p * (1.0 - steps[*number]), steps, out);
            }
        }
    }
}

/// x W + b in double precision.
fn affine(row: &[Real], weight: &Tensor, bias: Option<&Tensor>) -> Vec<f64> {
    let bias = |col| bias.map_or(0.0, |b| f64::from(b.as_slice()[col]));
    let product = |col| {
        let terms =
            row.iter().enumerate().map(|(d, &x)| f64::from(x) * f64::from(weight.row(d)[col]));
        terms.sum::<f64>() + bias(col)
    };
    (0..weight.cols()).map(product).collect()
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn weights_and_entropy_are_those_of_the_definition(
        count in 1usize..5, experts in 1usize..41, k in 1usize..5,
        gamma in prop::sample::select(vec![0.5, 2.0, 10.0]), seed in any::<u64>(), bert in any::<bool>(),
    ) {
        let spec = GateSpec { inputs: 3, experts, k, seed, gate: 0 };
        let variant = if bert { CometVariant::Bert } else { CometVariant::Comet };
        let options = CometOptions { gamma: gamma as Real, entropy: 0.7, variant };
        let mut set = Gates::new(vec![Box::new(Comet::new(&spec, options))]);
        let mut rng = rng(seed, 1);
        set.visit_mut(&mut |_, mut state| {
            let tensor = state.tensor_mut();
            *tensor = random::uniform(*tensor.shape(), 1.0, &mut rng);
        });
        let parameters = common::parameters(&set);
        let x = rows(count, 3, 1.0, seed);

        let tree = Node::new(0, experts);
        let (mut g, mut entropy) = (vec![0.0; count * experts], 0.0);
        let step = SmoothStep::new(gamma as Real);
        for row in 0..count {
            let x = x.row(row);
            let splits = affine(x, &parameters["0.split.weight"], parameters.get("0.split.bias"));
            let steps: Vec<f64> =
                splits.iter().map(|&t| f64::from(step.at(t as Real).value)).collect();
            let mut p = Vec::new();
            for tree_number in 0..k {
                let first = tree_number * (experts - 1);
                tree.leaves(1.0, &steps[first..first + experts - 1], &mut p);
            }
            let a = affine(x, &parameters["0.leaf.weight"], parameters.get("0.leaf.bias"));
            // (p + ε) exp(a) over the leaves that count; logits are small enough.
            let term = |p: f64, a: f64| match bert {
                true if p < 1e-5 => 0.0,
                true => (p + 1e-6) * a.exp(),
                false if p > 0.0 => (p + 1e-8) * a.exp(),
                false => 0.0,
            };
            let terms: Vec<f64> = p.iter().zip(&a).map(|(&p, &a)| term(p, a)).collect();
            let sum: f64 = terms.iter().sum();
            for (i, term) in terms.iter().enumerate() {
                g[row * experts + i % experts] += term / sum;
            }
            entropy += p.iter().map(|&p| if bert {
                let q = p.max(1e-6) + 1e-6;
                -q * q.ln()
            } else {
                -p * (p + 1e-6).ln()
            }).sum::<f64>();
        }

        let tape = Tape::inference();
        let routing = route(&set, tape.constant(x), Mode::Train).remove(0);
        // A leaf on the brink counts or does not with a weight of 1e-5 at most (COMET-BERT's, times e^a).
        let allowed = if DOUBLE { 1e-12 } else { 2e-4 };
        for (found, expected) in routing.to_dense().as_slice().iter().zip(&g) {
            assert_abs_diff_eq!(f64::from(*found), *expected, epsilon = allowed);
        }
        let [loss] = routing.aux_losses[..] else { panic!("one loss") };
        prop_assert_eq!(loss.name, "entropy");
        let expected = 0.7 * entropy / count as f64;
        let allowed = if DOUBLE { 1e-10 } else { 1e-4 };
        assert_abs_diff_eq!(f64::from(loss.value.value().item()), expected, epsilon = allowed);
    }
}

#[test]
fn the_weights_of_each_tree_add_up_to_the_routing() {
    let spec = GateSpec { inputs: 4, experts: 5, k: 3, seed: 1, gate: 0 };
    let gate = Comet::new(&spec, CometOptions::default());
    let (ids, x) = ([0, 1, 2], rows(3, 4, 1.0, 1));
    let pass = moe_core::Pass {
        mode: Mode::Train,
        seed: 1,
        step: 0,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let parts = gate.route_parts(&RouteContext { pass, gate: 0 }, tape.constant(x));
    let weights = parts.weights.value();
    assert_eq!((weights.shape()[..].to_vec(), parts.aux_losses.len()), (vec![3, 3, 5], 1));
    let routing = parts.into_routing();
    assert_eq!(routing.aux_losses.len(), 1);
    let dense = routing.to_dense();
    for (i, &weight) in dense.as_slice().iter().enumerate() {
        let (row, expert) = (i / 5, i % 5);
        let sum: Real = (0..3).map(|tree| weights.as_slice()[(row * 3 + tree) * 5 + expert]).sum();
        assert_eq!(weight, sum);
    }
}

/// A gate with weights of unit scale, some of whose splits are saturated.
fn undecided(experts: usize, k: usize) -> Comet {
    let spec = GateSpec { inputs: 3, experts, k, seed: 1, gate: 0 };
    let mut gate = Comet::new(&spec, CometOptions { gamma: 2.0, ..CometOptions::default() });
    let mut rng = rng(7, 1);
    gate.visit_mut(&mut |_, mut state| {
        let tensor = state.tensor_mut();
        *tensor = random::uniform(*tensor.shape(), 1.0, &mut rng);
    });
    gate
}

#[test]
fn a_walk_has_the_nodes_that_rows_reach() {
    for experts in [1, 2, 5, 8, 11] {
        let (k, count) = (2, 20);
        let gate = undecided(experts, k);
        let ids: Vec<u64> = (0..count as u64).collect();
        let x = rows(count, 3, 1.0, 5);
        let walk = gate.walk_trees(&x).expect("it has trees");
        assert_eq!(walk.nodes.shape()[..], [count, k, 2 * experts - 1]);
        assert_eq!(walk.experts, vec![(0..experts as u32).collect::<Vec<_>>(); k]);
        let tape = Tape::inference();
        let pass = moe_core::Pass {
            mode: Mode::Infer,
            seed: 1,
            step: 0,
            epoch: 0,
            row_ids: &ids,
            keys: &ids,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let parts = gate.route_parts(&RouteContext { pass, gate: 0 }, tape.constant(x));
        let weights = parts.weights.value();
        let trees = walk.nodes.as_slice().chunks_exact(2 * experts - 1);
        let mut saturated = 0;
        for (nodes, weights) in trees.zip(weights.as_slice().chunks_exact(experts)) {
            assert_eq!(nodes[0], 1.0);
            for split in 0..experts - 1 {
                let below = nodes[2 * split + 1] + nodes[2 * split + 2];
                assert_abs_diff_eq!(below, nodes[split], epsilon = 8.0 * Real::EPSILON);
            }
            // The leaves from left to right, those on the deepest level first.
            let deepest = (1 << (2 * experts - 1).ilog2()) - 1;
            let leaves = (deepest..2 * experts - 1).chain(experts - 1..deepest);
            for (leaf, node) in leaves.enumerate() {
                assert_eq!(nodes[node] > 0.0, weights[leaf] > 0.0, "leaf {leaf}");
                saturated += usize::from(nodes[node] == 0.0);
            }
        }
        assert!(experts < 5 || saturated > 0, "nothing to tell apart");
    }
}
