//! A limit to the rows of an expert: which pairs are left, their weights and gradients, and the routers that offer it.

mod common;

use approx::assert_relative_eq;
use common::{DOUBLE, bits, build, cases, rng, route};
use moe_core::dispatch::Assignments;
use moe_core::tape::{Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Mode, Real, Tensor, random};
use moe_routers::{
    Cardinality, GateSet, GateSpec, Registry, Routing, ServeOrder, TotalWeight, Value,
    expert_capacity, limit_rows,
};
use proptest::prelude::*;

const ORDERS: [ServeOrder; 2] = [ServeOrder::Position, ServeOrder::Priority];

/// The experts of each row.
fn chosen<'a>(routing: &'a Routing<'_>) -> Vec<&'a [u32]> {
    (0..routing.assignments.rows()).map(|row| routing.assignments.of_row(row)).collect()
}

fn dropped(routing: &Routing<'_>) -> Option<f64> {
    routing.telemetry.iter().find(|(name, _)| *name == "dropped").map(|(_, value)| *value)
}

#[test]
fn capacities_are_rounded_up_and_at_least_one() {
    assert_eq!(expert_capacity(1.0, 12, 4), 3);
    assert_eq!(expert_capacity(1.0, 13, 4), 4);
    assert_eq!(expert_capacity(1.25, 12, 4), 4);
    assert_eq!(expert_capacity(1e-6, 12, 4), 1);
    assert_eq!(expert_capacity(1.0, 0, 4), 1);
}

#[test]
fn who_is_served_by_hand() {
    // Both experts for all four rows. Three rows prefer expert 0; there is room for two.
    let weights = [0.6, 0.4, 0.9, 0.1, 0.7, 0.3, 0.2, 0.8].map(|w| w as Real);
    let limited = |order, renormalise| {
        let tape = Tape::new();
        let weights = tape.constant(Tensor::new([8], weights.to_vec()));
        let routing = Routing::new(Assignments::dense(4, 2), weights);
        let routing = limit_rows(routing, 2, order, renormalise);
        assert_eq!(dropped(&routing), Some(0.5));
        assert_eq!((routing.observed.rows, &routing.observed.load), (4, &vec![2, 2]));
        (chosen(&routing).concat(), routing.assignments.offsets().to_vec(), routing.to_dense())
    };
    // First choices: rows 0 and 1 have expert 0, row 2 has none, row 3 has expert 1. Second choices: row 0.
    let (experts, offsets, dense) = limited(ServeOrder::Position, false);
    assert_eq!((experts, offsets), (vec![0, 1, 0, 1], vec![0, 2, 3, 3, 4]));
    assert_eq!(dense.as_slice(), [0.6, 0.4, 0.9, 0.0, 0.0, 0.0, 0.0, 0.8].map(|w| w as Real));
    // Rows 1, 3, 2, 0 by their largest weights.
    let (experts, offsets, dense) = limited(ServeOrder::Priority, false);
    assert_eq!((experts, offsets), (vec![0, 1, 0, 1], vec![0, 0, 2, 3, 4]));
    assert_eq!(dense.as_slice(), [0.0, 0.0, 0.9, 0.1, 0.7, 0.0, 0.0, 0.8].map(|w| w as Real));
    let (.., dense) = limited(ServeOrder::Priority, true);
    let expected = [0.0, 0.0, 0.9, 0.1, 1.0, 0.0, 0.0, 1.0];
    for (weight, expected) in dense.as_slice().iter().zip(expected) {
        assert_relative_eq!(f64::from(*weight), expected, max_relative = 1e-6);
    }
}

#[test]
fn weights_that_add_up_to_nothing_are_left_alone() {
    let tape = Tape::new();
    let weights = tape.variable(Tensor::new([3], vec![1.0, 0.0, 0.25]));
    let assignments = Assignments::from_rows(2, [vec![0], vec![0, 1]]);
    // Row 1 keeps its zero weight for expert 0 if its first choice has no room: none does here.
    let routing = limit_rows(Routing::new(assignments, weights), 2, ServeOrder::Position, true);
    assert_eq!(routing.weights.value().as_slice(), [1.0, 0.0, 1.0]);
    let assignments = Assignments::from_rows(1, [vec![0], vec![0]]);
    let weights = tape.variable(Tensor::new([2], vec![0.0, 0.5]));
    let routing = limit_rows(Routing::new(assignments, weights), 2, ServeOrder::Position, true);
    assert_eq!(routing.weights.value().as_slice(), [0.0, 1.0]);
    let gradient = tape.backward(routing.weights.sum()).wrt(weights).unwrap();
    assert_eq!(gradient.as_slice(), [1.0, 0.0]);
}

/// A weight for some of the experts of each row, few different ones.
fn table(rows: usize, n: usize) -> impl Strategy<Value = Vec<Vec<Option<u8>>>> {
    let weight = prop::option::weighted(0.7, 0u8..5);
    prop::collection::vec(prop::collection::vec(weight, n), rows)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_pair_stays_if_less_than_the_capacity_of_its_experts_pairs_come_before(
        (n, table) in (0usize..12, 1usize..6).prop_flat_map(|(rows, n)| (Just(n), table(rows, n))),
        capacity in 1usize..8, renormalise in any::<bool>(),
    ) {
        let rows = table.iter().map(|row| {
            (0..n as u32).filter(|&e| row[e as usize].is_some()).collect::<Vec<_>>()
        });
        let all = Assignments::from_rows(n, rows);
        let weights: Vec<u8> = table.iter().flatten().flatten().copied().collect();
        for order in ORDERS {
            let tape = Tape::new();
            let given = weights.iter().map(|&w| w as Real).collect();
            let given = tape.constant(Tensor::new([weights.len()], given));
            let routing = limit_rows(Routing::new(all.clone(), given), capacity, order, renormalise);
            // (choice, largest weight of the row if that counts, row): the smaller the earlier.
            let turn = |row: usize, expert: u32| {
                let of_row = &table[row];
                let own = of_row[expert as usize].unwrap();
                let before = (0..n).filter(|&e| {
                    of_row[e].is_some_and(|w| w > own || w == own && e < expert as usize)
                });
                let largest = of_row.iter().flatten().max().unwrap();
                let rank = if order == ServeOrder::Priority { 255 - largest } else { 0 };
                (before.count(), rank, row)
            };
            let mut kept = 0;
            for row in 0..table.len() {
                let stays = |expert: &u32| {
                    let others = (0..table.len()).filter(|&other| {
                        all.of_row(other).contains(expert)
                            && turn(other, *expert) < turn(row, *expert)
                    });
                    others.count() < capacity
                };
                let expected: Vec<u32> = all.of_row(row).iter().copied().filter(stays).collect();
                prop_assert_eq!(routing.assignments.of_row(row), &expected[..]);
                let own = |e: &u32| f64::from(table[row][*e as usize].unwrap());
                let sum: f64 = expected.iter().map(own).sum();
                let share = if renormalise && sum > 0.0 { sum } else { 1.0 };
                let found = &routing.weights.value().as_slice()[routing.assignments.pairs_of(row)].to_vec();
                for (weight, expert) in found.iter().zip(&expected) {
                    assert_relative_eq!(f64::from(*weight), own(expert) / share, max_relative = 1e-6);
                }
                kept += expected.len();
            }
            let share = (all.pairs() - kept) as f64 / all.pairs().max(1) as f64;
            prop_assert_eq!(dropped(&routing), Some(share));
            prop_assert_eq!(&routing.observed.load, &routing.assignments.load());
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_weights_left() {
    let logits = random::uniform([9, 4], 2.0, &mut rng(1, 0));
    for order in ORDERS {
        for renormalise in [false, true] {
            let inputs = std::slice::from_ref(&logits);
            gradcheck(|_, vars| squares_left(vars[0], order, renormalise), inputs).unwrap();
            let lost =
                gradcheck(|_, vars| squares_left(vars[0].detach(), order, renormalise), inputs);
            assert!(lost.is_err(), "a gradient that is lost is noticed");
        }
    }
}

/// Squares of the weights left of a dense gate.
fn squares_left(logits: Var<'_>, order: ServeOrder, renormalise: bool) -> Var<'_> {
    let all = Assignments::dense(9, 4);
    let weights = logits.softmax().gather_assigned(&all);
    limit_rows(Routing::new(all, weights), 5, order, renormalise).weights.powi(2)
}

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 6, k: 2, seed: 3, gate: 0 };

/// Ids of all routers with a capacity of this kind.
fn limitable() -> Vec<String> {
    let registry = Registry::standard();
    let offers = |id: &str| {
        let specs = &registry.get(id).unwrap().info().parameters;
        specs.iter().any(|spec| spec.name == "inference-capacity-factor")
    };
    let ids = registry.entries().iter().map(|entry| entry.info().id.clone());
    ids.filter(|id| offers(id)).collect()
}

fn limited(id: &str, spec: &GateSpec, training: f64, inference: f64) -> Box<dyn GateSet> {
    let parameters = [
        ("capacity-factor", Value::Real(training)),
        ("inference-capacity-factor", Value::Real(inference)),
        ("drop", Value::Text("priority".into())),
    ];
    build(id, spec, 2, &parameters)
}

#[test]
fn these_routers_offer_it() {
    assert_eq!(limitable(), ["top-k", "noisy-top-k", "switch", "v-moe", "x-moe"]);
}

#[test]
fn no_expert_has_more_rows_than_its_capacity() {
    let x = random::uniform([50, 5], 1.0, &mut rng(2, 0));
    for id in limitable() {
        let free = build(&id, &SPEC, 2, &[]);
        let tight = limited(&id, &SPEC, 0.5, 0.75);
        for (mode, factor) in [(Mode::Train, 0.5), (Mode::Infer, 0.75)] {
            let tape = Tape::inference();
            let input = tape.constant(x.clone());
            for (free, tight) in route(&*free, input, mode).iter().zip(route(&*tight, input, mode))
            {
                let capacity = expert_capacity(factor, free.assignments.pairs(), 6);
                let load = tight.assignments.load();
                assert!(load.iter().all(|&load| load as usize <= capacity), "{id}: {load:?}");
                let expected: Vec<_> = free.assignments.load();
                let expected = expected.iter().map(|&load| (load as usize).min(capacity));
                assert_eq!(
                    load.iter().map(|&l| l as usize).sum::<usize>(),
                    expected.sum::<usize>()
                );
                let all = free.assignments.pairs() as f64;
                let share = 1.0 - tight.assignments.pairs() as f64 / all;
                assert_relative_eq!(dropped(&tight).unwrap(), share, epsilon = 1e-12);
                // Losses are those of what was asked for; the weights that are left stay as they were.
                for (a, b) in free.aux_losses.iter().zip(&tight.aux_losses) {
                    assert_eq!(bits(&a.value.value()), bits(&b.value.value()), "{id}: {}", a.name);
                }
                let (free, tight) = (free.to_dense(), tight.to_dense());
                for (free, tight) in free.as_slice().iter().zip(tight.as_slice()) {
                    assert!(*tight == 0.0 || free == tight, "{id}");
                }
            }
        }
    }
}

#[test]
fn without_a_factor_there_is_no_limit() {
    let x = random::uniform([40, 5], 1.0, &mut rng(2, 0));
    for id in limitable() {
        let (free, trained) = (build(&id, &SPEC, 2, &[]), limited(&id, &SPEC, 0.5, 0.0));
        assert!(free.properties().iter().all(|promised| promised.row_wise));
        for (free, limited) in free.properties().iter().zip(trained.properties()) {
            assert!(!limited.row_wise, "{id}");
            let Cardinality::Exactly(k) = free.cardinality else { panic!("{id}") };
            assert_eq!(limited.cardinality, Cardinality::AtMost(k));
            assert_eq!(limited.total_weight, TotalWeight::AtMostOne);
        }
        let tape = Tape::inference();
        let x = tape.constant(x.clone());
        for (free, limited) in
            route(&*free, x, Mode::Infer).iter().zip(route(&*trained, x, Mode::Infer))
        {
            assert_eq!(bits(&free.to_dense()), bits(&limited.to_dense()), "{id}");
            assert_eq!(dropped(&limited), None);
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let x = random::uniform([300, 200], 1.0, &mut rng(2, 0));
    for id in limitable() {
        let set = limited(&id, &GateSpec { inputs: 200, experts: 33, k: 3, ..SPEC }, 0.6, 0.0);
        let run = || {
            let tape = Tape::inference();
            let routings = route(&*set, tape.constant(x.clone()), Mode::Train);
            let of = |r: &Routing<'_>| (r.assignments.clone(), bits(&r.weights.value()));
            routings.iter().map(of).collect::<Vec<_>>()
        };
        let first = run();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(run), first, "{id}: {threads} threads");
        }
    }
}

#[test]
fn one_expert_and_no_rows() {
    for id in limitable() {
        let set = limited(&id, &GateSpec { experts: 1, k: 1, ..SPEC }, 0.5, 0.5);
        for rows in [0, 1, 5] {
            let tape = Tape::inference();
            let x = tape.constant(Tensor::zeros([rows, 5]));
            for routing in route(&*set, x, Mode::Train) {
                assert_eq!(routing.assignments.rows(), rows);
                assert_eq!(routing.assignments.pairs(), rows.div_ceil(2), "{id}");
            }
        }
    }
}

#[test]
fn every_parameter_learns_and_names_stay() {
    let x = random::uniform([30, 5], 1.0, &mut rng(4, 0));
    for id in limitable() {
        let (free, tight) = (build(&id, &SPEC, 2, &[]), limited(&id, &SPEC, 0.6, 0.0));
        assert_eq!(common::parameters(&*free), common::parameters(&*tight), "{id}");
        let tape = Tape::new();
        let x = tape.variable(x.clone());
        let mut total = tape.variable(Tensor::scalar(0.0));
        for routing in route(&*tight, x, Mode::Train) {
            let shape = [routing.assignments.pairs()];
            let factors = random::uniform(shape, 1.0, &mut rng(4, 1));
            total = total + (routing.weights * tape.constant(factors)).sum();
        }
        let gradients = tape.backward(total);
        for (name, gradient) in common::gradients_of(&*tight, &gradients) {
            let largest = gradient.as_slice().iter().fold(0.0, |max: Real, g| max.max(g.abs()));
            assert!(largest > if DOUBLE { 1e-9 } else { 1e-7 }, "{id}: {name}");
        }
    }
}

#[test]
fn wrong_settings_are_refused() {
    let registry = Registry::standard();
    let refused = |key: &str, value: Value| {
        let given = [(key.to_string(), value)].into();
        registry.get("switch").unwrap().info().check(&SPEC, &given).unwrap_err().to_string()
    };
    let message = refused("drop", Value::Text("last".into()));
    assert!(message.ends_with("it must be one of position, priority"), "{message}");
    assert!(refused("capacity-factor", Value::Int(-1)).contains("a number from 0 to"));
    assert!(refused("capacity-facto", Value::Int(1)).contains("\"capacity-factor\"?"));
}
