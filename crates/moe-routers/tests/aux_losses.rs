//! Auxiliary losses: values by hand, gradients by finite differences, and which routers offer which.

mod common;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::{cases, rng};
use moe_core::dispatch::Assignments;
use moe_core::tape::{Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Mode, Real, Tensor, random};
use moe_routers::aux_loss::{
    AuxLoss, entropy, importance, importance_of_weights, load, load_balance_top1, load_with_noise,
    router_z, trimmed_lasso,
};
use moe_routers::{GateSpec, Range, Registry, Value};
use proptest::prelude::*;

fn matrix(rows: usize, values: &[f64]) -> Tensor {
    Tensor::new([rows, values.len() / rows], values.iter().map(|&v| v as Real).collect())
}

fn value(loss: AuxLoss<'_>) -> f64 {
    f64::from(loss.value.value().item())
}

/// The loss of constants.
fn of(values: &Tensor, loss: impl for<'t> Fn(Var<'t>) -> AuxLoss<'t>) -> f64 {
    let tape = Tape::inference();
    value(loss(tape.constant(values.clone())))
}

fn uniform(rows: usize, cols: usize, seed: u64) -> Tensor {
    random::uniform([rows, cols], 1.0, &mut rng(seed, 4))
}

#[test]
fn values_by_hand() {
    let p = matrix(2, &[0.5, 0.25, 0.125, 0.125, 0.1, 0.2, 0.3, 0.4]);
    // Outside the two largest: 0.25 and 0.3.
    assert_abs_diff_eq!(of(&p, |p| trimmed_lasso(p, 2, 1.0)), 0.275, epsilon = 1e-6);
    assert_abs_diff_eq!(of(&p, |p| trimmed_lasso(p, 2, 0.5)), 0.1375, epsilon = 1e-6);
    assert_eq!(of(&p, |p| trimmed_lasso(p, 4, 1.0)), 0.0);
    // Sums 0.6, 0.45, 0.425, 0.525: mean 0.5, squared deviations 0.01, 0.0025, 0.005625, 0.000625.
    let spread = 0.01875 / 4.0 / 0.25;
    assert_abs_diff_eq!(of(&p, |p| importance(p, 2.0)), 2.0 * spread, epsilon = 1e-6);
    // Each expert is the most probable one of 2 rows, or of none: 4 (0.5 * 0.3 + 0.5 * 0.2625).
    assert_abs_diff_eq!(of(&p, |p| load_balance_top1(p, 1.0)), 1.125, epsilon = 1e-6);

    // Logits ln 1, ln 2, ln 5: logsumexp ln 8. Rows of equal logits: ln 3 each.
    let logits = matrix(2, &[1f64.ln(), 2f64.ln(), 5f64.ln(), 0.0, 0.0, 0.0]);
    let z = 0.5 * (8f64.ln().powi(2) + 3f64.ln().powi(2));
    assert_relative_eq!(of(&logits, |o| router_z(o, 3.0)), 3.0 * z, max_relative = 1e-6);
    let first: f64 = [0.125, 0.25, 0.625].map(|p: f64| -p * p.ln()).iter().sum();
    let mean = 0.5 * (first + 3f64.ln());
    assert_relative_eq!(of(&logits, |o| entropy(o, 1.0)), mean, max_relative = 1e-6);

    // Weights 0.5 and 1 for expert 0, 0.5 for expert 2, none for 1: mean 2/3, population variance 0.3889.
    let assignments = Assignments::from_rows(3, [vec![0, 2], vec![0]]);
    let weights = Tensor::new([3], vec![0.5, 0.5, 1.0]);
    let found = of(&weights, |w| importance_of_weights(w, &assignments, 1.0));
    assert_relative_eq!(found, (2.5 / 3.0 - 4.0 / 9.0) / (4.0 / 9.0), max_relative = 1e-5);
}

#[test]
fn load_by_hand() {
    // One row, two experts, K = 1, noise of deviation 0.5; Φ(1) = 0.8413447, Φ(-2) = 0.0227501.
    let tape = Tape::inference();
    let (logits, noisy) = (matrix(1, &[1.0, 0.0]), matrix(1, &[1.5, 0.5]));
    let (logits, noisy) = (tape.constant(logits), tape.constant(noisy));
    let squared_cv = |a: f64, b: f64| ((a - b) / (a + b)).powi(2);
    // The threshold is 1.5 for both: Φ(-1), Φ(-3).
    let found = value(load(logits, noisy, 0.5, 1, 1.0));
    let expected = squared_cv(0.158_655_25, 0.001_349_898);
    assert_relative_eq!(found, expected, max_relative = 1e-5);
    // The largest of the others: 0.5 for expert 0, 1.5 for expert 1. Φ(1), Φ(-3).
    let std = tape.constant(Tensor::full([1, 2], 0.5));
    let found = value(load_with_noise(logits, noisy, std, 1, 1.0));
    assert_relative_eq!(found, squared_cv(0.841_344_75, 0.001_349_898), max_relative = 1e-5);
    // All experts: nothing to balance.
    assert_eq!(value(load_with_noise(logits, noisy, std, 2, 1.0)), 0.0);
}

/// Rows of the same numbers in random orders, none of which a step of a central difference makes equal.
fn apart(rows: usize, cols: usize, seed: u64) -> Tensor {
    let order = |row| random::permutation(cols, seed, "apart", row as u64);
    let entries = (0..rows).flat_map(order).map(|rank| 0.25 * rank as Real - 0.6);
    Tensor::new([rows, cols], entries.collect())
}

#[test]
fn gradients_by_finite_differences() {
    let logits = || apart(5, 6, 1);
    gradcheck(|_, v| router_z(v[0], 0.7).value, &[logits()]).unwrap();
    gradcheck(|_, v| entropy(v[0], 0.7).value, &[logits()]).unwrap();
    gradcheck(|_, v| trimmed_lasso(v[0].softmax(), 2, 0.7).value, &[logits()]).unwrap();
    gradcheck(|_, v| importance(v[0].softmax(), 0.7).value, &[logits()]).unwrap();
    gradcheck(|_, v| load_balance_top1(v[0].softmax(), 0.7).value, &[logits()]).unwrap();
    gradcheck(|_, v| load(v[0], v[1], 0.6, 2, 0.7).value, &[logits(), apart(5, 6, 2)]).unwrap();
    let std = uniform(5, 6, 3).map(|v| 1.0 + 0.5 * v);
    let inputs = [logits(), apart(5, 6, 2), std];
    gradcheck(|_, v| load_with_noise(v[0], v[1], v[2], 2, 0.7).value, &inputs).unwrap();
    let assignments = Assignments::new(4, vec![0, 2, 2, 3, 6], vec![0, 2, 3, 0, 1, 3]).unwrap();
    let weights = random::uniform([6], 1.0, &mut rng(1, 5)).map(|v| 1.2 + v);
    gradcheck(|_, v| importance_of_weights(v[0], &assignments, 0.7).value, &[weights]).unwrap();
}

#[test]
fn a_wrong_gradient_would_be_found() {
    // The entropy's value with the gradient of its probabilities held fixed.
    let logits = uniform(5, 6, 1);
    let wrong = gradcheck(
        |_, v| v[0] + entropy(v[0], 1.0).value - entropy(v[0].detach(), 0.5).value,
        &[logits],
    );
    assert!(wrong.is_err());
}

#[test]
fn nothing_without_rows_and_numbers_for_huge_logits() {
    let tape = Tape::new();
    let none = tape.variable(Tensor::zeros([0, 4]));
    let huge = [1e4, -1e4, 0.0, 9e3, -1e4, -1e4, -1e4, -1e4];
    let huge = tape.variable(matrix(2, &huge));
    for (x, rows) in [(none, 0), (huge, 2)] {
        let assignments = Assignments::dense(rows, 4);
        let p = x.softmax();
        let std = tape.constant(Tensor::full([rows, 4], 0.0));
        let losses = [
            router_z(x, 1.0),
            entropy(x, 1.0),
            trimmed_lasso(p, 2, 1.0),
            importance(p, 1.0),
            load_balance_top1(p, 1.0),
            load(x, x, 0.3, 2, 1.0),
            load_with_noise(x, x, std, 2, 1.0),
            importance_of_weights(p.gather_assigned(&assignments), &assignments, 1.0),
        ];
        for loss in losses {
            let (name, found) = (loss.name, value(loss));
            assert!(found.is_finite() && (rows > 0 || found == 0.0), "{name}: {found}");
            let gradient = tape.backward(loss.value).wrt(x);
            let gradient = gradient.unwrap_or(Tensor::zeros([rows, 4]));
            assert!(gradient.as_slice().iter().all(|g| g.is_finite()), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn bounds(
        rows in 1usize..9, experts in 1usize..9, k in 1usize..9, size in 0.01f64..20.0, seed in any::<u64>(),
    ) {
        let k = k.min(experts);
        let tape = Tape::inference();
        let logits = tape.constant(random::uniform([rows, experts], size, &mut rng(seed, 0)));
        let p = logits.softmax();
        let slack = 1e-5;
        let n = experts as f64;
        let lasso = value(trimmed_lasso(p, k, 1.0));
        prop_assert!((0.0..=1.0 - k as f64 / n + slack).contains(&lasso), "{}", lasso);
        let entropy = value(entropy(logits, 1.0));
        prop_assert!((-slack..=n.ln() + slack).contains(&entropy), "{}", entropy);
        // The squared coefficient of variation of n numbers is largest where one has all.
        for spread in [
            importance(p, 1.0),
            load(logits, logits, 0.5, k, 1.0),
            load_with_noise(logits, logits, tape.constant(Tensor::full([rows, experts], 0.5)), k, 1.0),
        ] {
            let (name, found) = (spread.name, value(spread));
            prop_assert!((0.0..=n - 1.0 + slack).contains(&found), "{}: {}", name, found);
        }
        let top1 = value(load_balance_top1(p, 1.0));
        prop_assert!(top1 <= n + slack, "{}", top1);
        let z = value(router_z(logits, 1.0));
        prop_assert!(z <= (size + n.ln()).powi(2) + slack, "{}", z);
    }

    #[test]
    fn balanced_costs_less(experts in 2usize..8, per_expert in 1usize..4, margin in 0.5f64..4.0) {
        // Each row prefers one expert: each expert as often as any other, or always the first.
        let rows = experts * per_expert;
        let prefer = |expert: &dyn Fn(usize) -> usize| {
            let entry = |i: usize| if expert(i / experts) == i % experts { margin as Real } else { 0.0 };
            Tensor::from_fn([rows, experts], entry)
        };
        let (even, one) = (prefer(&|row| row % experts), prefer(&|_| 0));
        let both = |loss: &dyn for<'t> Fn(Var<'t>) -> AuxLoss<'t>| (of(&even, loss), of(&one, loss));
        for (even, one) in [
            both(&|o| importance(o.softmax(), 1.0)),
            both(&|o| load(o, o, 0.5, 1, 1.0)),
            both(&|o| load_balance_top1(o.softmax(), 1.0)),
        ] {
            prop_assert!(even + 1e-3 < one, "{} and {}", even, one);
        }
        prop_assert!(of(&even, |o| importance(o.softmax(), 1.0)) < 1e-5);
    }
}

#[test]
fn routers_add_what_is_asked_for_in_training_alone() {
    let spec = GateSpec { inputs: 4, experts: 5, k: 2, seed: 3, gate: 0 };
    let offered = |id: &str| {
        let registry = Registry::standard();
        let specs = &registry.get(id).unwrap().info().parameters;
        let is_loss = |name: &&str| {
            let names =
                ["load-balance", "importance", "load", "trimmed-lasso", "router-z", "entropy"];
            names.contains(name)
        };
        assert!(
            specs
                .iter()
                .filter(|s| is_loss(&s.name))
                .all(|s| { s.default == Value::Real(0.0) && matches!(s.range, Range::Real(_)) })
        );
        specs.iter().map(|s| s.name).filter(is_loss).collect::<Vec<_>>()
    };
    let sparse = ["load-balance", "importance", "trimmed-lasso", "router-z", "entropy"];
    assert_eq!(offered("top-k"), sparse);
    assert_eq!(offered("moesart"), sparse);
    assert_eq!(offered("softmax"), sparse[1..]);
    assert_eq!(offered("hash"), [""; 0]);
    let noisy = ["importance", "load", "load-balance", "trimmed-lasso", "router-z", "entropy"];
    assert_eq!(offered("noisy-top-k"), noisy);
    for id in ["top-k", "moesart", "softmax", "noisy-top-k"] {
        for name in offered(id) {
            let losses = |coefficient, mode| {
                let parameters = [(name, Value::Real(coefficient))];
                let set = common::build(id, &spec, 1, &parameters);
                let tape = Tape::inference();
                let x = tape.constant(uniform(7, 4, 9));
                let routing = common::route(&*set, x, mode).remove(0);
                let named = routing.aux_losses.iter().map(|&loss| (loss.name, value(loss)));
                named.collect::<Vec<_>>()
            };
            assert_eq!(losses(0.0, Mode::Train), []);
            assert_eq!(losses(1.0, Mode::Infer), []);
            let [(found, once)] = losses(1.0, Mode::Train)[..] else { panic!("{id}: one {name}") };
            let [(_, twice)] = losses(2.0, Mode::Train)[..] else { panic!("{id}: one {name}") };
            assert_eq!(found, name, "{id}");
            assert!(once > 0.0, "{id}: {name} is {once}");
            assert_relative_eq!(twice, 2.0 * once, max_relative = 1e-5);
        }
    }
}
