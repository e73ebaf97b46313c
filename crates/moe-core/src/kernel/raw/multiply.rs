//! One product: the choice of instruction set and of the way to compute it.

#[cfg(feature = "f64")]
use matrixmultiply::dgemm as gemm_of_large;
#[cfg(not(feature = "f64"))]
use matrixmultiply::sgemm as gemm_of_large;

#[cfg(target_arch = "x86_64")]
use crate::kernel::geometry::{
    AVX2_ROWS, AVX2_VECTORS, AVX2_WIDE, AVX512_ROWS, AVX512_VECTORS, AVX512_WIDE,
};
use crate::kernel::geometry::{LARGE, MOST_ROWS, PORTABLE_ROWS, PORTABLE_VECTORS, PORTABLE_WIDE};
use crate::kernel::isa::Isa;
use crate::kernel::mat::Mat;
use crate::kernel::product::{Product, Start};
use crate::real::Real;

use super::lanes::{Lanes, Portable};
use super::panels::panels;
use super::scratch::{Scratch, with_scratch};
use super::sparse::sparse;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Computes a product into `c`, row-major and contiguous.
///
/// # Panics
/// If the shapes do not agree with each other or with the slices, or `c` has more than [`MOST_ROWS`] rows.
pub(crate) fn product(isa: Isa, product: Product<'_>, c: &mut [Real]) {
    let b = Mat { packed: product.b.packed.filter(|packed| packed.isa == isa), ..product.b };
    let product = Product { b, ..product };
    let a = product.a;
    assert_eq!(a.cols, b.rows, "inner dimensions differ: {a:?} times {b:?}");
    assert_eq!(a.rows * b.cols, c.len(), "{a:?} times {b:?} does not fill {} elements", c.len());
    assert!(a.rows <= MOST_ROWS, "{a:?} has more than {MOST_ROWS} rows");
    if let Start::Row(row) = product.start {
        assert_eq!(row.len(), b.cols, "the row that {a:?} times {b:?} is added to");
    }
    a.check();
    b.check();
    if a.cols == 0 || isa == Isa::Portable && b.rows * b.cols > LARGE {
        return product_of_large(product, c);
    }
    // A transposed matrix times a column is computed as a row times a plain matrix, which is read along its rows.
    let is_plain = product.after.is_none() && !matches!(product.start, Start::Row(_));
    let product = if b.cols == 1 && a.row_stride == 1 && is_plain {
        Product { a: b.t(), b: a.t(), following: None, ..product }
    } else {
        product
    };
    with_scratch(|scratch| {
        // SAFETY: the shapes have been checked; an `Isa` other than `Portable` comes from `available`, which asked
        // the processor.
        unsafe {
            match isa {
                Isa::Portable => {
                    computed::<Portable, PORTABLE_ROWS, PORTABLE_VECTORS, PORTABLE_WIDE>(
                        product, c, scratch,
                    );
                }
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => product_avx2(product, c, scratch),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => product_avx512(product, c, scratch),
            }
        }
    });
}

/// Computes a product from the non-zeros of a factor if that suits it, otherwise with tiles of `ROWS` rows and `VECTORS`
/// registers.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller; the shapes of the product and `c` have been checked against each
/// other.
#[inline(always)]
unsafe fn computed<L: Lanes, const ROWS: usize, const VECTORS: usize, const WIDE: usize>(
    product: Product<'_>,
    c: &mut [Real],
    scratch: &mut Scratch,
) {
    // SAFETY: as for this function.
    unsafe {
        if !sparse::<L>(&product, c, scratch) {
            panels::<L, ROWS, VECTORS, WIDE>(product, c, &mut scratch.values);
        }
    }
}

/// [`product`] after its checks, by matrixmultiply.
fn product_of_large(product: Product<'_>, c: &mut [Real]) {
    let Product { a, b, start, after, .. } = product;
    let beta = match start {
        Start::Zero => 0.0,
        Start::Present => 1.0,
        Start::Row(row) => {
            c.chunks_exact_mut(b.cols).for_each(|c| c.copy_from_slice(row));
            1.0
        }
    };
    let strides = |m: Mat<'_>| (m.row_stride as isize, m.col_stride as isize);
    let ((a_row, a_col), (b_row, b_col)) = (strides(a), strides(b));
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: `Mat::check` has shown that every element of `a` and `b` lies inside its slice, and `c` holds m * n
    // elements with strides (n, 1). `c` is borrowed mutably, so it overlaps neither. Strides fit isize because slices
    // are no longer than isize::MAX bytes.
    unsafe {
        let c = c.as_mut_ptr();
        gemm_of_large(m, k, n, 1.0, a, a_row, a_col, b, b_row, b_col, beta, c, n as isize, 1);
    }
    if let Some(after) = after {
        c.chunks_exact_mut(n).enumerate().for_each(|(row, c)| after(row, 0, c));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn product_avx2(product: Product<'_>, c: &mut [Real], scratch: &mut Scratch) {
    // SAFETY: as in `product`; the instruction set is enabled here.
    unsafe { computed::<Avx2, AVX2_ROWS, AVX2_VECTORS, AVX2_WIDE>(product, c, scratch) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn product_avx512(product: Product<'_>, c: &mut [Real], scratch: &mut Scratch) {
    // SAFETY: as in `product`; the instruction set is enabled here.
    unsafe { computed::<Avx512, AVX512_ROWS, AVX512_VECTORS, AVX512_WIDE>(product, c, scratch) }
}
