//! The only module with `unsafe` code: checked calls of matrixmultiply.
#![allow(unsafe_code)]

use crate::Real;

use super::gemm::Mat;

#[cfg(not(feature = "f64"))]
use matrixmultiply::sgemm as gemm_kernel;

#[cfg(feature = "f64")]
use matrixmultiply::dgemm as gemm_kernel;

/// `c = a b + beta c`, with `c` row-major and contiguous.
///
/// # Panics
/// If the shapes do not agree with each other or with the slices.
pub(super) fn product(a: Mat<'_>, b: Mat<'_>, beta: Real, c: &mut [Real]) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "inner dimensions differ: {a:?} times {b:?}");
    assert_eq!(m * n, c.len(), "{a:?} times {b:?} does not fill {} elements", c.len());
    a.check();
    b.check();
    // SAFETY: `check` has shown that every element (i, j) of `a` and `b`, at i*row_stride + j*col_stride,
    // lies inside its slice, and `c` holds m*n elements with strides (n, 1). `c` is borrowed mutably, so it
    // overlaps neither. All strides fit isize because slices are no longer than isize::MAX bytes.
    unsafe {
        gemm_kernel(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.col_stride as isize,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.col_stride as isize,
            beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small enough for miri.
    #[test]
    fn all_layouts_agree_with_the_definition() {
        let a: Vec<Real> = (0..6).map(|i| i as Real - 2.0).collect();
        let b: Vec<Real> = (0..12).map(|i| 0.5 * i as Real - 1.0).collect();
        let forward = (Mat::new(&a, 2, 3), Mat::new(&b, 3, 4));
        let (a_turned, b_turned) = (
            [0, 3, 1, 4, 2, 5].map(|i| a[i]),
            [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11].map(|i| b[i]),
        );
        let turned = (Mat::new(&a_turned, 3, 2).t(), Mat::new(&b_turned, 4, 3).t());
        for (x, y) in [forward, (turned.0, forward.1), (forward.0, turned.1), turned] {
            let mut c = vec![1.0; 8];
            product(x, y, 1.0, &mut c);
            for i in 0..2 {
                for j in 0..4 {
                    let expected = 1.0 + (0..3).map(|l| a[i * 3 + l] * b[l * 4 + j]).sum::<Real>();
                    assert_eq!(c[i * 4 + j], expected);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside its slice")]
    fn a_matrix_larger_than_its_slice_is_refused() {
        let data = [0.0; 5];
        product(Mat::new(&data, 2, 3), Mat::new(&[0.0; 3], 3, 1), 0.0, &mut [0.0; 2]);
    }
}
