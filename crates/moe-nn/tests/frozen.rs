//! Frozen parameters keep their values in training.

mod common;

use moe_core::tape::Tape;
use moe_core::{Mode, StateRef};
use moe_nn::{Module, train};

#[test]
fn a_prefix_names_whole_parts() {
    let source = common::ids(1, 40);
    let mut model = common::build(&common::description(&source, "top-k"), 1);
    let all = common::names(&model).len();
    assert_eq!(model.set_frozen("encoder", true), 2);
    assert_eq!(model.set_frozen("encoder.use", true), 0);
    assert_eq!(model.set_frozen("heads.0.0.bias", true), 1);
    assert_eq!(model.set_frozen("", false), all);
}

#[test]
fn frozen_parts_stay_and_the_others_learn() {
    let source = common::ids(1, 60);
    let mut model = common::build(&common::description(&source, "top-k"), 1);
    model.set_frozen("layer.experts", true);
    let start = common::build(&common::description(&source, "top-k"), 1);
    train(&mut model, &source, &source, &common::options(1), &mut ()).unwrap();
    for (name, before, after) in common::side_by_side(&start, &model) {
        assert_eq!(name.starts_with("layer.experts"), before == after, "{name}");
    }
}

#[test]
fn a_frozen_parameter_has_no_gradient() {
    let source = common::dense(1, 30, 4);
    let mut model = common::build(&common::description(&source, "softmax"), 1);
    model.set_frozen("layer", true);
    let batch = common::first_rows(&source, 30);
    let tape = Tape::new();
    let loss = common::loss(&common::forward(&model, &tape, &batch, Mode::Infer), &batch);
    let gradients = tape.backward(loss);
    model.visit(&mut |name, state| {
        let StateRef::Parameter(parameter) = state else { return };
        assert_eq!(gradients.get(parameter).is_some(), name.starts_with("heads"), "{name}");
    });
}
