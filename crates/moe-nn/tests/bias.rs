//! The bias model is fitted exactly, directly or by the trainer, and refuses other inputs.

mod common;

use approx::assert_abs_diff_eq;
use common::{DOUBLE, Memory};
use moe_core::batch::{Batch, BatchSource, Target};
use moe_core::tape::Tape;
use moe_core::{Mode, Real, Tensor};
use moe_nn::{
    Bias, BiasDescription, Model, Module, StopReason, TrainOptions, Weights, evaluate, train,
};

const RIDGE: f64 = 1.5;

fn description(source: &Memory) -> BiasDescription {
    BiasDescription { input: source.input.clone(), tasks: source.tasks.clone(), ridge: RIDGE }
}

fn fitted(source: &Memory) -> Bias {
    let mut model = description(source).build().unwrap();
    assert!(model.fit(source).is_some_and(|sweeps| (2..1000).contains(&sweeps)));
    model
}

fn all(source: &Memory) -> Batch {
    common::first_rows(source, source.rows())
}

/// Solves A x = b by elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&r, &s| a[r][i].abs().total_cmp(&a[s][i].abs())).unwrap();
        a.swap(i, pivot);
        b.swap(i, pivot);
        for row in i + 1..n {
            let factor = a[row][i] / a[i][i];
            for col in i..n {
                a[row][col] -= factor * a[i][col];
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|col| a[i][col] * b[col]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

#[test]
fn a_regression_is_the_solution_of_the_normal_equations() {
    for seed in 1..4 {
        let source = common::ids(seed, 70);
        let ids = &source.inputs.ids;
        let Target { values, present, .. } = &source.targets[2];
        // Unknowns: the mean, 12 users, 9 items.
        let (mut a, mut b) = (vec![vec![0.0; 22]; 22], vec![0.0; 22]);
        for row in (0..70).filter(|&row| present[row]) {
            let of_row = [0, 1 + ids[0][row] as usize, 13 + ids[1][row] as usize];
            for i in of_row {
                of_row.iter().for_each(|&j| a[i][j] += 1.0);
                b[i] += f64::from(values[row]);
            }
        }
        (1..22).for_each(|i| a[i][i] += RIDGE);
        let exact = solve(a, b);
        let found = common::tensors(&fitted(&source));
        let found = found[found.len() - 3..].iter().flat_map(Tensor::as_slice);
        for (found, exact) in found.zip(exact) {
            let allowed = if DOUBLE { 1e-8 } else { 1e-7 };
            assert_abs_diff_eq!(f64::from(*found), exact, epsilon = allowed);
        }
    }
}

/// The largest slope of the penalised loss, of all kinds of tasks, with this ridge.
fn largest_slope(model: &Bias, source: &Memory, ridge: f64) -> f64 {
    let batch = all(source);
    let mut largest = 0.0f64;
    for (i, curvature) in [0.25, 0.5, 1.0].into_iter().enumerate() {
        let tape = Tape::new();
        let output = common::forward(model, &tape, &batch, Mode::Train);
        let loss = common::losses(&output, &batch)[i];
        let slopes = common::by_name(model, &tape.backward(loss));
        // From the mean of (y - z)² to the sum of half of it.
        let half = if i == 2 { 0.5 } else { 1.0 };
        let scale = batch.targets[i].counted() as f64 * half;
        for (name, value) in Weights::of(model).iter() {
            let Some(slope) = &slopes[name] else { continue };
            let ridge = if name.ends_with("mean") { 0.0 } else { ridge * curvature };
            for (slope, value) in slope.as_slice().iter().zip(value.as_slice()) {
                let slope = scale * f64::from(*slope) + ridge * f64::from(*value);
                largest = largest.max(slope.abs());
            }
        }
    }
    largest
}

#[test]
fn every_kind_of_task_is_at_its_minimum() {
    for seed in 1..4 {
        let source = common::ids(seed, 120);
        let model = fitted(&source);
        // About 120 rows with residuals below 1.
        let slope = largest_slope(&model, &source, RIDGE);
        assert!(slope < if DOUBLE { 1e-6 } else { 1e-4 }, "{slope}");
        let other = largest_slope(&model, &source, 1.01 * RIDGE);
        assert!(other > 1e-3, "another penalty has another minimum: {other}");
    }
}

#[test]
fn who_was_not_seen_has_no_bias() {
    let mut source = common::ids(3, 100);
    source.inputs.ids[0].iter_mut().filter(|id| **id == 5).for_each(|id| *id = 6);
    // One item only occurs in rows without a value for the regression.
    let present = &mut source.targets[2].present;
    source.inputs.ids[1]
        .iter()
        .zip(present)
        .filter(|(id, _)| **id == 2)
        .for_each(|(_, present)| *present = false);
    let weights = Weights::of(&fitted(&source));
    for (name, value) in weights.iter() {
        if name.ends_with("user") {
            assert!(value.row(5).iter().all(|&b| b == 0.0) && value.row(6)[0] != 0.0, "{name}");
        } else if name.ends_with("item") {
            assert_eq!(value.row(2)[0] == 0.0, name.starts_with("tasks.2"), "{name}");
        }
    }
}

/// Each kind of task can lack targets: the fit is that of the other rows, whatever is in these.
#[test]
fn rows_without_a_target_are_not_fitted() {
    let source = common::ids(2, 120);
    let rows: Vec<u32> = (0..120).filter(|row| row % 4 != 3).collect();
    let kept = source.batch(&rows);
    let kept = Memory { inputs: kept.inputs, targets: kept.targets, ..source.clone() };
    let mut holes = source;
    for row in (0..120).filter(|row| row % 4 == 3) {
        for target in &mut holes.targets {
            target.present[row] = false;
            target.values.get_mut(row).into_iter().for_each(|value| *value = Real::NAN);
            target.classes.get_mut(row).into_iter().for_each(|class| *class = u32::MAX);
        }
    }
    assert_eq!(common::bits(&fitted(&holes)), common::bits(&fitted(&kept)));
    holes.targets[0].present[3] = true;
    holes.targets[0].values[3] = 1.0;
    assert_ne!(common::bits(&fitted(&holes)), common::bits(&fitted(&kept)));
}

#[test]
fn one_class_alone_gives_numbers() {
    let mut source = common::ids(3, 100);
    source.targets[0] = Target::binary(vec![1.0; 100]);
    let mut model = description(&source).build().unwrap();
    assert_eq!(model.fit(&source), Some(1000), "the mean grows for ever");
    let loss = evaluate(&model, &source, &[1.0; 3], 50).tasks[0].loss();
    assert!((0.0..1e-2).contains(&loss), "{loss}");
}

#[test]
fn a_frozen_part_keeps_its_value() {
    let source = common::ids(1, 100);
    let mut model = description(&source).build().unwrap();
    assert_eq!(model.set_frozen("tasks.2.bias.user", true), 1);
    model.fit(&source);
    let user = |model: &Bias| {
        Weights::of(model).iter().find(|(n, _)| *n == "tasks.2.bias.user").unwrap().1.clone()
    };
    assert!(user(&model).as_slice().iter().all(|&b| b == 0.0));
    assert!(user(&fitted(&source)).as_slice().iter().any(|&b| b != 0.0));
}

#[test]
fn the_trainer_fits_it_once() {
    let (source, val) = (common::ids(1, 200), common::ids(2, 60));
    let options = TrainOptions { epochs: 7, ..common::options(3) };
    let mut model = description(&source).build().unwrap();
    let history = train(&mut model, &source, &val, &options, &mut ()).unwrap();
    assert_eq!(common::bits(&model), common::bits(&fitted(&source)));
    assert_eq!((history.epochs.len(), history.best_epoch), (1, 1));
    assert_eq!((history.stopped, history.routing), (Some(StopReason::Fitted), None));
    let record = &history.epochs[0];
    let weights = &options.task_weights;
    assert_eq!(record.train_loss, evaluate(&model, &source, weights, 16).loss);
    assert_eq!(record.val_loss, evaluate(&model, &val, weights, 16).loss);
    let sum: f64 = record.train_terms.iter().map(|term| term.1).sum();
    assert_abs_diff_eq!(sum, record.train_loss, epsilon = 1e-12);
    assert!(record.idle_parameters.is_empty() && history.steps > 1);
}

#[test]
fn rows_without_two_ids_are_refused() {
    let refused = |source: &Memory| description(source).build().unwrap_err().to_string();
    assert_eq!(
        refused(&common::dense(1, 1, 4)),
        "bias is for rows of two ids, such as a user and an item; a row has 4 numbers"
    );
    let mut three = common::ids(1, 1);
    let columns = &mut three.input.columns;
    columns.push(columns[0].clone());
    assert!(refused(&three).ends_with("a row has 3 columns of ids"), "{}", refused(&three));
}
