//! Adam against its published update, written out element by element in double precision.

mod common;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::matrices::{Matrices, Wanted, update};
use common::{DOUBLE, rng};
use moe_core::{Real, Tensor, random};
use moe_nn::{Optimizer, OptimizerOptions, Rule};

const RATE: f64 = 0.003;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-7;

fn adam() -> Optimizer {
    let rule = Rule::Adam { beta1: BETA1, beta2: BETA2, epsilon: EPSILON, lazy: false };
    Optimizer::new(OptimizerOptions { rule, learning_rate: RATE, ..OptimizerOptions::default() })
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

#[test]
fn follows_the_published_update() {
    // The last four are cut into pieces of 16384 elements: in the middle of rows' order, with a whole and a part of
    // a row each, with rows longer than a piece.
    let shapes = [[1, 1], [3, 2], [7, 5], [1, 40], [300, 70], [5000, 8], [16385, 1], [4, 20_000]];
    let mut rng = rng(1, 0);
    let starts: Vec<Tensor> =
        shapes.iter().map(|&shape| random::uniform(shape, 1.0, &mut rng)).collect();
    let mut weights = Matrices::new(&starts);
    let mut published: Vec<Published> = starts.iter().map(Published::new).collect();
    let mut adam = adam();
    let steps = 7;
    for t in 1..=steps {
        // Every parameter sees every kind of gradient in turn.
        let wanted: Vec<Wanted> = (shapes.iter().enumerate())
            .map(|(i, &shape)| Wanted::draw(i + t as usize, shape, &mut rng))
            .collect();
        update(&mut adam, &mut weights, &wanted).unwrap();
        for ((published, wanted), start) in published.iter_mut().zip(&wanted).zip(&starts) {
            published.step(t, &wanted.dense(start.len()));
        }
    }
    // No update is much longer than the rate. Single precision keeps values below 2 to 1.2e-7 a step.
    let tolerance = if DOUBLE { 1e-13 } else { f64::from(steps) * (2e-7 + 2e-6 * RATE) };
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
    let mut weights = Matrices::new(&[Tensor::zeros([4])]);
    let wanted = [Wanted::Dense(Tensor::new([4], g.to_vec()))];
    update(&mut adam(), &mut weights, &wanted).unwrap();
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
    let (mut by_rows, mut by_all) = (Matrices::new(&start), Matrices::new(&start));
    let (mut adam_rows, mut adam_all) = (adam(), adam());
    for step in 0..4 {
        // The first and last row of pieces of 2048 rows, and others; none twice, so that no sum is rounded.
        let ids = vec![4999, 0, 2047, 2048, 4095, 4096, 17 + step, 3000 + step];
        let values = random::uniform([ids.len(), 8], 1.0, &mut rng(3, step.into()));
        let rows = Wanted::Rows(ids, values);
        let all: Vec<Real> = rows.dense(5000 * 8).iter().map(|&g| g as Real).collect();
        let all = Wanted::Dense(Tensor::new(shape, all));
        update(&mut adam_rows, &mut by_rows, &[rows]).unwrap();
        update(&mut adam_all, &mut by_all, &[all]).unwrap();
    }
    assert_eq!(common::bits(&by_rows), common::bits(&by_all));
}

#[test]
fn rows_and_parameters_without_gradient_decay() {
    let one = Wanted::Rows(vec![1], Tensor::full([1, 2], 1.0));
    let mut weights = Matrices::new(&[Tensor::zeros([3, 2])]);
    let mut adam = adam();
    update(&mut adam, &mut weights, &[one]).unwrap();
    let value = |weights: &Matrices, row: usize| f64::from(weights.value(0).row(row)[0]);
    let first = value(&weights, 1);
    assert_eq!(value(&weights, 0), 0.0, "a row that never had a gradient stays");

    // Gradient elsewhere, then none at all. m is 0.1 * 0.9^(t-1) and v is 0.001 * 0.999^(t-1).
    let elsewhere = Wanted::Rows(vec![0], Tensor::full([1, 2], 1.0));
    update(&mut adam, &mut weights, &[elsewhere]).unwrap();
    let second = value(&weights, 1);
    update(&mut adam, &mut weights, &[Wanted::Absent]).unwrap();
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
        let mut weights = Matrices::new(&[start.clone(), start.clone()]);
        let mut adam = adam();
        for step in 0..3 {
            let full = Wanted::Dense(random::uniform([40, 3], 1.0, &mut rng(5, step)));
            // The other parameter has a gradient in the first step only.
            let other = if step == 0 { full.clone() } else { second.clone() };
            update(&mut adam, &mut weights, &[full, other]).unwrap();
        }
        common::bits(&weights)
    };
    let absent = run(Wanted::Absent);
    assert_eq!(absent, run(Wanted::Dense(Tensor::zeros([40, 3]))));
    assert_eq!(absent, run(Wanted::Rows(vec![7], Tensor::zeros([1, 3]))));
}

#[test]
fn the_defaults_are_those_of_keras() {
    // tf.keras.optimizers.Adam: beta_1 0.9, beta_2 0.999, epsilon 1e-7. The rate is COMET's.
    let OptimizerOptions { rule, learning_rate, .. } = OptimizerOptions::default();
    let keras = Rule::Adam { beta1: BETA1, beta2: BETA2, epsilon: EPSILON, lazy: false };
    assert_eq!((rule, learning_rate), (keras, 5e-4));
}
