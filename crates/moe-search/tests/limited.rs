//! A limit to the rows of an expert around gates that are sums of parts, inside of a search per part: the parts are
//! permuted, and the limit acts on their sums.

#[path = "../../moe-routers/tests/common/mod.rs"]
mod common;

use common::{bits, build, rows, set};
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_routers::{
    CapacityOptions, GateSet, GateSpec, Observed, Routings, ServeOrder, Share, expert_capacity,
    limit_rows,
};
use moe_search::{Learning, Schedule, SearchOptions, Searched};

const ROWS: usize = 40;
const N: usize = 6;
const K: usize = 2;
const LIMIT: CapacityOptions = CapacityOptions {
    factor: 0.4,
    inference_factor: 0.6,
    order: ServeOrder::Priority,
    renormalise: true,
};

/// Two gates with a search per part, whose permutations are not the identity.
fn searched(id: &str, is_limited: bool) -> Searched {
    let spec = GateSpec { inputs: 5, experts: N, k: K, seed: 3, gate: 0 };
    let gates = build(id, &spec, 2, &[]);
    let gates = if is_limited { LIMIT.limit(gates) } else { gates };
    let (share, learning) = (Share::Part(K), Learning::Steps(4));
    let schedule = Schedule::doubly_stochastic();
    let options = SearchOptions { share, learning, schedule, ..SearchOptions::default() };
    let mut searched = Searched::new(gates, options, 3);
    let labels = (0..2 * K as u64).flat_map(|m| permutation(N, 7, "tests", m));
    let labels = Tensor::new([2 * K, N], labels.map(|label| label as Real).collect());
    set(&mut searched, "permutation.rounded", &labels);
    searched
}

fn route<'t>(gates: &dyn GateSet, tape: &'t Tape, mode: Mode) -> Routings<'t> {
    let ids: Vec<u64> = (0..ROWS as u64).collect();
    let pass = Pass { mode, seed: 3, step: 0, ..Pass::of_keys(&ids) };
    gates.route(&pass, tape.constant(rows(ROWS, 5, 1.0, 4)))
}

#[test]
fn the_sums_of_permuted_parts_are_limited() {
    for id in ["comet", "dselect-k"] {
        let (free, limited) = (searched(id, false), searched(id, true));
        for (mode, factor) in [(Mode::Train, LIMIT.factor), (Mode::Infer, LIMIT.inference_factor)] {
            let tape = Tape::new();
            let mut dropped = 0;
            let gates = route(&free, &tape, mode).into_iter().zip(route(&limited, &tape, mode));
            for (gate, (free, limited)) in gates.enumerate() {
                let capacity = expert_capacity(factor, free.assignments.pairs(), N);
                dropped += free.assignments.pairs() - limited.assignments.pairs();
                let expected = limit_rows(free, capacity, LIMIT.order, LIMIT.renormalise);
                let (found, expected_bits) = (limited.weights.value(), expected.weights.value());
                assert_eq!(limited.assignments, expected.assignments, "{id} {mode:?} {gate}");
                assert_eq!(bits(&found), bits(&expected_bits), "{id} {mode:?} {gate}");
                assert_eq!(limited.observed, expected.observed, "{id} {mode:?} {gate}");
            }
            assert!(dropped > 0, "{id} {mode:?}: nothing to limit");
        }
    }
}

#[test]
fn they_are_limited_alike_once_folded() {
    for id in ["comet", "dselect-k"] {
        let limited = searched(id, true);
        let tape = Tape::inference();
        let expected = route(&limited, &tape, Mode::Infer);
        let folded = limited.fold();
        for (routing, folded) in expected.iter().zip(route(&*folded, &tape, Mode::Infer)) {
            assert_eq!(routing.assignments, folded.assignments, "{id}");
            assert_eq!(bits(&routing.weights.value()), bits(&folded.weights.value()), "{id}");
        }
    }
}

#[test]
fn the_search_goes_on_inside_of_a_limit() {
    let mut limited = searched("comet", true);
    for _ in 0..5 {
        let tape = Tape::new();
        let routings = route(&limited, &tape, Mode::Train);
        let observed: Vec<Observed> = routings.into_iter().map(|r| r.observed).collect();
        limited.after_step(&observed);
    }
    assert!(limited.soft().as_slice().iter().any(|&p| p > 0.0));
}
