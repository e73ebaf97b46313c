//! Backward rules of operators along an axis and of whole rows, against central differences.

mod common;

use common::{any_shape, cases, check, distinct, inputs, rng};
use moe_core::rand::Rng;
use moe_core::tape::Tape;
use moe_core::{Real, Shape};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn reductions_over_each_axis(shape in any_shape(), seed: u64) {
        let of_any_sign = inputs(seed, [shape]);
        let apart = [distinct(shape, &mut rng(seed, 0))];
        for axis in 0..shape.rank() {
            check(|_, v| v[0].sum_axis(axis), &of_any_sign);
            check(|_, v| v[0].mean_axis(axis), &of_any_sign);
            check(|_, v| v[0].max_axis(axis), &apart);
        }
        check(|_, v| v[0].max(), &apart);
    }

    #[test]
    fn rearrangements_of_each_axis(shape in any_shape(), seed: u64) {
        let inputs = inputs(seed, [shape]);
        let mut rng = rng(seed, 1);
        for axis in 0..shape.rank() {
            for other in 0..shape.rank() {
                check(|_, v| v[0].transpose(axis, other), &inputs);
            }
            let start = rng.random_range(0..=shape[axis]);
            let end = rng.random_range(start..=shape[axis]);
            check(|_, v| v[0].slice(axis, start..end), &inputs);
            let count = if shape[axis] == 0 { 0 } else { rng.random_range(0..6) };
            let picked: Vec<u32> =
                (0..count).map(|_| rng.random_range(0..shape[axis] as u32)).collect();
            check(|_, v| v[0].index_select(axis, &picked), &inputs);
        }
        check(|_, v| v[0].reshape([shape.size()]) , &inputs);
        check(|_, v| v[0].reshape(Shape::new(&[shape.size(), 1])) * v[0].sum(), &inputs);
    }

    #[test]
    fn functions_of_rows(shape in any_shape(), seed: u64) {
        let of_any_sign = inputs(seed, [shape]);
        check(|_, v| v[0].gelu(), &of_any_sign);
        check(|_, v| v[0].log_softmax(), &of_any_sign);
        if let Some(&width) = shape.last() {
            check(|_, v| v[0].logsumexp(), &of_any_sign);
            let inputs = inputs(seed, [shape, [width].into(), [width].into()]);
            // In single precision a row of small variance bends too much for a finite difference.
            check(|_, v| v[0].layer_norm(v[1], v[2], 0.5), &inputs);
        }
    }

    #[test]
    fn losses_over_rows(rows in 0usize..7, classes in 1usize..5, seed: u64) {
        let mut rng = rng(seed, 1);
        let soft: Vec<Real> = (0..rows).map(|_| rng.random_range(0.0..1.0)).collect();
        let wanted: Vec<u32> = (0..rows).map(|_| rng.random_range(0..classes as u32)).collect();
        let present: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.8)).collect();
        let [column, matrix, targets] = inputs(seed, [[rows].into(), [rows, classes].into(), [rows, classes].into()]);
        // Probabilities, some of them 0.
        let targets = targets.map(|v| if v < -0.5 { -1e4 } else { v });
        let targets = Tape::inference().constant(targets).softmax().value();
        let (column, matrix) = (std::slice::from_ref(&column), std::slice::from_ref(&matrix));
        // One flag for all numbers of a row.
        check(|_, v| v[0].bce_with_logits(targets.as_slice(), &present), matrix);
        check(|_, v| v[0].masked_mse(targets.as_slice(), &present), matrix);
        check(|_, v| v[0].bce_with_logits(&soft, &present), column);
        check(|_, v| v[0].masked_mse(&soft, &present), column);
        check(|_, v| v[0].cross_entropy(&wanted, &present), matrix);
        check(|_, v| v[0].kl_with_logits(&targets, &present), matrix);
        // Also where the targets of a row do not add up to 1.
        check(|_, v| v[0].kl_with_logits(&targets.map(|t| 3.0 * t), &present), matrix);
    }
}
