//! Experts that are separate modules, against the bank of stacked weights.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{DOUBLE, by_name, in_pool, rng, tensor_bits};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::kernel::multiply_adds;
use moe_core::rand::Rng;
use moe_core::random::uniform;
use moe_core::tape::{Backward, InputGradients, Operator, Tape, Var};
use moe_core::{Mode, Parameter, Pass, Real, Shape, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_nn::{
    Activation, ExpertBank, Experts, Forward, Layer, LayerExperts, Mlp, MlpOptions, Module,
};

const TOLERANCE: Real = if DOUBLE { 1e-12 } else { 1e-4 };

/// Values of the slots, gradient of x, gradients by name.
type Found = (Tensor, Tensor, BTreeMap<String, Option<Tensor>>);

fn run(experts: &dyn Experts, x: &Tensor, plan: &Arc<ExpertPlan>, mode: Mode) -> Found {
    let ids: Vec<u64> = (0..x.rows() as u64).map(|row| row * 0x1_0000_0007).collect();
    let pass = Pass {
        mode,
        seed: 7,
        step: 3,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::new();
    let x = tape.variable(x.clone());
    let y = experts.forward(&pass, x, plan);
    let cotangent = uniform(y.shape(), 1.0, &mut rng(9, 9));
    let gradients = tape.backward_from(y, cotangent);
    (y.value(), gradients.wrt(x).unwrap(), by_name(experts, &gradients))
}

/// One to three of `experts` experts for each row; none goes to the last one.
fn plan(rows: usize, experts: usize) -> Arc<ExpertPlan> {
    let mut rng = rng(4, 0);
    let rows = (0..rows).map(|_| {
        let first = rng.random_range(0..experts as u32 - 3);
        (first..first + rng.random_range(1..4)).collect::<Vec<_>>()
    });
    Arc::new(ExpertPlan::new(&[&Assignments::from_rows(experts, rows)]))
}

/// The rows of expert `expert` of a stacked tensor.
fn part(stacked: &Tensor, expert: usize) -> Tensor {
    let shape = &stacked.shape()[1..];
    let size = Shape::new(shape).size();
    Tensor::new(shape, stacked.as_slice()[expert * size..(expert + 1) * size].to_vec())
}

/// Perceptrons with the weights of the bank.
fn modules_of(bank: &ExpertBank, widths: [usize; 2], options: &MlpOptions) -> LayerExperts {
    let stacked = common::tensors(bank);
    let layers = (0..bank.num_experts()).map(|expert| -> Box<dyn Layer> {
        let mut mlp = Mlp::new(widths[0], widths[1], options, &mut rng(8, 0));
        let weights: Vec<Tensor> = stacked.iter().map(|tensor| part(tensor, expert)).collect();
        common::put(&mut mlp, &weights);
        Box::new(mlp)
    });
    LayerExperts::new(layers.collect(), widths[1])
}

#[track_caller]
fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    let scale = b.as_slice().iter().fold(1.0, |max: Real, v| max.max(v.abs()));
    for (i, (a, b)) in a.as_slice().iter().zip(b.as_slice()).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * scale, "{what}: element {i} is {a} and {b}");
    }
}

fn forms() -> [MlpOptions; 4] {
    let one = MlpOptions {
        output_activation: Activation::Relu,
        output_dropout: 0.3,
        name: "experts".into(),
        ..MlpOptions::default()
    };
    let feed_forward = MlpOptions { hidden: vec![9], ..MlpOptions::default() };
    let deep = MlpOptions {
        hidden: vec![9, 5],
        activation: Activation::Tanh,
        dropout: 0.25,
        ..one.clone()
    };
    let narrow = MlpOptions { dropout: 0.4, hidden: vec![1], ..feed_forward.clone() };
    [one, feed_forward, deep, narrow]
}

#[test]
fn modules_with_the_weights_of_a_bank_equal_the_bank() {
    let (experts, widths) = (6, [4, 7]);
    let plan = plan(40, experts);
    let x = uniform([40, 4], 1.0, &mut rng(5, 0));
    for options in forms() {
        let mut bank = ExpertBank::new(experts, widths[0], widths[1], &options, &mut rng(6, 0));
        bank.visit_mut(&mut |name, mut state| {
            if name.ends_with("bias") {
                let shape = *state.tensor_mut().shape();
                *state.tensor_mut() = uniform(shape, 1.0, &mut rng(7, 0));
            }
        });
        let modules = modules_of(&bank, widths, &options);
        assert_eq!(
            (modules.num_experts(), modules.outputs()),
            (bank.num_experts(), bank.outputs())
        );
        assert_eq!(modules.parameter_count(), bank.parameter_count());
        for mode in [Mode::Train, Mode::Infer] {
            let (y, dx, of_bank) = run(&bank, &x, &plan, mode);
            let (own_y, own_dx, own) = run(&modules, &x, &plan, mode);
            assert_close(&own_y, &y, "values");
            assert_close(&own_dx, &dx, "gradient of x");
            let last = options.hidden.len();
            for (name, stacked) in &of_bank {
                let stacked = stacked.as_ref().unwrap();
                let (layer, field) = match name.strip_prefix("hidden.") {
                    Some(rest) => rest.split_once('.').unwrap(),
                    None => (&*last.to_string(), name.as_str()),
                };
                for expert in 0..experts {
                    let own_name = format!("{expert}.{layer}.{field}");
                    let expected = part(stacked, expert);
                    match &own[&own_name] {
                        Some(gradient) => assert_close(gradient, &expected, &own_name),
                        None => {
                            assert!(plan.slots_of_expert(expert).is_empty(), "{own_name}");
                            assert!(expected.as_slice().iter().all(|&g| g == 0.0));
                        }
                    }
                }
            }
        }
        // Other draws give other values: the comparison above covers dropout.
        if options.dropout > 0.0 || options.output_dropout > 0.0 {
            let other = MlpOptions { name: "other".into(), ..options.clone() };
            let others = modules_of(&bank, widths, &other);
            assert_ne!(
                run(&others, &x, &plan, Mode::Train).0,
                run(&bank, &x, &plan, Mode::Train).0
            );
        }
    }
}

#[test]
fn names_of_a_bank_and_of_modules() {
    let options = MlpOptions { hidden: vec![3], ..MlpOptions::default() };
    let bank = ExpertBank::new(2, 4, 5, &options, &mut rng(1, 0));
    assert_eq!(common::names(&bank), ["hidden.0.weight", "hidden.0.bias", "weight", "bias"]);
    let modules = modules_of(&bank, [4, 5], &options);
    let expected = ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"];
    assert_eq!(common::names(&modules)[..4], expected);
    assert_eq!(common::names(&modules)[4], "1.0.weight");
}

#[test]
fn work_follows_the_slots() {
    let options = MlpOptions { hidden: vec![9], ..MlpOptions::default() };
    let bank = ExpertBank::new(6, 4, 7, &options, &mut rng(6, 0));
    let modules = modules_of(&bank, [4, 7], &options);
    let (plan, x) = (plan(40, 6), uniform([40, 4], 1.0, &mut rng(5, 0)));
    let ids = [0; 40];
    let (mode, seed) = (Mode::Infer, 0);
    let pass = Pass {
        mode,
        seed,
        step: 0,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    for experts in [&bank as &dyn Experts, &modules] {
        // On one thread, since multiply-adds are counted on the thread that issues them.
        let work = in_pool(1, || {
            let before = multiply_adds();
            let tape = Tape::inference();
            experts.forward(&pass, tape.constant(x.clone()), &plan);
            multiply_adds() - before
        });
        assert_eq!(work, (plan.slots() * (4 * 9 + 9 * 7)) as u64);
    }
}

#[test]
fn one_two_and_seven_threads_give_the_same_bits() {
    let options = MlpOptions { hidden: vec![60], dropout: 0.2, ..MlpOptions::default() };
    let bank = ExpertBank::new(8, 48, 40, &options, &mut rng(6, 0));
    let modules = modules_of(&bank, [48, 40], &options);
    let (plan, x) = (plan(500, 8), uniform([500, 48], 1.0, &mut rng(5, 0)));
    let bits = |threads| {
        let (y, dx, own) = in_pool(threads, || run(&modules, &x, &plan, Mode::Train));
        let all = [&y, &dx].into_iter().chain(own.values().flatten());
        all.flat_map(tensor_bits).collect::<Vec<_>>()
    };
    let one = bits(1);
    for threads in [2, 7, 7] {
        assert!(bits(threads) == one, "{threads} threads");
    }
}

/// A row as an image of `height` lines: every pair of neighbouring lines times the same weights, then the sum over
/// the pairs. A convolution as small as can be, on rows that it takes apart itself.
struct Convolution {
    height: usize,
    /// `[2, columns, outputs]`, as one matrix.
    weight: Parameter,
}

/// `[B, height * columns]` → `[B * (height - 1), 2 * columns]`
struct Pairs {
    height: usize,
}

impl Pairs {
    /// Where each element of the output comes from.
    fn sources(&self, x: &Tensor) -> impl Iterator<Item = usize> + use<> {
        let (rows, size, height) = (x.rows(), x.cols(), self.height);
        let columns = size / height;
        (0..rows).flat_map(move |row| {
            (0..height - 1).flat_map(move |line| {
                (0..2 * columns).map(move |c| row * size + line * columns + c)
            })
        })
    }
}

impl Operator for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let values = self.sources(x).map(|i| x.as_slice()[i]).collect();
        Tensor::new([x.rows() * (self.height - 1), 2 * x.cols() / self.height], values)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = Tensor::zeros(*at.inputs[0].shape());
        for (i, d) in self.sources(at.inputs[0]).zip(at.cotangent.as_slice()) {
            dx.as_mut_slice()[i] += d;
        }
        gradients.add(0, dx);
    }
}

/// `[B * pairs, O]` → `[B, O]`
struct SumOfPairs {
    pairs: usize,
}

impl Operator for SumOfPairs {
    fn name(&self) -> &'static str {
        "sum_of_pairs"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let mut y = Tensor::zeros([x.rows() / self.pairs, x.cols()]);
        for row in 0..x.rows() {
            let start = row / self.pairs * x.cols();
            let sums = &mut y.as_mut_slice()[start..start + x.cols()];
            sums.iter_mut().zip(x.row(row)).for_each(|(sum, v)| *sum += v);
        }
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, cols) = (at.inputs[0], at.inputs[0].cols());
        let from = |i: usize| at.cotangent.row(i / cols / self.pairs)[i % cols];
        gradients.add(0, Tensor::from_fn(*x.shape(), from));
    }
}

impl Layer for Convolution {
    fn forward<'t>(&self, _pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let pairs = tape.apply(Pairs { height: self.height }, &[x]);
        let seen = pairs.matmul(tape.parameter(&self.weight)).tanh();
        tape.apply(SumOfPairs { pairs: self.height - 1 }, &[seen])
    }
}

impl Module for Convolution {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.weight));
    }
}

/// Convolutions of two heights and a perceptron side by side, against finite differences.
#[test]
fn experts_of_different_kinds_that_reshape_their_rows() {
    const STEP: Real = if DOUBLE { 1e-6 } else { 1e-2 };
    let mut rng = rng(11, 0);
    let mut convolution = |height: usize| -> Box<dyn Layer> {
        let weight = Parameter::new(uniform([2 * 12 / height, 3], 1.0, &mut rng));
        Box::new(Convolution { height, weight })
    };
    let (high, flat) = (convolution(4), convolution(3));
    let options = MlpOptions { hidden: vec![5], ..MlpOptions::default() };
    let mlp: Box<dyn Layer> = Box::new(Mlp::new(12, 3, &options, &mut rng));
    let mut experts = LayerExperts::new(vec![high, flat, mlp], 3);
    let chosen = Assignments::from_rows(3, [vec![0, 1, 2], vec![1], vec![0, 2], vec![0]]);
    let plan = Arc::new(ExpertPlan::new(&[&chosen]));
    let mut x = uniform([4, 12], 1.0, &mut rng);

    let (y, dx, own) = run(&experts, &x, &plan, Mode::Train);
    let cotangent = uniform(*y.shape(), 1.0, &mut common::rng(9, 9));
    let loss = |experts: &LayerExperts, x: &Tensor| -> f64 {
        let y = run(experts, x, &plan, Mode::Train).0;
        y.as_slice().iter().zip(cotangent.as_slice()).map(|(y, c)| f64::from(y * c)).sum()
    };
    let agree = |slope: f64, gradient: Real| {
        (slope / f64::from(2.0 * STEP) - f64::from(gradient)).abs()
            < if DOUBLE { 1e-8 } else { 2e-2 }
    };
    for element in 0..x.len() {
        let start = x.as_slice()[element];
        let mut at = |value| {
            x.as_mut_slice()[element] = value;
            loss(&experts, &x)
        };
        let slope = at(start + STEP) - at(start - STEP);
        at(start);
        assert!(agree(slope, dx.as_slice()[element]), "x, element {element}");
    }
    for (name, gradient) in own {
        let gradient = gradient.unwrap();
        let mut start = None;
        experts.visit(&mut |visited, state| {
            if visited == name {
                start = Some(state.tensor().clone());
            }
        });
        for (element, &start) in start.unwrap().as_slice().iter().enumerate() {
            let mut at = |value| {
                common::set(&mut experts, &name, element, value);
                loss(&experts, &x)
            };
            let slope = at(start + STEP) - at(start - STEP);
            at(start);
            assert!(agree(slope, gradient.as_slice()[element]), "{name}, element {element}");
        }
    }
}

#[test]
#[should_panic(expected = "the plan is for another number of experts")]
fn a_plan_for_other_experts_is_refused() {
    let experts = LayerExperts::new(Vec::new(), 3);
    run(&experts, &Tensor::zeros([40, 4]), &plan(40, 6), Mode::Infer);
}
