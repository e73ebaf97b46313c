//! Reductions against references in twice the working precision, with bounds that follow from the size.

mod common;

use common::{dot2, rng, uniform};
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor, kernel};

const SIZES: [usize; 12] = [1, 2, 3, 7, 63, 65, 127, 129, 1000, 4099, 65_537, 1_000_003];

/// Half a unit in the last place of 1: what one operation is off by, relatively.
const U: f64 = Real::EPSILON as f64 / 2.0;

/// Roundings that a term of a sum of `n` may go through, and one for the comparison: blocks of 128 in 16 chains, which
/// are folded, then the blocks as a binary tree.
fn steps(n: usize) -> f64 {
    15.0 + (n as f64 / 128.0).log2().max(0.0)
}

/// The sum in twice the working precision, and that of magnitudes.
fn exact_sum(values: impl Iterator<Item = Real>) -> (f64, f64) {
    let reference = dot2(values.map(|v| (v, 1.0)));
    (reference.value, reference.magnitude)
}

/// The values of a function of a constant.
fn value_of(x: Tensor, f: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> Tensor {
    f(Tape::inference().constant(x)).value()
}

/// [`uniform`] numbers, spread to ±4.
fn logits(n: usize) -> Tensor {
    uniform([1, n], &mut rng(n as u64, 0)).map(|v| 4.0 * v)
}

/// Largest error per allowed error; `allowed` gets the exact value.
fn worst(values: &[Real], exact: &[f64], allowed: impl Fn(f64) -> f64) -> f64 {
    assert_eq!(values.len(), exact.len());
    let ratios = values.iter().zip(exact).map(|(&y, &exact)| {
        let error = (f64::from(y) - exact).abs();
        if error == 0.0 { 0.0 } else { error / allowed(exact) }
    });
    ratios.fold(0.0, |worst, ratio| if ratio <= worst { worst } else { ratio })
}

fn assert_within(ratio: f64, what: &str) {
    assert!(ratio <= 1.0, "{what}: {ratio} of the bound");
}

/// steps(n) u times the sum of magnitudes; one more rounding each for the mean's factor and product.
#[test]
fn sums_and_means() {
    for n in SIZES {
        for x in [logits(n), logits(n).map(|v| v + 5.0)] {
            let (sum, magnitude) = exact_sum(x.as_slice().iter().copied());
            let allowed = steps(n) * U * magnitude;
            let ours = value_of(x.clone(), |x| x.sum());
            assert_within(worst(ours.as_slice(), &[sum], |_| allowed), &format!("sum of {n}"));
            let allowed = (steps(n) + 2.0) * U * magnitude / n as f64;
            let mean = [sum / n as f64];
            let ours = value_of(x, |x| x.mean());
            assert_within(worst(ours.as_slice(), &mean, |_| allowed), &format!("mean of {n}"));
        }
    }
}

/// Columns are added up in chains of 32, then as a binary tree.
#[test]
fn sums_over_each_axis() {
    for n in SIZES {
        for (shape, axis) in [([n, 1, 3], 0), ([2, n, 3], 1), ([1, 3, n], 2), ([1, n, 1], 1)] {
            let x = uniform(shape, &mut rng(n as u64, axis as u64)).map(|v| v + 0.5);
            let inner: usize = shape[axis + 1..].iter().product();
            let outer: usize = shape[..axis].iter().product();
            let mut exact = Vec::new();
            let mut largest: f64 = 0.0;
            for start in (0..outer).flat_map(|o| (0..inner).map(move |i| o * n * inner + i)) {
                let column = x.as_slice()[start..].iter().step_by(inner).take(n).copied();
                let (sum, magnitude) = exact_sum(column);
                exact.push(sum);
                largest = largest.max(magnitude);
            }
            let chain =
                if inner == 1 { steps(n) } else { 32.0 + (n as f64 / 32.0).log2().max(0.0) };
            let ours = value_of(x, |x| x.sum_axis(axis));
            let ratio = worst(ours.as_slice(), &exact, |_| chain * U * largest);
            assert_within(ratio, &format!("axis {axis} of {shape:?}"));
        }
    }
}

/// Negative control: a running sum leaves the bound by far.
#[test]
fn a_running_sum_is_beyond_the_bound() {
    let x = logits(1_000_003).map(|v| v + 5.0);
    let (sum, magnitude) = exact_sum(x.as_slice().iter().copied());
    let allowed = steps(x.len()) * U * magnitude;
    let running = x.as_slice().iter().fold(0.0, |sum, v| sum + v);
    assert!(worst(&[running], &[sum], |_| allowed) > 2.0);
    assert_within(worst(&[kernel::sum(x.as_slice())], &[sum], |_| allowed), "the tree");
}

/// e^(z - largest) and their sum, in twice the working precision, except for the exponentials of the standard library.
fn exact_exponentials(x: &Tensor) -> (Vec<f64>, f64, f64) {
    let largest = f64::from(x.as_slice().iter().copied().fold(Real::NEG_INFINITY, Real::max));
    let powers: Vec<f64> = x.as_slice().iter().map(|&v| (f64::from(v) - largest).exp()).collect();
    // Neumaier's sum of positive numbers: the error is kept beside it.
    let (mut sum, mut lost) = (0.0, 0.0);
    for &power in &powers {
        let next: f64 = sum + power;
        lost += if sum >= power { (sum - next) + power } else { (power - next) + sum };
        sum = next;
    }
    (powers, sum + lost, largest)
}

/// The shift rounds by at most 8 u, so an exponential is off by 8 u and its own 2 u; the sum adds its steps, the
/// logarithm 2 u of its size. In double precision the reference's exponentials are off by 2 u themselves.
#[test]
fn functions_of_rows() {
    for n in SIZES {
        let x = logits(n);
        let (powers, sum, largest) = exact_exponentials(&x);
        let log_sum = sum.ln();
        let total = 8.0 + 2.0 + 2.0 + steps(n);

        let ours = value_of(x.clone(), |x| x.logsumexp());
        let allowed = U * (total + 2.0 * log_sum + (largest + log_sum).abs());
        let ratio = worst(ours.as_slice(), &[largest + log_sum], |_| allowed);
        assert_within(ratio, &format!("logsumexp of {n}"));

        let exact: Vec<f64> = powers.iter().map(|power| power / sum).collect();
        let ours = value_of(x.clone(), |x| x.softmax());
        let ratio = worst(ours.as_slice(), &exact, |y| U * (12.0 + total + 1.0) * y);
        assert_within(ratio, &format!("softmax of {n}"));

        let exact = x.as_slice().iter().map(|&v| (f64::from(v) - largest) - log_sum);
        let exact: Vec<f64> = exact.collect();
        let ours = value_of(x, |x| x.log_softmax());
        let allowed = |y: f64| U * (8.0 + total + 2.0 * log_sum + y.abs());
        assert_within(worst(ours.as_slice(), &exact, allowed), &format!("log_softmax of {n}"));
    }
}

/// The mean of numbers of size m is off by (steps + 1) u m, which moves all of the row; the variance is off by twice
/// steps + 4 roundings, its root by half of that.
#[test]
fn layer_norm() {
    for n in SIZES {
        let epsilon = 1e-3;
        let x = logits(n).map(|v| v + 3.0);
        let (sum, magnitude) = exact_sum(x.as_slice().iter().copied());
        let (count, epsilon_exact) = (n as f64, f64::from(epsilon as Real));
        let mean = sum / count;
        let squares = x.as_slice().iter().map(|&v| (f64::from(v) - mean).powi(2));
        // All positive: a sum in double precision, of blocks, is good to a few units.
        let squares: Vec<f64> = squares.collect();
        let variance = squares.chunks(1000).map(|c| c.iter().sum::<f64>()).sum::<f64>() / count;
        let factor = 1.0 / (variance + epsilon_exact).sqrt();
        let exact: Vec<f64> =
            x.as_slice().iter().map(|&v| (f64::from(v) - mean) * factor).collect();
        let ours = value_of(x, |x| {
            let width = x.shape()[1];
            let weight = x.tape().constant(Tensor::full([width], 1.0));
            let bias = x.tape().constant(Tensor::zeros([width]));
            x.layer_norm(weight, bias, epsilon as Real)
        });
        let moved = (steps(n) + 1.0) * magnitude / count * factor;
        let allowed = |y: f64| U * (moved + (steps(n) + 8.0) * y.abs() + 8.0);
        assert_within(worst(ours.as_slice(), &exact, allowed), &format!("layer_norm of {n}"));
    }
}
