//! Operators of whole rows by hand: logarithms of softmax and sums of exponentials, layer normalisation, gelu.

mod common;

use common::{assert_close, assert_same_bits, cases, close, rng, uniform};
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Shape, Tensor};
use proptest::prelude::*;

/// A few units in the last place of numbers of size one.
const ULPS: Real = 8.0 * Real::EPSILON;

const INF: Real = Real::INFINITY;

fn matrix<const C: usize>(rows: &[[Real; C]]) -> Tensor {
    Tensor::new([rows.len(), C], rows.concat())
}

fn ln(x: f64) -> Real {
    x.ln() as Real
}

/// The value of `f` at `x`, and the gradient of the sum of its elements times 1, 2, …
fn value_and_gradient(x: &Tensor, f: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> [Tensor; 2] {
    let tape = Tape::new();
    let x = tape.variable(x.clone());
    let y = f(x);
    let cotangent = Tensor::from_fn(y.shape(), |i| (i + 1) as Real);
    [y.value(), tape.backward_from(y, cotangent).wrt(x).unwrap()]
}

/// Softmax of (0, ln 2, ln 5) is (1, 2, 5) / 8. A common shift cancels, however large; the smaller of two that are 2e4
/// apart is 2e4 below 0.
#[test]
fn log_softmax_at_known_points_and_far_out() {
    let x = matrix(&[
        [0.0, ln(2.0), ln(5.0)],
        [1e4, 1e4, 1e4],
        [-1e4, -1e4, -1e4],
        [1e4, -1e4, 1e4],
        [0.0, -INF, 0.0],
    ]);
    let [y, gradient] = value_and_gradient(&x, |x| x.log_softmax());
    let expected = matrix(&[
        [-ln(8.0), -ln(4.0), -ln(1.6)],
        [-ln(3.0); 3],
        [-ln(3.0); 3],
        [-ln(2.0), -2e4 - ln(2.0), -ln(2.0)],
    ]);
    let shape = [4, 3];
    let head = |t: &Tensor| Tensor::new(shape, t.as_slice()[..12].to_vec());
    assert_close(&head(&y), &expected, ULPS, "log_softmax");
    assert_eq!(y.as_slice()[13], -INF);
    assert_close(&Tensor::scalar(y.as_slice()[12]), &Tensor::scalar(-ln(2.0)), ULPS, "beside -∞");
    // Cotangents 1, 2, 3 with sum 6: 1 - 6/8, 2 - 12/8, 3 - 30/8.
    assert_close(
        &Tensor::new([3], gradient.row(0).to_vec()),
        &Tensor::new([3], vec![0.25, 0.5, -0.75]),
        ULPS,
        "gradient",
    );
    assert!(gradient.as_slice().iter().all(|g| g.is_finite()));
}

/// ln(1 + 2 + 5) = ln 8, and equal elements of any size give that size plus ln 3.
#[test]
fn logsumexp_at_known_points_and_far_out() {
    let x = matrix(&[
        [0.0, ln(2.0), ln(5.0)],
        [1e4; 3],
        [-1e4; 3],
        [1e4, -1e4, -1e4],
        [-INF, 3.0, -INF],
    ]);
    let [y, gradient] = value_and_gradient(&x, |x| x.logsumexp());
    let expected = Tensor::new([5], vec![ln(8.0), 1e4 + ln(3.0), -1e4 + ln(3.0), 1e4, 3.0]);
    assert_close(&y, &expected, ULPS, "logsumexp");
    // The gradient is the softmax, times 1 to 5.
    let third = 1.0 / 3.0;
    let expected = matrix(&[
        [0.125, 0.25, 0.625],
        [2.0 * third; 3],
        [3.0 * third; 3],
        [4.0, 0.0, 0.0],
        [0.0, 5.0, 0.0],
    ]);
    assert_close(&gradient, &expected, ULPS, "gradient");
}

/// What the documentation says of rows that have no softmax.
#[test]
fn rows_of_infinities() {
    let nan = Real::NAN;
    let x = matrix(&[[-INF, -INF], [INF, 0.0], [nan, -INF], [nan, INF]]);
    let [y, gradient] = value_and_gradient(&x, |x| x.logsumexp());
    assert_eq!(y.as_slice()[..2], [-INF, INF]);
    assert!(y.as_slice()[2..].iter().all(|v| v.is_nan()));
    assert_eq!(gradient.row(0), [0.0, 0.0]);
    let functions: [fn(Var<'_>) -> Var<'_>; 2] = [|x| x.log_softmax(), |x| x.softmax()];
    for f in functions {
        let [y, _] = value_and_gradient(&x, f);
        assert!((0..4).all(|row| y.row(row).iter().any(|v| v.is_nan())), "{y:?}");
        assert!(y.row(0).iter().all(|v| v.is_nan()), "{y:?}");
    }
    let empty = Tensor::zeros([2, 0]);
    assert_eq!(value_and_gradient(&empty, |x| x.logsumexp())[0], Tensor::full([2], -INF));
    assert_eq!(value_and_gradient(&empty, |x| x.log_softmax())[0], empty);
}

#[test]
#[should_panic(expected = "a scalar has no axis")]
fn a_scalar_has_no_row() {
    let _ = Tape::inference().constant(Tensor::scalar(1.0)).logsumexp();
}

fn layer_norm(x: &Tensor, epsilon: Real) -> Tensor {
    let tape = Tape::inference();
    let weight = tape.constant(Tensor::full([x.cols()], 1.0));
    let bias = tape.constant(Tensor::zeros([x.cols()]));
    tape.constant(x.clone()).layer_norm(weight, bias, epsilon).value()
}

/// (1, 3, 5, 7): mean 4, variance 5; with ε = 4 the factor is 1/3. Weights and biases act per column.
#[test]
fn layer_norm_by_hand() {
    let tape = Tape::new();
    let x = tape.variable(matrix(&[[1.0, 3.0, 5.0, 7.0], [2.0; 4]]));
    let weight = tape.variable(Tensor::new([4], vec![1.0, 2.0, 3.0, 6.0]));
    let bias = tape.variable(Tensor::new([4], vec![0.0, 0.0, 0.0, 10.0]));
    let y = x.layer_norm(weight, bias, 4.0);
    let third = 1.0 / 3.0;
    let expected = matrix(&[[-1.0, -2.0 * third, 1.0, 16.0], [0.0, 0.0, 0.0, 10.0]]);
    assert_close(&y.value(), &expected, ULPS, "layer_norm");
    let gradients = tape.backward_from(y, Tensor::full([2, 4], 1.0));
    let dw = Tensor::new([4], vec![-1.0, -third, third, 1.0]);
    assert_close(&gradients.wrt(weight).unwrap(), &dw, ULPS, "weight");
    assert_eq!(gradients.wrt(bias).unwrap().as_slice(), [2.0; 4]);
}

proptest! {
    #![proptest_config(cases(128))]

    /// Mean 0 and variance 1; a shift and a factor of the row change nothing.
    #[test]
    fn layer_norm_standardises(rows in 1usize..5, width in 2usize..200, seed: u64) {
        let x = uniform([rows, width], &mut rng(seed, 0));
        // Away from rows whose variance is as small as ε.
        let x = Tensor::from_fn([rows, width], |i| x.as_slice()[i] + if i % 2 == 0 { 2.0 } else { -2.0 });
        let y = layer_norm(&x, 1e-30);
        for row in 0..rows {
            let row: Vec<f64> = y.row(row).iter().map(|&v| v as f64).collect();
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            let tolerance = 32.0 * Real::EPSILON as f64;
            prop_assert!(mean.abs() < tolerance && (variance - 1.0).abs() < tolerance, "{mean}, {variance}");
        }
        let moved = layer_norm(&x.map(|v| 4.0 * v + 16.0), 1e-30);
        // The shift costs digits of x.
        prop_assert!(close(&moved, &y, 64.0 * Real::EPSILON));
    }
}

#[test]
#[should_panic(expected = "layer_norm: input [2, 3], weight [4] and bias [3] do not fit")]
fn layer_norm_names_the_shapes() {
    let tape = Tape::new();
    let [x, weight, bias] =
        [vec![2, 3], vec![4], vec![3]].map(|s| tape.constant(Tensor::zeros(Shape::new(&s))));
    let _ = x.layer_norm(weight, bias, 1e-5);
}

#[test]
#[should_panic(expected = "layer_norm: epsilon 0 is not above 0")]
fn layer_norm_needs_its_epsilon() {
    let _ = layer_norm(&Tensor::zeros([1, 2]), 0.0);
}

/// Φ(1) = 0.841344746068542948585…, and Φ(-10) = 7.619853024160526066…e-24, where 1 + erf has lost all digits
/// (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, table 26.1 and 26.2).
#[test]
fn gelu_is_exact_also_far_out() {
    let x = Tensor::new([5], vec![0.0, 1.0, -1.0, -10.0, 1e4]);
    let [y, slope] = value_and_gradient(&x, |x| x.gelu());
    let phi: f64 = 0.841_344_746_068_542_9;
    let expected = [0.0, phi, phi - 1.0, -7.619_853_024_160_526e-23, 1e4];
    for (y, expected) in y.as_slice().iter().zip(expected) {
        assert!((f64::from(*y) - expected).abs() <= ULPS as f64 * expected.abs(), "{y} {expected}");
    }
    // Slopes Φ(0) = 1/2 times 1, and 1 times 5.
    assert_eq!((slope.as_slice()[0], slope.as_slice()[4]), (0.5, 5.0));
}

/// A row alone and among others, over lengths around every block.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    const ROWS: usize = 131;
    for cols in [1, 3, 16, 17, 100, 129, 1000] {
        let x = uniform([ROWS, cols], &mut rng(1, 0)).map(|v| 10.0 * v);
        type Function = fn(Var<'_>) -> Var<'_>;
        let functions: [(&str, Function); 8] = [
            ("softmax", |x| x.softmax()),
            ("log_softmax", |x| x.log_softmax()),
            ("logsumexp", |x| x.logsumexp()),
            ("sum_axis", |x| x.sum_axis(1)),
            ("max_axis", |x| x.max_axis(1)),
            ("gelu", |x| x.gelu()),
            ("tanh", |x| x.tanh()),
            ("layer_norm", |x| {
                let ones = x.tape().constant(Tensor::full([x.shape()[1]], 1.0));
                x.layer_norm(ones, ones, 1e-5)
            }),
        ];
        for (name, f) in functions {
            // The cotangent of a row is a function of its value.
            let run = |x: &Tensor| {
                let tape = Tape::new();
                let x = tape.variable(x.clone());
                let y = f(x);
                let gradients = tape.backward_from(y, y.value().map(|v| v - 0.3));
                [
                    y.value().reshape([x.shape()[0], y.shape().size() / x.shape()[0]]),
                    gradients.wrt(x).unwrap(),
                ]
            };
            let whole = run(&x);
            for (first, count) in [(0, 1), (64, 1), (ROWS - 1, 1), (3, 65), (60, 70)] {
                let rows = x.as_slice()[first * cols..(first + count) * cols].to_vec();
                for (part, whole) in run(&Tensor::new([count, cols], rows)).iter().zip(&whole) {
                    let width = whole.cols();
                    let expected = &whole.as_slice()[first * width..(first + count) * width];
                    assert_same_bits(part.as_slice(), expected, &format!("{name}, {cols} columns"));
                }
            }
        }
    }
}
