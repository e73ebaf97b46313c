//! Element-wise functions at the edges of their domains.

use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor};

/// Extreme inputs of the element-wise functions: no overflow where the result is finite, and a NaN stays one.
#[test]
fn element_wise_functions_at_the_extremes() {
    let tape = Tape::inference();
    let x = tape.constant(Tensor::new([4], vec![-1e4, 0.0, 1e4, Real::NAN]));
    let check = |y: Var<'_>, expected: [Real; 3]| {
        let y = y.value();
        assert_eq!(y.as_slice()[..3], expected);
        assert!(y.as_slice()[3].is_nan(), "{y:?}");
    };
    check(x.relu(), [0.0, 0.0, 1e4]);
    check(x.sigmoid(), [0.0, 0.5, 1.0]);
    // ln(1 + e^0) = ln 2.
    check(x.softplus(), [0.0, (2.0 as Real).ln(), 1e4]);
    check(x.tanh(), [-1.0, 0.0, 1.0]);
    check(x.abs(), [1e4, 0.0, 1e4]);
    check(x.clamp(-2.0, 3.0), [-2.0, 0.0, 3.0]);
    check(x.powi(2), [1e8, 0.0, 1e8]);
    check(-x, [1e4, 0.0, -1e4]);
    check(x - x, [0.0, 0.0, 0.0]);
}

#[test]
#[should_panic(expected = "clamp: 1 is not below 0")]
fn clamp_needs_its_bounds_in_order() {
    let tape = Tape::inference();
    let _ = tape.constant(Tensor::scalar(0.0)).clamp(1.0, 0.0);
}
