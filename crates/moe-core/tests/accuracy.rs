//! The GEMM door against products in twice the working precision, with a bound that follows from the size.

mod common;

use common::{Reference, dot2, rng, uniform};
use moe_core::kernel::{Around, Mat, gemm, gemm_groups};
use moe_core::rand::Rng;
use moe_core::{Real, Tensor};

/// `[rows, cols]` stored by columns.
fn turned(matrix: &Tensor) -> Vec<Real> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    (0..rows * cols).map(|i| matrix.as_slice()[i % rows * cols + i / rows]).collect()
}

/// Largest error of `c` per allowed error.
///
/// k products and k sums in any order, fused or not, are off by at most k u / (1 - k u) times the sum of
/// magnitudes, u = ε / 2 (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1); adding
/// to what stood in `c` is one more term. k ε is twice that.
fn worst(c: &[Real], reference: &[Reference], terms: usize) -> f64 {
    let ratio = |(c, r): (&Real, &Reference)| {
        let allowed = terms as f64 * Real::EPSILON as f64 * r.magnitude;
        let error = (*c as f64 - r.value).abs();
        if error == 0.0 { 0.0 } else { error / allowed }
    };
    c.iter().zip(reference).map(ratio).fold(0.0, f64::max)
}

/// Checks `a b`, and `a b` with a bias, in all four layouts.
fn check(m: usize, k: usize, n: usize, seed: u64) {
    let mut rng = rng(seed, 0);
    let [a, b, bias] = [[m, k], [k, n], [1, n]].map(|shape| uniform(shape, &mut rng));
    let (a_turned, b_turned) = (turned(&a), turned(&b));
    // By columns of b, which are contiguous when turned.
    let column = |j: usize| &b_turned[j * k..(j + 1) * k];
    let positions = || (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
    let row = |i: usize| &a.as_slice()[i * k..(i + 1) * k];
    let terms = |(i, j): (usize, usize)| row(i).iter().copied().zip(column(j).iter().copied());
    let plain: Vec<_> = positions().map(|at| dot2(terms(at))).collect();
    let added: Vec<_> = positions()
        .map(|at| dot2([(bias.as_slice()[at.1], 1.0)].into_iter().chain(terms(at))))
        .collect();
    let left = [Mat::new(a.as_slice(), m, k), Mat::new(&a_turned, k, m).t()];
    let right = [Mat::new(b.as_slice(), k, n), Mat::new(&b_turned, n, k).t()];
    for (layout, (a, b)) in left.iter().flat_map(|a| right.map(|b| (*a, b))).enumerate() {
        let what = format!("{m} x {k} x {n}, layout {layout}, seed {seed}");
        // What the output held before does not count, not even NaN.
        let mut out = vec![Real::NAN; m * n];
        gemm(a, b, &mut out);
        let ratio = worst(&out, &plain, k);
        assert!(ratio <= 1.0, "{what}: {ratio} of the bound");
        let mut out = vec![Real::NAN; m * n];
        let of_group = |_| bias.as_slice();
        gemm_groups(1, |_| (a, b), Around { bias: Some(&of_group), after: None }, &mut out);
        let ratio = worst(&out, &added, k + 1);
        assert!(ratio <= 1.0, "{what}, added: {ratio} of the bound");
    }
}

#[test]
fn products_of_odd_sizes() {
    let sizes = [0, 1, 3, 37, 65];
    for m in sizes {
        for k in [0, 1, 3, 37, 65, 257] {
            for n in sizes {
                check(m, k, n, 1);
            }
        }
    }
}

/// More than one block in every dimension.
#[test]
fn products_of_several_blocks() {
    for (m, k, n) in [(257, 257, 65), (1, 1025, 257), (129, 37, 1031), (257, 600, 3), (65, 1, 257)]
    {
        check(m, k, n, 2);
    }
}

#[test]
fn products_of_random_sizes() {
    let mut sizes = rng(3, 0);
    for seed in 0..40 {
        let [m, k, n] = [(); 3].map(|()| sizes.random_range(1..90));
        check(m, k, n, seed);
    }
}

/// Negative control: the bound sees one product of many left out.
#[test]
fn the_bound_sees_a_missing_term() {
    let (k, mut rng) = (257, rng(4, 0));
    let (a, b) = (uniform([1, k], &mut rng), uniform([k, 1], &mut rng));
    let all = dot2(a.as_slice().iter().copied().zip(b.as_slice().iter().copied()));
    let mut out = [0.0];
    gemm(Mat::new(a.as_slice(), 1, k - 1), Mat::new(b.as_slice(), k - 1, 1), &mut out);
    assert!(worst(&out, &[all], k) > 2.0);
}

/// 1 + 2^-60 - 1 loses the small term in working precision; the reference keeps it.
#[test]
fn the_reference_is_better_than_what_it_judges() {
    let small = (2.0 as Real).powi(-60);
    let terms = [(1.0, 1.0), (small, 1.0), (-1.0, 1.0)];
    assert_eq!(dot2(terms.into_iter()).value, small as f64);
    let naive: Real = terms.iter().map(|(a, b)| a * b).sum();
    assert_eq!(naive, 0.0);
}
