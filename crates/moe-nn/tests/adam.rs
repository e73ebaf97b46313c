//! Adam against its published update, written out element by element in double precision.

mod common;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::{DOUBLE, rng};
use moe_core::envelope::{Kind, open, seal};
use moe_core::rand::Rng;
use moe_core::tape::{Gradients, Tape};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut, random};
use moe_nn::{Adam, AdamOptions, Module};

const RATE: f64 = 0.003;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-7;

/// Some matrices and a buffer between them, which an optimiser must leave alone.
struct Weights {
    parameters: Vec<Parameter>,
    buffer: Tensor,
}

impl Weights {
    fn new(tensors: &[Tensor]) -> Self {
        let parameters = tensors.iter().cloned().map(Parameter::new).collect();
        Weights { parameters, buffer: Tensor::full([3], 7.0) }
    }

    fn value(&self, index: usize) -> &Tensor {
        self.parameters[index].value()
    }
}

impl Module for Weights {
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, parameter) in self.parameters.iter().enumerate() {
            f(&i.to_string(), StateRef::Parameter(parameter));
            f("buffer", StateRef::Buffer(&self.buffer));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, parameter) in self.parameters.iter_mut().enumerate() {
            f(&i.to_string(), StateMut::Parameter(parameter));
            f("buffer", StateMut::Buffer(&mut self.buffer));
        }
    }
}

/// The gradient a parameter is to have.
#[derive(Clone)]
enum Wanted {
    Dense(Tensor),
    /// These rows get these values; a row named twice gets their sum.
    Rows(Vec<u32>, Tensor),
    Absent,
}

impl Wanted {
    /// All elements, in double precision.
    fn dense(&self, size: usize) -> Vec<f64> {
        let mut all = vec![0.0; size];
        match self {
            Wanted::Dense(tensor) => {
                all = tensor.as_slice().iter().map(|&g| f64::from(g)).collect();
            }
            Wanted::Rows(ids, values) => {
                for (i, &id) in ids.iter().enumerate() {
                    for (j, &g) in values.row(i).iter().enumerate() {
                        all[id as usize * values.cols() + j] += f64::from(g);
                    }
                }
            }
            Wanted::Absent => {}
        }
        all
    }
}

/// Gradients with exactly these values.
fn gradients(weights: &Weights, wanted: &[Wanted]) -> Gradients {
    let tape = Tape::new();
    let mut loss = tape.variable(Tensor::scalar(0.0));
    for (parameter, wanted) in weights.parameters.iter().zip(wanted) {
        let term = match wanted {
            Wanted::Dense(gradient) => tape.parameter(parameter) * tape.constant(gradient.clone()),
            Wanted::Rows(ids, values) => {
                tape.parameter(parameter).gather_rows(ids) * tape.constant(values.clone())
            }
            Wanted::Absent => continue,
        };
        loss = loss + term.sum();
    }
    tape.backward(loss)
}

/// One step with these gradients.
fn update(adam: &mut Adam, weights: &mut Weights, wanted: &[Wanted]) {
    let gradients = gradients(weights, wanted);
    adam.step(weights, &gradients);
}

fn adam() -> Adam {
    Adam::new(AdamOptions {
        learning_rate: RATE as Real,
        beta1: BETA1 as Real,
        beta2: BETA2 as Real,
        epsilon: EPSILON as Real,
    })
}

/// Algorithm of torch.optim.Adam as its documentation states it: m and v are moving averages of g and g squared,
/// divided by 1 - beta^t; the parameter loses rate * m / (sqrt(v) + epsilon).
struct Published {
    value: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Published {
    fn new(value: &Tensor) -> Self {
        let value: Vec<f64> = value.as_slice().iter().map(|&v| f64::from(v)).collect();
        Published { m: vec![0.0; value.len()], v: vec![0.0; value.len()], value }
    }

    fn step(&mut self, t: i32, gradient: &[f64]) {
        for (i, g) in gradient.iter().enumerate() {
            self.m[i] = BETA1 * self.m[i] + (1.0 - BETA1) * g;
            self.v[i] = BETA2 * self.v[i] + (1.0 - BETA2) * g * g;
            let m = self.m[i] / (1.0 - BETA1.powi(t));
            let v = self.v[i] / (1.0 - BETA2.powi(t));
            self.value[i] -= RATE * m / (v.sqrt() + EPSILON);
        }
    }
}

/// A gradient of the kind with this number: dense, rows (some of them, one twice), absent; sizes from 1e-4 to 1.
fn wanted(kind: usize, shape: [usize; 2], rng: &mut impl Rng) -> Wanted {
    let mut values = |rows: usize| {
        let scale = 10f64.powi(-rng.random_range(0..5));
        let value = |_| (scale * rng.random_range(-1.0..1.0)) as Real;
        Tensor::from_fn([rows, shape[1]], value)
    };
    match kind % 3 {
        0 => Wanted::Dense(values(shape[0])),
        1 => {
            let mut ids: Vec<u32> = (0..shape[0] as u32).step_by(3).collect();
            ids.insert(0, *ids.last().unwrap());
            let values = values(ids.len());
            Wanted::Rows(ids, values)
        }
        _ => Wanted::Absent,
    }
}

#[test]
fn follows_the_published_update() {
    // The last four are cut into pieces of 16384 elements: in the middle of rows' order, with a whole and a part of
    // a row each, with rows longer than a piece.
    let shapes = [[1, 1], [3, 2], [7, 5], [1, 40], [300, 70], [5000, 8], [16385, 1], [4, 20_000]];
    let mut rng = rng(1, 0);
    let starts: Vec<Tensor> =
        shapes.iter().map(|&shape| random::uniform(shape, 1.0, &mut rng)).collect();
    let mut weights = Weights::new(&starts);
    let mut published: Vec<Published> = starts.iter().map(Published::new).collect();
    let mut adam = adam();
    let steps = 7;
    for t in 1..=steps {
        // Every parameter sees every kind of gradient in turn.
        let wanted: Vec<Wanted> = (shapes.iter().enumerate())
            .map(|(i, &shape)| wanted(i + t as usize, shape, &mut rng))
            .collect();
        update(&mut adam, &mut weights, &wanted);
        for ((published, wanted), start) in published.iter_mut().zip(&wanted).zip(&starts) {
            published.step(t, &wanted.dense(start.len()));
        }
    }
    // No update is much longer than the rate. Single precision keeps values below 2 to 1.2e-7 a step, and
    // 1 - beta2 to 1.3e-5.
    let tolerance = if DOUBLE { 1e-13 } else { f64::from(steps) * (2e-7 + 2e-5 * RATE) };
    for (i, published) in published.iter().enumerate() {
        for (&value, &expected) in weights.value(i).as_slice().iter().zip(&published.value) {
            assert_abs_diff_eq!(f64::from(value), expected, epsilon = tolerance);
        }
    }
    assert_eq!(weights.buffer.as_slice(), [7.0; 3], "buffers are not learnt");
}

#[test]
fn the_first_step_is_the_rate_whatever_the_size_of_the_gradient() {
    // m and v are g and g squared after correction: rate * g / (|g| + epsilon).
    let g = [1e-3, -1.0, 1e3, -50.0].map(|g: f64| g as Real);
    let mut weights = Weights::new(&[Tensor::zeros([4])]);
    let wanted = [Wanted::Dense(Tensor::new([4], g.to_vec()))];
    update(&mut adam(), &mut weights, &wanted);
    for (&value, g) in weights.value(0).as_slice().iter().zip(g.map(f64::from)) {
        let expected = -RATE * g / (g.abs() + EPSILON);
        let tolerance = if DOUBLE { 1e-12 } else { 1e-6 };
        assert_relative_eq!(f64::from(value), expected, max_relative = tolerance);
    }
}

#[test]
fn rows_step_as_the_dense_gradient_they_stand_for() {
    let shape = [5000, 8];
    let start = [random::uniform(shape, 1.0, &mut rng(2, 0))];
    let (mut by_rows, mut by_all) = (Weights::new(&start), Weights::new(&start));
    let (mut adam_rows, mut adam_all) = (adam(), adam());
    for step in 0..4 {
        // The first and last row of pieces of 2048 rows, and others; none twice, so that no sum is rounded.
        let ids = vec![4999, 0, 2047, 2048, 4095, 4096, 17 + step, 3000 + step];
        let values = random::uniform([ids.len(), 8], 1.0, &mut rng(3, step.into()));
        let rows = Wanted::Rows(ids, values);
        let all: Vec<Real> = rows.dense(5000 * 8).iter().map(|&g| g as Real).collect();
        let all = Wanted::Dense(Tensor::new(shape, all));
        update(&mut adam_rows, &mut by_rows, &[rows]);
        update(&mut adam_all, &mut by_all, &[all]);
    }
    assert_eq!(common::bits(&by_rows), common::bits(&by_all));
}

#[test]
fn rows_and_parameters_without_gradient_decay() {
    let one = Wanted::Rows(vec![1], Tensor::full([1, 2], 1.0));
    let mut weights = Weights::new(&[Tensor::zeros([3, 2])]);
    let mut adam = adam();
    update(&mut adam, &mut weights, &[one]);
    let value = |weights: &Weights, row: usize| f64::from(weights.value(0).row(row)[0]);
    let first = value(&weights, 1);
    assert_eq!(value(&weights, 0), 0.0, "a row that never had a gradient stays");

    // Gradient elsewhere, then none at all. m is 0.1 * 0.9^(t-1) and v is 0.001 * 0.999^(t-1).
    let elsewhere = Wanted::Rows(vec![0], Tensor::full([1, 2], 1.0));
    update(&mut adam, &mut weights, &[elsewhere]);
    let second = value(&weights, 1);
    update(&mut adam, &mut weights, &[Wanted::Absent]);
    let third = value(&weights, 1);
    let change = |t: i32| {
        let m = (1.0 - BETA1) * BETA1.powi(t - 1) / (1.0 - BETA1.powi(t));
        let v = (1.0 - BETA2) * BETA2.powi(t - 1) / (1.0 - BETA2.powi(t));
        -RATE * m / (v.sqrt() + EPSILON)
    };
    let tolerance = if DOUBLE { 1e-12 } else { 1e-4 };
    assert_relative_eq!(first, change(1), max_relative = tolerance);
    assert_relative_eq!(second - first, change(2), max_relative = tolerance);
    assert_relative_eq!(third - second, change(3), max_relative = tolerance);
}

#[test]
fn an_absent_gradient_is_a_zero_gradient() {
    let start = random::uniform([40, 3], 1.0, &mut rng(4, 0));
    let run = |second: Wanted| {
        let mut weights = Weights::new(&[start.clone(), start.clone()]);
        let mut adam = adam();
        for step in 0..3 {
            let full = Wanted::Dense(random::uniform([40, 3], 1.0, &mut rng(5, step)));
            // The other parameter has a gradient in the first step only.
            let other = if step == 0 { full.clone() } else { second.clone() };
            update(&mut adam, &mut weights, &[full, other]);
        }
        common::bits(&weights)
    };
    let absent = run(Wanted::Absent);
    assert_eq!(absent, run(Wanted::Dense(Tensor::zeros([40, 3]))));
    assert_eq!(absent, run(Wanted::Rows(vec![7], Tensor::zeros([1, 3]))));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = || {
        let start = random::uniform([5000, 8], 1.0, &mut rng(6, 0));
        let mut weights = Weights::new(&[start.clone(), start]);
        let mut adam = adam();
        for step in 0..3 {
            let wanted: Vec<Wanted> =
                (0..2).map(|kind| wanted(kind, [5000, 8], &mut rng(7, step))).collect();
            update(&mut adam, &mut weights, &wanted);
        }
        common::bits(&weights)
    };
    let one = common::in_pool(1, run);
    assert_eq!(common::in_pool(2, run), one);
    assert_eq!(common::in_pool(7, run), one);
}

#[test]
fn a_saved_optimiser_goes_on_as_if_never_saved() {
    const KIND: Kind = Kind { name: "adam", version: 1 };
    let run = |save: bool| {
        let mut weights = Weights::new(&[Tensor::zeros([2, 2])]);
        let mut adam = adam();
        for step in 0..4 {
            let wanted = Wanted::Dense(random::uniform([2, 2], 1.0, &mut rng(8, step)));
            update(&mut adam, &mut weights, &[wanted]);
            if save {
                adam = open(KIND, &seal(KIND, &adam).unwrap()).unwrap();
            }
        }
        common::bits(&weights)
    };
    assert_eq!(run(true), run(false));
}

#[test]
#[should_panic(expected = "is not the parameter of earlier steps")]
fn another_module_is_refused() {
    let (mut one, mut two) =
        (Weights::new(&[Tensor::zeros([2, 2])]), Weights::new(&[Tensor::zeros([3, 2])]));
    let mut adam = adam();
    update(&mut adam, &mut one, &[Wanted::Absent]);
    update(&mut adam, &mut two, &[Wanted::Absent]);
}

#[test]
#[should_panic(expected = "the module has lost parameters")]
fn a_module_with_fewer_parameters_is_refused() {
    let scalar = Tensor::scalar(0.0);
    let mut two = Weights::new(&[scalar.clone(), scalar.clone()]);
    let mut one = Weights::new(&[scalar]);
    let mut adam = adam();
    update(&mut adam, &mut two, &[]);
    update(&mut adam, &mut one, &[]);
}

#[test]
fn the_defaults_are_those_of_keras() {
    // tf.keras.optimizers.Adam: beta_1 0.9, beta_2 0.999, epsilon 1e-7. The rate is COMET's.
    let AdamOptions { learning_rate, beta1, beta2, epsilon } = AdamOptions::default();
    assert_eq!((beta1, beta2, epsilon), (BETA1 as Real, BETA2 as Real, EPSILON as Real));
    assert_eq!(learning_rate, 5e-4);
}
