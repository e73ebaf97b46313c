//! Tests of single layers.

mod common;

use common::{DOUBLE, by_name, names, rng, tensors};
use moe_core::random::{chacha, uniform};
use moe_core::tape::{Gradient, Tape, Var};
use moe_core::{Mode, Parameter, Pass, Real, StateRef, Tensor};
use moe_nn::{Activation, Dropout, Embedding, Forward, Layer, Linear, Mlp, MlpOptions, Module};

const ROW_IDS: [u64; 5] = [3, 1, 4, 15, 9];

fn pass(mode: Mode, experts: Option<&[u32]>) -> Pass<'_> {
    Pass {
        mode,
        seed: 1,
        step: 2,
        epoch: 0,
        row_ids: &ROW_IDS,
        keys: &ROW_IDS,
        groups: None,
        batch_rows: None,
        experts,
    }
}

/// Inference of five rows.
fn infer(layer: &dyn Layer, x: &Tensor) -> Tensor {
    let tape = Tape::inference();
    layer.forward(&Forward::unrecorded(pass(Mode::Infer, None)), tape.constant(x.clone())).value()
}

fn train(layer: &dyn Layer, experts: Option<&[u32]>, x: &Tensor) -> Tensor {
    let tape = Tape::inference();
    layer
        .forward(&Forward::unrecorded(pass(Mode::Train, experts)), tape.constant(x.clone()))
        .value()
}

type Function = fn(Var<'_>) -> Var<'_>;

#[test]
fn a_perceptron_is_its_linear_maps_and_activations() {
    let x = uniform([5, 3], 1.0, &mut rng(1, 0));
    let activations: [(Activation, Function); 6] = [
        (Activation::Identity, |x| x),
        (Activation::Gelu, |x| x.gelu()),
        (Activation::Relu, |x| x.relu()),
        (Activation::Sigmoid, |x| x.sigmoid()),
        (Activation::Softplus, |x| x.softplus()),
        (Activation::Tanh, |x| x.tanh()),
    ];
    for (i, (activation, hidden)) in activations.into_iter().enumerate() {
        let (output_activation, output) = activations[(i + 1) % activations.len()];
        let options = MlpOptions {
            hidden: vec![4, 6],
            activation,
            output_activation,
            ..MlpOptions::default()
        };
        let mlp = Mlp::new(3, 2, &options, &mut rng(2, 0));
        let expected_names = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"];
        assert_eq!(names(&mlp), expected_names);
        let weights = tensors(&mlp);

        let tape = Tape::inference();
        let of = |i: usize| tape.constant(weights[i].clone());
        let y = hidden(tape.constant(x.clone()).linear(of(0), of(1)));
        let y = output(hidden(y.linear(of(2), of(3))).linear(of(4), of(5)));
        assert_eq!(infer(&mlp, &x), y.value(), "{activation:?}");
        assert_eq!(train(&mlp, None, &x), y.value(), "{activation:?}");
    }
}

#[test]
fn a_perceptron_without_hidden_layers_is_a_linear_map() {
    let x = uniform([5, 3], 1.0, &mut rng(1, 0));
    let mlp = Mlp::new(3, 2, &MlpOptions::default(), &mut rng(2, 0));
    assert_eq!(infer(&mlp, &x), infer(&Linear::new(3, 2, &mut rng(2, 0)), &x));
}

#[test]
fn dropout_draws_by_purpose_row_and_expert() {
    let ones = Tensor::full([5, 300], 1.0);
    let dropped = |purpose: &str, experts: Option<&[u32]>| {
        train(&Dropout::new(0.25, purpose), experts, &ones)
    };
    let plain = dropped("a", None);
    assert_eq!(plain, dropped("a", None));
    assert_eq!(plain, dropped("a", Some(&[0; 5])));
    assert_ne!(plain, dropped("b", None));
    let mixed = dropped("a", Some(&[0, 1, 0, 2, 0]));
    for row in 0..5 {
        assert_eq!(plain.row(row) == mixed.row(row), row % 2 == 0, "row {row}");
    }
    assert_eq!(infer(&Dropout::new(0.25, "a"), &ones), ones);
    assert_eq!(train(&Dropout::new(0.0, "a"), None, &ones), ones);
}

#[test]
fn dropout_after_every_layer_of_a_perceptron_draws_for_itself() {
    let options = MlpOptions {
        hidden: vec![200, 200],
        activation: Activation::Identity,
        dropout: 0.25,
        output_dropout: 0.5,
        name: "net".into(),
        ..MlpOptions::default()
    };
    let mlp = Mlp::new(200, 200, &options, &mut rng(3, 0));
    let dropouts = [(0.25, "dropout.net.0"), (0.25, "dropout.net.1"), (0.5, "dropout.net")];
    let weights = tensors(&mlp);
    let mut sequence: Vec<Box<dyn Layer>> = Vec::new();
    for (i, (rate, purpose)) in dropouts.into_iter().enumerate() {
        let mut linear = Linear::new(200, 200, &mut rng(4, 0));
        common::put(&mut linear, &weights[2 * i..2 * i + 2]);
        sequence.push(Box::new(linear));
        sequence.push(Box::new(Dropout::new(rate, purpose)));
    }
    assert_eq!(names(&sequence)[..3], ["0.weight", "0.bias", "2.weight"]);
    let x = uniform([5, 200], 1.0, &mut rng(5, 0));
    assert_eq!(
        train(&mlp, Some(&[0, 1, 2, 3, 4]), &x),
        train(&sequence, Some(&[0, 1, 2, 3, 4]), &x)
    );
    assert_ne!(train(&mlp, None, &x), infer(&mlp, &x));
}

/// A table used as embedding and as the map back to ids.
fn tied(table: &Embedding, tape: &Tape) -> f64 {
    f64::from(tied_loss(table, tape).value().item())
}

fn tied_loss<'t>(table: &Embedding, tape: &'t Tape) -> Var<'t> {
    let x = table.forward(tape, &[2, 0, 2]);
    let logits = table.logits(x.tanh());
    let cotangent = uniform([3, 5], 1.0, &mut chacha(1, "tests", 0));
    (logits * tape.constant(cotangent)).sum()
}

#[test]
fn a_tied_embedding_gets_the_gradients_of_both_uses() {
    const STEP: Real = if DOUBLE { 1e-6 } else { 1e-2 };
    let mut table = Embedding::new(5, 4, &mut rng(6, 0));
    table.visit_mut(&mut |_, mut state| {
        *state.tensor_mut() = uniform([5, 4], 1.0, &mut rng(6, 1));
    });
    let tape = Tape::new();
    let gradients = tape.backward(tied_loss(&table, &tape));
    let gradient = by_name(&table, &gradients)["weight"].clone().unwrap();

    for element in 0..gradient.len() {
        let mut start = 0.0;
        table.visit(&mut |_, state| start = state.tensor().as_slice()[element]);
        let mut at = |value: Real| {
            common::set(&mut table, "weight", element, value);
            tied(&table, &Tape::inference())
        };
        let slope = (at(start + STEP) - at(start - STEP)) / f64::from(2.0 * STEP);
        at(start);
        let apart = (slope - f64::from(gradient.as_slice()[element])).abs();
        assert!(apart < if DOUBLE { 1e-8 } else { 1e-2 }, "element {element}: {apart}");
    }

    // The sum of the gradients that two tables, one for each use, would get.
    let mut value = None;
    table.visit(&mut |_, state| value = Some(state.tensor().clone()));
    let [first, second] = [(); 2].map(|()| Parameter::new(value.clone().unwrap()));
    let tape = Tape::new();
    let logits = tape.parameter(&first).gather_rows(&[2, 0, 2]).tanh();
    let logits = logits.matmul_with(tape.parameter(&second), false, true);
    let cotangent = uniform([3, 5], 1.0, &mut chacha(1, "tests", 0));
    let found = tape.backward((logits * tape.constant(cotangent)).sum());
    assert!(matches!(found.get(&first), Some(Gradient::Rows(_))));
    let mut sum = found.get(&second).unwrap().clone().into_dense();
    sum.add_assign(&found.get(&first).unwrap().clone().into_dense());
    let tolerance = if DOUBLE { 1e-14 } else { 1e-5 };
    for (a, b) in sum.as_slice().iter().zip(gradient.as_slice()) {
        assert!((a - b).abs() < tolerance, "{a} and {b}");
    }
    table.visit(&mut |_, state| assert!(matches!(state, StateRef::Parameter(_))));
}

#[test]
fn inference_keeps_no_hidden_outputs() {
    for depth in [1, 30] {
        let options = MlpOptions { hidden: vec![8; depth], ..MlpOptions::default() };
        let mlp = Mlp::new(6, 4, &options, &mut rng(1, 0));
        let tape = Tape::inference();
        let x = tape.constant(uniform([5, 6], 1.0, &mut rng(2, 0)));
        let _ = mlp.forward(&Forward::unrecorded(pass(Mode::Infer, None)), x);
        assert_eq!(tape.num_values(), 2, "depth {depth}");
    }
}
