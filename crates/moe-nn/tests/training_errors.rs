//! Failures in training are errors that name the place, never panics.

mod common;

use common::{Memory, build, description, options};
use moe_core::batch::{BatchSource, Inputs, Target};
use moe_core::random::permutation;
use moe_core::tape::{Tape, Vars};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_nn::{
    DataNumber, DataOrigin, Forward, Model, Module, NotFiniteCause, Optimizer, OptimizerOptions,
    ParameterGroup, StepContext, StepError, TrainError, TrainOptions, TrainState, Weights,
    continue_training, train, train_step,
};

const BAD: [Real; 3] = [Real::NAN, Real::INFINITY, Real::NEG_INFINITY];

fn parts() -> (Memory, Memory) {
    (common::dense(1, 100, 4), common::dense(2, 40, 4))
}

/// The error of training on these splits with the seed 3.
fn error_of(parts: &(Memory, Memory), router: &str) -> TrainError {
    let mut model = build(&description(&parts.0, router), 3);
    train(&mut model, &parts.0, &parts.1, &options(3), &mut ()).unwrap_err()
}

fn input_mut(source: &mut Memory, row: usize) -> &mut Real {
    let x = source.inputs.dense.as_mut().expect("dense inputs");
    &mut x.as_mut_slice()[4 * row + 2]
}

/// The step of the first epoch that sees this row, from 1.
fn step_of(row: u32) -> u64 {
    let order = permutation(100, 3, "shuffle", 1);
    order.iter().position(|&r| r == row).unwrap() as u64 / 16 + 1
}

/// The id of this row.
fn row_id(source: &Memory, row: usize) -> u64 {
    source.batch(&[row as u32]).row_ids[0]
}

/// The text of the error for this number of the data.
fn data(name: &str, source: &Memory, row: usize, value: Real) -> String {
    format!("{name} of the row with id {} is {value}", row_id(source, row))
}

#[test]
fn a_bad_input_is_found_in_its_step() {
    for router in ["softmax", "top-k"] {
        for (bad, row) in BAD.into_iter().zip([70, 3, 41]) {
            let mut parts = parts();
            *input_mut(&mut parts.0, row) = bad;
            let error = error_of(&parts, router);
            let text = error.to_string();
            let TrainError::Step { step, epoch, source: StepError::Loss { term, value, cause } } =
                error
            else {
                panic!("{router}: {error}")
            };
            assert_eq!((step, epoch), (step_of(row as u32), 1), "{router}, {bad}");
            assert!(!value.is_finite());
            let NotFiniteCause::Data(DataNumber { origin, row_id: id, value }) = cause else {
                panic!("{cause:?}")
            };
            assert_eq!((origin, id), (DataOrigin::Dense(2), row_id(&parts.0, row)));
            assert_eq!(value.to_string(), bad.to_string());
            let place = data("dense value 2", &parts.0, row, bad);
            let says = format!("step {step} (epoch 1): {term} is ");
            assert!(text.starts_with(&says) && text.ends_with(&place), "{text}");
        }
    }
}

#[test]
fn a_bad_target_names_its_task() {
    for (bad, row) in BAD.into_iter().zip([8, 16, 32]) {
        let mut parts = parts();
        let Target { values, present, .. } = &mut parts.0.targets[2];
        values[row] = bad;
        assert!(present[row], "the test needs a row that counts");
        let error = error_of(&parts, "top-k");
        let text = error.to_string();
        let TrainError::Step { step, source: StepError::Loss { term, .. }, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((step, &term[..]), (step_of(row as u32), "product"));
        assert!(text.ends_with(&data("the target of product", &parts.0, row, bad)), "{text}");

        // The value of a row that does not count does not matter.
        let present = &mut parts.0.targets[2].present;
        present[row] = false;
        let mut model = build(&description(&parts.0, "top-k"), 3);
        assert!(train(&mut model, &parts.0, &parts.1, &options(3), &mut ()).is_ok());
    }
}

#[test]
fn numbers_that_are_too_large_are_named_and_others_are_not() {
    let huge = Real::MAX.sqrt();
    // In the first step and in a later one, finite or not.
    let order = permutation(100, 3, "shuffle", 1);
    for row in [order[2], order[50]].map(|row| row as usize) {
        let mut parts = parts();
        parts.0.targets[2].values[row] = huge * 2.0;
        parts.0.targets[2].present[row] = true;
        let text = error_of(&parts, "top-k").to_string();
        let place =
            format!("the target of product of the row with id {} is ", row_id(&parts.0, row));
        assert!(text.contains(&place), "{text}");
        assert!(text.ends_with(", which is too large to compute with; scale the data"), "{text}");
        assert!(!text.contains("learning rate"), "{text}");
    }
    // All data large, but none too large by itself.
    let mut parts = parts();
    let large = Real::MAX.cbrt() / 2.0;
    let x = parts.0.inputs.dense.as_mut().unwrap().as_mut_slice();
    x.iter_mut().for_each(|x| *x *= large);
    let model = &mut build(&description(&parts.0, "top-k"), 3);
    let name = "layer.experts.weight";
    for element in 0..4 {
        common::set(model, name, element, Real::MAX / 4.0);
    }
    let error = train(model, &parts.0, &parts.1, &options(3), &mut ()).unwrap_err();
    let text = error.to_string();
    let says = "in the first step, inputs, targets or initial weights are too large; of inputs and targets dense value ";
    assert!(text.contains(says) && text.ends_with(", the largest"), "{text}");
}

#[test]
fn sound_data_leave_the_learning_rate() {
    let parts = parts();
    let optimizer = common::rate(f64::from(Real::MAX) / 100.0);
    let options = TrainOptions { optimizer, ..options(3) };
    let mut model = build(&description(&parts.0, "top-k"), 3);
    let error = train(&mut model, &parts.0, &parts.1, &options, &mut ()).unwrap_err();
    assert!(error.to_string().starts_with("step 2 (epoch 1): "), "{error}");
    assert!(error.to_string().ends_with("; try a smaller learning rate"), "{error}");
}

#[test]
fn a_bad_validation_part_names_its_task() {
    let mut bad_target = parts();
    let values = &mut bad_target.1.targets[2].values;
    values[4] = Real::NAN;
    let error = error_of(&bad_target, "top-k");
    let place = data("the target of product", &bad_target.1, 4, Real::NAN);
    let text = format!("after epoch 1: the validation loss of product is NaN; {place}");
    assert_eq!(error.to_string(), text);

    let mut bad_input = parts();
    *input_mut(&mut bad_input.1, 4) = Real::INFINITY;
    let error = error_of(&bad_input, "softmax");
    assert!(matches!(error, TrainError::ValidationNotFinite { epoch: 1, .. }), "{error}");
    assert!(error.to_string().ends_with(&data("dense value 2", &bad_input.1, 4, Real::INFINITY)));
}

#[test]
fn a_weight_that_is_no_number_is_found_at_once() {
    // Also behind a ReLU, and in every kind of parameter.
    let parts = parts();
    let description = description(&parts.0, "softmax");
    for name in common::names(&build(&description, 3)) {
        let mut model = build(&description, 3);
        common::set(&mut model, &name, 0, Real::NAN);
        let error = train(&mut model, &parts.0, &parts.1, &options(3), &mut ());
        let found = matches!(error, Err(TrainError::Step { step: 1, epoch: 1, .. }));
        assert!(found, "{name}: {error:?}");
        let says = format!("; the initial weight {name} has an element NaN");
        assert!(error.unwrap_err().to_string().ends_with(&says), "{name}");
    }
}

#[test]
fn a_huge_learning_rate_ends_in_an_error_or_in_numbers() {
    let parts = parts();
    let largest = [1.0, 1e3, 1e10, 1e30, Real::MAX / 100.0, Real::MAX, Real::INFINITY, Real::NAN];
    for router in ["softmax", "top-k"] {
        for learning_rate in largest {
            let mut model = build(&description(&parts.0, router), 3);
            let optimizer = common::rate(learning_rate.into());
            let options = TrainOptions { optimizer, ..options(3) };
            match train(&mut model, &parts.0, &parts.1, &options, &mut ()) {
                Ok(history) => {
                    assert!(
                        learning_rate < Real::MAX / 1e3,
                        "{router}: rate {learning_rate} went unnoticed"
                    );
                    assert!(history.best_val_loss.is_finite());
                    let finite = |t: &moe_core::Tensor| t.as_slice().iter().all(|v| v.is_finite());
                    let weights = Weights::of(&model);
                    assert!(weights.iter().all(|(_, t)| finite(t)), "{router}: {learning_rate}");
                }
                Err(TrainError::Step { step, epoch, source }) => {
                    assert!(step >= 2 && epoch >= 1, "the first step is still sound");
                    match source {
                        StepError::Loss { term, .. } => {
                            assert!(["positive", "third", "product"].contains(&&term[..]));
                        }
                        StepError::Gradient { parameter, .. } => {
                            assert!(common::names(&model).contains(&parameter), "{parameter}");
                        }
                        other => panic!("{router}: {other}"),
                    }
                }
                Err(TrainError::ValidationNotFinite { .. }) => {}
                Err(other) => panic!("{router}: {other}"),
            }
        }
    }
}

/// Predicts the root of its one weight: at 0 the loss is finite and the gradient is not.
struct Root(Parameter);

impl Module for Root {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.0));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.0));
    }
}

impl Model for Root {
    fn forward<'t>(&self, tape: &'t Tape, _pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let x = inputs.dense.as_ref().expect("dense inputs");
        let ones = tape.constant(Tensor::full([x.rows(), 1], 1.0));
        [ones.matmul(tape.parameter(&self.0).sqrt())].into_iter().collect()
    }
}

/// A data set with one regression, of ones.
fn ones() -> Memory {
    let mut source = common::dense(1, 32, 4);
    source.tasks = source.tasks.split_off(2);
    source.targets = vec![Target::values(vec![1.0; 32], 1)];
    source
}

#[test]
fn a_gradient_that_is_not_finite_names_its_parameter() {
    let source = ones();
    let options = TrainOptions { task_weights: vec![1.0], ..options(1) };
    let mut model = Root(Parameter::new(Tensor::zeros([1, 1])));
    let error = train(&mut model, &source, &source, &options, &mut ()).unwrap_err();
    let text = error.to_string();
    let says = "step 1 (epoch 1): the gradient of weight has an element -inf; in the first step, ";
    assert!(text.starts_with(says), "{text}");
    assert_eq!(model.0.value().item(), 0.0, "nothing was updated");
}

#[test]
fn a_step_reports_the_norm_of_the_gradients() {
    // 1/2 from 1: the gradient is 2 (1/2 - 1) / (2 * 1/2) = -1.
    let source = ones();
    let mut model = Root(Parameter::new(Tensor::full([1, 1], 0.25)));
    let batch = common::first_rows(&source, 8);
    let mut optimizer = Optimizer::new(common::rate(0.01));
    let (tasks, task_weights) = (&source.tasks[..], &[1.0][..]);
    let at = StepContext { seed: 1, step: 0, epoch: 0, tasks, task_weights };
    let tape = &mut Tape::new();
    let report = train_step(tape, &mut model, &mut optimizer, &mut (), &at, &[batch]).unwrap();
    assert!((report.gradient_norms.total - 1.0).abs() < 1e-6, "{report:?}");
    assert_eq!(report.gradient_norms.parameters.len(), 1);
}

#[test]
fn a_group_that_names_nothing_stops_the_first_step() {
    let (train_part, val) = parts();
    let mut model = build(&description(&train_part, "top-k"), 1);
    let before = common::bits(&model);
    let group =
        ParameterGroup { prefix: "encodr".into(), learning_rate_factor: 0.1, weight_decay: None };
    let optimizer = OptimizerOptions { groups: vec![group], ..common::rate(0.01) };
    let options = TrainOptions { optimizer, ..options(1) };
    let error = train(&mut model, &train_part, &val, &options, &mut ()).unwrap_err().to_string();
    let says = "step 1 (epoch 1): the parameter group \"encodr\" matches no parameter; the parameters are ";
    assert!(error.starts_with(says), "{error}");
    assert_eq!(common::bits(&model), before);
}

#[test]
fn a_part_without_rows_is_named() {
    let (full, empty) = (common::dense(1, 10, 4), common::dense(1, 0, 4));
    assert_eq!(empty.rows(), 0);
    for (splits, split) in [
        ((&empty, &full), "training"),
        ((&full, &empty), "validation"),
        ((&empty, &empty), "training"),
    ] {
        let mut model = build(&description(&full, "top-k"), 1);
        let before = common::bits(&model);
        let error = train(&mut model, splits.0, splits.1, &options(1), &mut ()).unwrap_err();
        assert_eq!(error, TrainError::EmptySplit { split });
        assert_eq!(error.to_string(), format!("the {split} split has no rows"));
        assert_eq!(common::bits(&model), before);
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let (train_part, val) = parts();
    let description = description(&train_part, "top-k");
    let mut others = vec![description.clone().with_expert_width(9); 4];
    others[1..].fill(description.clone());
    others[1].experts += 1;
    others[2].head_widths.push(3);
    others[3].head_widths.clear();
    let mut model = build(&description, 1);
    let before = common::bits(&model);
    for other in others {
        let state = TrainState::new(&build(&other, 1), options(1).optimizer);
        let error = continue_training(&mut model, state, &train_part, &val, &options(1), &mut ());
        let error = error.unwrap_err();
        assert!(matches!(error, TrainError::OtherModel(_)), "{error}");
        assert!(error.to_string().contains("tensor \""), "{error}");
        assert_eq!(common::bits(&model), before, "the model is as it was");
    }
    let state = TrainState::new(&build(&description, 9), options(1).optimizer);
    continue_training(&mut model, state, &train_part, &val, &options(1), &mut ()).unwrap();
}

#[test]
#[should_panic(expected = "one weight per task")]
fn task_weights_must_fit_the_tasks() {
    let (train_part, val) = parts();
    let mut model = build(&description(&train_part, "top-k"), 1);
    let options = TrainOptions { task_weights: vec![1.0, 1.0], ..options(1) };
    let _ = train(&mut model, &train_part, &val, &options, &mut ());
}
