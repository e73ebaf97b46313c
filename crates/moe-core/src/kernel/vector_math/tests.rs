use crate::kernel::isa::Isa;
use crate::kernel::raw::wide::wide_on;

use super::float::{EXP_SINGLE, polynomial};
use super::*;
use crate::random::generator::chacha;
use rand::Rng;

/// Largest error of e^x in single precision that is allowed, in units in the last place.
const EXP_BOUND: f64 = 1.0;

/// Applies a function to one number.
fn at<T: Copy + Default, F: Function<T>>(function: F, x: T) -> T {
    let mut value = [x];
    map(function, &mut value);
    value[0]
}

/// The distance of two neighbours of single precision at `y`, that of the smallest normal number below it.
fn unit_single(y: f64) -> f64 {
    let exponent = y.abs().to_bits().max(f64::from(f32::MIN_POSITIVE).to_bits()) >> 52;
    f64::from_bits((exponent - 23) << 52)
}

/// The largest error of `values` against `exact` in units in the last place; infinite if one is finite, or a number, and
/// the other is not.
fn worst_single(values: &[f32], exact: &[f64]) -> f64 {
    let error = |(&y, &exact): (&f32, &f64)| {
        let rounded = exact as f32;
        if y.to_bits() == rounded.to_bits() || (y.is_nan() && rounded.is_nan()) {
            return 0.0;
        }
        let error = (f64::from(y) - exact).abs() / unit_single(exact);
        if y.is_finite() && error.is_finite() { error } else { f64::INFINITY }
    };
    values.iter().zip(exact).map(error).fold(0.0, f64::max)
}

/// The largest error over the whole bit space in steps of a prime: 4 million arguments of every magnitude, infinities and
/// NaNs among them.
fn sweep<F: Function<f32> + Copy>(function: F, exact: impl Fn(&mut [f64])) -> f64 {
    const BLOCK: usize = 4096;
    const STEP: usize = 1021;
    let mut worst: f64 = 0.0;
    for first in (0..1usize << 32).step_by(BLOCK * STEP) {
        let mut values: Vec<f32> =
            (0..BLOCK).map(|i| f32::from_bits((first + i * STEP) as u32)).collect();
        let mut expected: Vec<f64> = values.iter().map(|&x| x.into()).collect();
        map(function, &mut values);
        exact(&mut expected);
        worst = worst.max(worst_single(&values, &expected));
    }
    worst
}

fn assert_within(worst: f64, bound: f64, what: &str) {
    assert!(worst <= bound, "{what}: {worst} units in the last place, {bound} allowed");
}

/// Where the standard library has the function in double precision, it is the reference; its own error there is far below
/// a unit of single precision. The others are held to our own double precision, which the recorded values are held to.
#[test]
fn single_precision_over_the_whole_bit_space() {
    fn each(f: impl Fn(f64) -> f64) -> impl Fn(&mut [f64]) {
        move |values| values.iter_mut().for_each(|v| *v = f(*v))
    }
    assert_within(sweep(Exp, each(f64::exp)), EXP_BOUND, "exp");
    assert_within(sweep(Ln, each(f64::ln)), 0.85, "ln");
    assert_within(sweep(Tanh, each(f64::tanh)), 2.6, "tanh");
    assert_within(sweep(Sigmoid, each(|x| 1.0 / (1.0 + (-x).exp()))), 2.4, "sigmoid");
    let bounded = |x: f64| (-x.abs()).exp().ln_1p();
    let softplus = move |x: f64| bounded(x) + if x > 0.0 { x } else { 0.0 };
    assert_within(sweep(Softplus, each(softplus)), 2.0, "softplus");
    assert_within(sweep(LnOnePlusExpOfMinusAbs, each(bounded)), 2.0, "ln(1 + e^-|x|)");
    assert_within(sweep(Erf, |x| map(Erf, x)), 2.8, "erf");
    assert_within(sweep(Gelu, |x| map(Gelu, x)), 10.0, "gelu");
}

/// e^x with one coefficient of its series, that of r^`power`, off by one part in `part`.
fn wrong_exp(power: usize, part: f32) -> f64 {
    let mut coefficients = EXP_SINGLE;
    coefficients[power - 2] *= 1.0 + 1.0 / part;
    let arguments: Vec<f32> = (-80_000..80_000).map(|i| i as f32 / 1000.0).collect();
    let values: Vec<f32> =
        arguments.iter().map(|&x| exp(x, 0.0, |r| polynomial(r, &coefficients))).collect();
    let exact: Vec<f64> = arguments.iter().map(|&x| f64::from(x).exp()).collect();
    worst_single(&values, &exact)
}

/// Negative control: a wrong digit of a coefficient is beyond the bound.
#[test]
fn a_wrong_coefficient_is_found() {
    assert!(wrong_exp(2, f32::INFINITY) < EXP_BOUND);
    for (power, part) in [(2, 1e5), (3, 1e4), (4, 1e3), (5, 300.0), (6, 20.0)] {
        let worst = wrong_exp(power, part);
        assert!(worst > EXP_BOUND, "coefficient of r^{power} off by 1/{part}: {worst} units");
    }
}

fn unit_double(y: f64) -> f64 {
    let y = y.abs().max(f64::MIN_POSITIVE);
    f64::from_bits(y.to_bits() + 1) - y
}

/// The largest error in units in the last place over the recorded points of a function: lines of its name, x, and f(x) as a
/// sum of two numbers.
fn worst_recorded<F: Function<f64> + Copy>(function: F, name: &str, unit: fn(f64) -> f64) -> f64 {
    let recorded = include_str!("../../../tests/recorded/vector_math.txt");
    let lines = recorded.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let errors = lines.map(|line| {
        let mut numbers = line.split(' ').map(|number| number.parse::<f64>().expect("a number"));
        let [x, high, low] = [(); 3].map(|()| numbers.next().expect("three numbers"));
        ((at(function, x) - high) - low).abs() / unit(high)
    });
    let errors: Vec<f64> = errors.collect();
    assert!(errors.len() > 150, "points of {name}");
    errors.into_iter().fold(0.0, f64::max)
}

#[test]
fn double_precision_against_recorded_values() {
    assert_within(worst_recorded(Exp, "exp", unit_double), 0.9, "exp");
    assert_within(worst_recorded(Ln, "ln", unit_double), 0.7, "ln");
    assert_within(worst_recorded(Erf, "erf", unit_double), 1.4, "erf");
    assert_within(worst_recorded(Sigmoid, "sigmoid", unit_double), 1.2, "sigmoid");
    assert_within(worst_recorded(Tanh, "tanh", unit_double), 2.2, "tanh");
    assert_within(worst_recorded(Softplus, "softplus", unit_double), 1.1, "softplus");
    assert_within(worst_recorded(Gelu, "gelu", unit_double), 2.5, "gelu");
    // The slope has a zero, near which it is a difference of larger terms.
    let slope = worst_recorded(GeluSlope, "gelu_slope", |_| f64::EPSILON);
    assert_within(slope, 1.0, "slope of gelu, in units of 1");
}

/// A million points of each, within two units of the standard library.
#[test]
fn double_precision_against_the_standard_library() {
    let mut rng = chacha(1, "tests", 0);
    let mut apart = |function: fn(f64) -> [f64; 2], low: f64, high: f64| {
        let error = |[ours, theirs]: [f64; 2]| (ours - theirs).abs() / unit_double(theirs);
        let points = (0..1_000_000).map(|_| error(function(rng.random_range(low..high))));
        points.fold(0.0, f64::max)
    };
    assert_within(apart(|x| [at(Exp, x), x.exp()], -745.0, 709.7), 2.0, "exp");
    assert_within(apart(|x| [at(Exp, x), x.exp()], -1.0, 1.0), 2.0, "exp near 0");
    assert_within(apart(|x| [at(Ln, x), x.ln()], 0.0, 10.0), 2.0, "ln");
    assert_within(apart(|x| [at(Ln, x.exp2()), x.exp2().ln()], -1074.0, 1023.0), 2.0, "ln of any");
    assert_within(apart(|x| [at(Tanh, x), x.tanh()], -20.0, 20.0), 3.5, "tanh");
}

/// Every instruction set, length and place gives the bits that a single number gets in the portable loop.
fn same_bits<T: Copy + Default + PartialEq + std::fmt::Debug, F: Function<T> + Copy>(
    _function: F,
    x: &[T],
    bits: fn(T) -> u64,
) {
    let alone = |&x: &T| {
        let mut value = [x];
        Map(&mut value[..], PhantomData::<F>).run();
        bits(value[0])
    };
    let expected: Vec<u64> = x.iter().map(alone).collect();
    for isa in Isa::available() {
        for first in [0, 1, 7, x.len() - 17, x.len() - 1] {
            let mut values = x[first..].to_vec();
            wide_on(isa, Map(&mut values[..], PhantomData::<F>));
            let values: Vec<u64> = values.into_iter().map(bits).collect();
            assert_eq!(values, expected[first..], "{isa:?} from {first}");
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut rng = chacha(2, "tests", 0);
    let x: Vec<f64> = (0..1003)
        .map(|i| match i % 3 {
            0 => f64::from(f32::from_bits(rng.random())),
            1 => rng.random_range(-40.0..40.0),
            _ => rng.random_range(-1.0..1.0),
        })
        .collect();
    // Which NaN comes out may differ.
    fn of_double(x: f64) -> u64 {
        if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
    }
    fn of_single(x: f32) -> u64 {
        of_double(x.into())
    }
    fn both<F: Function<f32> + Function<f64> + Copy>(function: F, x: &[f64]) {
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        same_bits(function, &single, of_single);
        same_bits(function, x, of_double);
    }
    both(Exp, &x);
    both(Ln, &x);
    both(Erf, &x);
    both(Sigmoid, &x);
    both(Tanh, &x);
    both(Softplus, &x);
    both(Gelu, &x);
    both(GeluSlope, &x);
}

/// Exact values, signs of zero, limits and NaN, in both precisions.
#[test]
fn at_the_edges() {
    fn check<F: Function<f32> + Function<f64> + Copy>(function: F, table: &[(f64, f64)]) {
        for &(x, expected) in table {
            let (single, double) = (at(function, x as f32), at(function, x));
            let expected_single = expected as f32;
            assert_eq!(single.to_bits(), expected_single.to_bits(), "f({x}) is {single}");
            assert_eq!(double.to_bits(), expected.to_bits(), "f({x}) is {double}");
        }
        assert!(at(function, f32::NAN).is_nan() && at(function, f64::NAN).is_nan());
    }
    const INF: f64 = f64::INFINITY;
    check(Exp, &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e4, INF), (-1e4, 0.0)]);
    check(Ln, &[(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF)]);
    check(Erf, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (7.0, 1.0), (-7.0, -1.0)]);
    check(Sigmoid, &[(0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e4, 1.0), (-1e4, 0.0)]);
    check(Tanh, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (-1e4, -1.0)]);
    check(Softplus, &[(INF, INF), (-INF, 0.0), (1e4, 1e4), (-1e4, 0.0)]);
    check(Gelu, &[(0.0, 0.0), (INF, INF), (-INF, -0.0), (1e4, 1e4), (-1e4, -0.0)]);
    check(GeluSlope, &[(0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e4, 1.0)]);
    assert!(at(Ln, -1.0f32).is_nan() && at(Ln, -f64::MIN_POSITIVE).is_nan());
    // The ends of the normal and of all numbers.
    assert!(at(Exp, 88.722_83f32).is_finite() && at(Exp, 88.722_84f32).is_infinite());
    assert!(at(Exp, 709.78f64).is_finite() && at(Exp, 709.79f64).is_infinite());
    assert_eq!(at(Exp, -745.1), f64::from_bits(1));
    assert_eq!(at(Exp, -103.5f32), f32::from_bits(1));
    assert_eq!(at(Ln, f64::from_bits(1)), f64::from_bits(1).ln());
    assert_eq!(at(Ln, f32::from_bits(1)), f32::from_bits(1).ln());
}

#[test]
fn erf_and_tanh_are_odd() {
    let mut rng = chacha(3, "tests", 0);
    for _ in 0..10_000 {
        let x: f64 = rng.random_range(-8.0..8.0);
        assert_eq!(at(Erf, -x), -at(Erf, x));
        assert_eq!(at(Erf, -x as f32), -at(Erf, x as f32));
        assert_eq!(at(Tanh, -x), -at(Tanh, x));
        assert_eq!(at(Tanh, -x as f32), -at(Tanh, x as f32));
    }
}
