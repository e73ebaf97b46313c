//! Backward rules of operators along an axis and of whole rows, against central differences.

mod common;

use common::{any_shape, cases, check, distinct, inputs, rng};
use moe_core::Shape;
use moe_core::rand::Rng;
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
}
