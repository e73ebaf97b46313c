//! Parameters and values of the layer normalisation module.

use moe_core::StateMut;
use moe_core::tape::Tape;
use moe_core::testing::gradcheck;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_nn::{Forward, Layer, LayerNorm, Module};

/// Nothing of it matters.
const PASS: Pass<'static> = Pass {
    mode: Mode::Infer,
    seed: 0,
    step: 0,
    epoch: 0,
    row_ids: &[],
    keys: &[],
    groups: None,
    batch_rows: None,
    experts: None,
};

/// (1, 3, 5, 7) has mean 4 and variance 5.
#[test]
fn it_standardises_and_then_scales_and_shifts() {
    let mut norm = LayerNorm::with_epsilon(4, 4.0);
    let mut names = Vec::new();
    norm.visit(&mut |name, state| names.push((name.to_owned(), state.tensor().clone())));
    assert_eq!(names[0], ("weight".into(), Tensor::full([4], 1.0)));
    assert_eq!(names[1], ("bias".into(), Tensor::zeros([4])));
    assert_eq!((names.len(), norm.parameter_count()), (2, 8));

    norm.visit_mut(&mut |name, mut state: StateMut<'_>| {
        let value = if name == "weight" { 3.0 } else { 1.0 };
        *state.tensor_mut() = Tensor::full([4], value);
    });
    let tape = Tape::new();
    let x = tape.constant(Tensor::new([1, 2, 4], vec![1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0]));
    let y = norm.forward(&Forward::unrecorded(PASS), x).value();
    assert_eq!(y.shape()[..], [1, 2, 4]);
    let expected = [-2.0, 0.0, 2.0, 4.0, 1.0, 1.0, 1.0, 1.0];
    for (y, expected) in y.as_slice().iter().zip(expected) {
        assert!((y - expected).abs() < 8.0 * Real::EPSILON, "{y} {expected}");
    }
}

#[test]
fn its_gradient_is_that_of_its_value() {
    let norm = LayerNorm::new(5);
    let x = Tensor::from_fn([3, 5], |i| ((i * 7 % 11) as Real - 5.0) / 4.0);
    assert_eq!(gradcheck(|_, v| norm.forward(&Forward::unrecorded(PASS), v[0]), &[x]), Ok(()));
}

#[test]
#[should_panic(expected = "epsilon -1 is not above 0")]
fn a_negative_epsilon_is_refused() {
    let _ = LayerNorm::with_epsilon(4, -1.0);
}
