//! The load-balancing loss: its value, its gradient, and where it appears.

mod common;

use approx::assert_relative_eq;
use common::{DOUBLE, build, cases, rng, route};
use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::testing::gradcheck;
use moe_core::{Mode, Real, Tensor, random};
use moe_routers::aux_loss::load_balance;
use moe_routers::{GateSpec, Value};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn sending_all_rows_to_the_most_probable_expert_costs_more_than_sending_them_evenly(
        experts in 2usize..8, per_expert in 1usize..4, logits in prop::collection::vec(-2.0f64..2.0, 8),
    ) {
        let tape = Tape::inference();
        let rows = experts * per_expert;
        let row: Vec<Real> = logits[..experts].iter().map(|&v| v as Real).collect();
        let all = Tensor::new([rows, experts], row.repeat(rows));
        let probabilities = tape.constant(all).softmax();
        let value = |to: Vec<u32>| {
            let assignments = Assignments::fixed(experts, 1, to);
            f64::from(load_balance(probabilities, &assignments, 1.0).value.value().item())
        };
        let even = value((0..rows).map(|row| (row % experts) as u32).collect());
        let most_probable = (0..experts).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        let collapsed = value(vec![most_probable as u32; rows]);
        // A balanced load gives 1 for any probabilities; the most probable expert has more than 1/N of them.
        assert_relative_eq!(even, 1.0, max_relative = 1e-5);
        prop_assert!(collapsed >= even - 1e-5, "{} and {}", collapsed, even);
        let spread = logits[most_probable] - logits[..experts].iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert!(spread < 0.1 || collapsed > 1.01, "{} with logits {:?}", collapsed, logits);
    }
}

#[test]
fn the_load_balancing_loss_by_hand() {
    // N = 2. P is the mean of (0.5, 0.5), (0.9, 0.1), (0.7, 0.3), (0.3, 0.7): (0.6, 0.4). Three of four rows go to
    // expert 0: f = (0.75, 0.25). 2 * (0.75 * 0.6 + 0.25 * 0.4) = 1.1, times the coefficient 0.5.
    let probabilities = [0.5, 0.5, 0.9, 0.1, 0.7, 0.3, 0.3, 0.7].map(|p| p as Real);
    let tape = Tape::new();
    let p = tape.variable(Tensor::new([4, 2], probabilities.to_vec()));
    let assignments = Assignments::fixed(2, 1, vec![0, 0, 0, 1]);
    let loss = load_balance(p, &assignments, 0.5);
    assert_eq!(loss.name, "load-balance");
    assert_relative_eq!(f64::from(loss.value.value().item()), 0.55, max_relative = 1e-6);
    // Its gradient is coefficient * N * f_j / B: 0.5 * 2 * 0.75 / 4 and 0.5 * 2 * 0.25 / 4.
    let gradient = tape.backward(loss.value).wrt(p).unwrap();
    assert_eq!(gradient.as_slice(), [0.1875, 0.0625].repeat(4));
    // All experts of all rows: f = 1 for both, N * 1 = K. No rows: nothing.
    let all = load_balance(p, &Assignments::dense(4, 2), 1.0).value.value().item();
    assert_relative_eq!(f64::from(all), 2.0, max_relative = 1e-6);
    let none = tape.constant(Tensor::zeros([0, 2]));
    assert_eq!(load_balance(none, &Assignments::dense(0, 2), 1.0).value.value().item(), 0.0);
}

#[test]
fn the_load_balancing_loss_passes_a_gradient_check() {
    let assignments = Assignments::new(4, vec![0, 2, 2, 3, 6], vec![0, 2, 3, 0, 1, 3]).unwrap();
    let logits = random::uniform([4, 4], 1.0, &mut rng(1, 7));
    let checked =
        gradcheck(|_, vars| load_balance(vars[0].softmax(), &assignments, 0.7).value, &[logits]);
    checked.unwrap();
}

#[test]
fn top_k_adds_it_in_training_alone() {
    let spec = GateSpec { inputs: 5, experts: 6, k: 3, seed: 11, gate: 0 };
    let set = build("top-k", &spec, 2, &[("load-balance", Value::Real(0.25))]);
    let parameters = common::parameters(&*set);
    let x = random::uniform([9, 5], 1.0, &mut rng(5, 0));
    let tape = Tape::new();
    let x = tape.constant(x);
    assert!(route(&*set, x, Mode::Infer).iter().all(|routing| routing.aux_losses.is_empty()));
    for (gate, routing) in route(&*set, x, Mode::Train).iter().enumerate() {
        let [loss] = routing.aux_losses[..] else { panic!("one loss for each gate") };
        // The probabilities are those over all experts, not over the chosen ones.
        let weight = tape.constant(parameters[&format!("{gate}.weight")].clone());
        let probabilities = x.matmul(weight).softmax().value();
        let load = &routing.observed.load;
        let mut sum = 0.0;
        for row in 0..9 {
            for (p, &rows) in probabilities.row(row).iter().zip(load) {
                sum += f64::from(*p) / 9.0 * f64::from(rows) / 9.0;
            }
        }
        let value = f64::from(loss.value.value().item());
        let tolerance = if DOUBLE { 1e-12 } else { 1e-5 };
        assert_relative_eq!(value, 0.25 * 6.0 * sum, max_relative = tolerance);
    }
}
