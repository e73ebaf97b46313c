//! Operators along one axis: values against ndarray and by hand, and what they refuse.

mod common;

use common::{assert_close, cases, distinct, rng, spread};
use moe_core::ndarray::Axis;
use moe_core::rand::Rng;
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Shape, Tensor};
use proptest::prelude::*;

/// Any shape with an axis, and one of its axes.
fn shape_and_axis() -> impl Strategy<Value = (Shape, usize)> {
    let dims = prop::collection::vec(0usize..5, 1..=Shape::MAX_RANK);
    (dims, any::<prop::sample::Index>())
        .prop_map(|(dims, axis)| (Shape::new(&dims), axis.index(dims.len())))
}

fn value_of(x: &Tensor, f: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> Tensor {
    f(Tape::inference().constant(x.clone())).value()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn reductions_agree_with_ndarray((shape, axis) in shape_and_axis(), seed: u64) {
        let x = spread(shape, &mut rng(seed, 0));
        let array = x.to_array();
        let sum = Tensor::from_array(array.sum_axis(Axis(axis)).view());
        // At most four terms below one.
        let tolerance = 4.0 * Real::EPSILON;
        assert_close(&value_of(&x, |x| x.sum_axis(axis)), &sum, tolerance, "sum");
        let mean = sum.map(|v| v / shape[axis].max(1) as Real);
        assert_close(&value_of(&x, |x| x.mean_axis(axis)), &mean, tolerance, "mean");
        let max = array.fold_axis(Axis(axis), Real::NEG_INFINITY, |a, &b| a.max(b));
        prop_assert_eq!(value_of(&x, |x| x.max_axis(axis)), Tensor::from_array(max.view()));
        let max = array.iter().copied().fold(Real::NEG_INFINITY, Real::max);
        prop_assert_eq!(value_of(&x, |x| x.max()).item(), max);
    }

    #[test]
    fn rearrangements_agree_with_ndarray(
        (shape, axis) in shape_and_axis(), other: prop::sample::Index, seed: u64,
    ) {
        let mut rng = rng(seed, 0);
        let x = spread(shape, &mut rng);
        let array = x.to_array();

        let other = other.index(shape.rank());
        let mut swapped = array.view();
        swapped.swap_axes(axis, other);
        let expected = Tensor::from_array(swapped);
        prop_assert_eq!(&value_of(&x, |x| x.transpose(axis, other)), &expected);
        prop_assert_eq!(value_of(&expected, |x| x.transpose(other, axis)), x.clone());

        let start = rng.random_range(0..=shape[axis]);
        let end = rng.random_range(start..=shape[axis]);
        let part = array.slice_axis(Axis(axis), (start..end).into());
        prop_assert_eq!(value_of(&x, |x| x.slice(axis, start..end)), Tensor::from_array(part));

        let count = if shape[axis] == 0 { 0 } else { rng.random_range(0..6) };
        let picked: Vec<usize> = (0..count).map(|_| rng.random_range(0..shape[axis])).collect();
        let indices: Vec<u32> = picked.iter().map(|&i| i as u32).collect();
        let selected = Tensor::from_array(array.select(Axis(axis), &picked).view());
        prop_assert_eq!(value_of(&x, |x| x.index_select(axis, &indices)), selected);
    }
}

/// Longer than any block of the loops, in every direction.
#[test]
fn large_tensors_agree_with_ndarray() {
    for shape in [[3, 70, 131], [200, 33, 1], [1, 300, 65], [129, 2, 100]] {
        let x = distinct(shape, &mut rng(1, 0));
        let array = x.to_array();
        for axis in 0..3 {
            for other in 0..3 {
                let mut swapped = array.view();
                swapped.swap_axes(axis, other);
                let expected = Tensor::from_array(swapped);
                assert_eq!(value_of(&x, |x| x.transpose(axis, other)), expected);
            }
            let max = array.fold_axis(Axis(axis), Real::NEG_INFINITY, |a, &b| a.max(b));
            assert_eq!(value_of(&x, |x| x.max_axis(axis)), Tensor::from_array(max.view()));
            // Eighths are added without rounding, in any order.
            let eighths = x.map(|v| (v * 8.0).round() / 8.0);
            let sum = eighths.to_array().sum_axis(Axis(axis));
            assert_eq!(value_of(&eighths, |x| x.sum_axis(axis)), Tensor::from_array(sum.view()));
        }
    }
}

/// Reductions of nothing: their neutral elements, and gradients of no element.
#[test]
fn an_empty_axis() {
    let tape = Tape::new();
    let x = tape.variable(Tensor::zeros([2, 0, 3]));
    for (y, expected) in
        [(x.sum_axis(1), 0.0), (x.mean_axis(1), 0.0), (x.max_axis(1), Real::NEG_INFINITY)]
    {
        assert_eq!(y.value(), Tensor::full([2, 3], expected));
        assert!(tape.backward(y.sum()).wrt(x).unwrap().is_empty());
    }
    assert_eq!(x.max().value().item(), Real::NEG_INFINITY);
    assert_eq!(x.sum_axis(0).value(), Tensor::zeros([0, 3]));
}

/// The first of equal elements is the largest, also of zeros of either sign. NaN wins.
#[test]
fn the_gradient_of_a_maximum_goes_to_the_first() {
    let nan = Real::NAN;
    let rows = [[1.0, 3.0, 3.0], [-0.0, 0.0, -1.0], [9.0, nan, nan], [Real::NEG_INFINITY; 3]];
    for turned in [false, true] {
        let tape = Tape::new();
        let x = tape.variable(Tensor::new([4, 3], rows.concat()));
        let y = if turned { x.transpose(0, 1).max_axis(0) } else { x.max_axis(1) };
        let value = y.value();
        assert_eq!(value.as_slice()[..2], [3.0, 0.0]);
        assert!(value.as_slice()[2].is_nan());
        assert_eq!(value.as_slice()[3], Real::NEG_INFINITY);
        let gradient = tape.backward_from(y, Tensor::full([4], 1.0)).wrt(x).unwrap();
        let first = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        assert_eq!(gradient.as_slice(), first.concat());
    }
}

/// A NaN wins wherever it stands, also beyond the first lanes of a long row.
#[test]
fn the_maximum_does_not_hide_what_is_not_a_number() {
    for at in 0..70 {
        let x = Tensor::from_fn([70], |i| if i == at { Real::NAN } else { i as Real });
        assert!(value_of(&x, |x| x.max()).item().is_nan(), "at {at}");
        let column = x.reshape([70, 1]);
        let two = value_of(&column, |x| x.tape().concat(&[x, x]).max_axis(0));
        assert!(two.as_slice().iter().all(|v| v.is_nan()), "column, at {at}");
    }
}

#[test]
fn a_reshape_shares_the_buffer() {
    let tape = Tape::new();
    let x = tape.variable(Tensor::from_fn([2, 3], |i| i as Real));
    let y = x.reshape([3, 1, 2]);
    assert_eq!(y.shape()[..], [3, 1, 2]);
    assert_eq!(y.value().as_slice().as_ptr(), x.value().as_slice().as_ptr());
    // What a reduction left out comes back by a reshape: rows minus their means.
    let centred = x - x.mean_axis(1).reshape([2, 1]);
    assert_eq!(centred.value().as_slice(), [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0]);
}

/// Index 2 twice and 0 once: gradients 1 + 4 and 2.
#[test]
fn gradients_of_repeated_indices_add_up() {
    let tape = Tape::new();
    let x = tape.variable(Tensor::zeros([3]));
    let y = x.index_select(0, &[2, 0, 2]);
    let cotangent = Tensor::new([3], vec![1.0, 2.0, 4.0]);
    let gradient = tape.backward_from(y, cotangent).wrt(x).unwrap();
    assert_eq!(gradient.as_slice(), [2.0, 0.0, 5.0]);
}

fn refuse(f: impl for<'t> Fn(Var<'t>) -> Var<'t>) {
    value_of(&Tensor::zeros([2, 3]), f);
}

#[test]
#[should_panic(expected = "sum_axis: axis 2 of a tensor of shape [2, 3]")]
fn a_sum_over_an_axis_that_is_not_there() {
    refuse(|x| x.sum_axis(2));
}

#[test]
#[should_panic(expected = "mean_axis: axis 5 of a tensor of shape [2, 3]")]
fn a_mean_over_an_axis_that_is_not_there() {
    refuse(|x| x.mean_axis(5));
}

#[test]
#[should_panic(expected = "slice: 1..4 of axis 1 of shape [2, 3]")]
fn a_slice_beyond_the_axis() {
    refuse(|x| x.slice(1, 1..4));
}

#[test]
#[should_panic(expected = "index_select: index 2 of axis 0 of shape [2, 3]")]
fn an_index_beyond_the_axis() {
    refuse(|x| x.index_select(0, &[0, 2]));
}

#[test]
#[should_panic(expected = "transpose: axes 0 and 2 of a tensor of shape [2, 3]")]
fn a_transposition_of_an_axis_that_is_not_there() {
    refuse(|x| x.transpose(0, 2));
}

#[test]
#[should_panic(expected = "cannot reshape [2, 3] to [4]")]
fn a_reshape_to_another_size() {
    refuse(|x| x.reshape([4]));
}
