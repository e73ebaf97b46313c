//! The only module with `unsafe` code: the micro-kernels behind the GEMM door, and loops compiled for each instruction
//! set ([`wide`]).
//!
//! A tile of `c`, a few rows by a few vector registers, is held in registers while the inner dimension is walked
//! once: each element is one ascending chain of fused multiply-adds (of separate ones in the portable path), so how a
//! product is cut into tiles never shows in the result. Both factors are copied, so that tiles read them from one
//! place to the next: `b` as panels of a few registers, `a` as strips of a few rows. Where there are too few rows or
//! columns for that to pay they are read where they stand, if they can be. A `b` of many products may have been copied
//! before (`packed.rs`). A factor of which many numbers are zero is not copied: only its other numbers are
//! multiplied, for the same sums.
#![allow(unsafe_code)]

mod ahead;
mod lanes;
mod nonzeros;
mod pack;
mod panels;
mod row;
mod sparse;
#[cfg(test)]
mod tests;
mod tile;

use std::cell::RefCell;

use crate::buffer::Buffer;
use crate::real::Real;

use super::gemm::RowFn;
use super::mat::Mat;
use super::zeros::Zeros;
#[cfg(target_arch = "x86_64")]
use lanes::x86;
use lanes::{Lanes, Portable};
use nonzeros::Nonzeros;
use panels::{panels, panels_of};
use sparse::{ROOM, sparse};

/// Rows of a packed panel of `b`: with the panel's columns, what stays in the first-level cache.
const INNER_BLOCK: usize = 256;

/// With fewer strips of rows of `c` copying the factors does not pay.
const FEW_STRIPS: usize = 4;

/// Instruction sets that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// All that this machine can run, the best last.
    pub(super) fn available() -> impl DoubleEndedIterator<Item = Isa> {
        let all = [
            Some(Isa::Portable),
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
                .then_some(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx512f").then_some(Isa::Avx512),
        ];
        all.into_iter().flatten()
    }

    pub(super) fn best() -> Isa {
        Isa::available().next_back().unwrap_or(Isa::Portable)
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// Room for what is copied of factors.
struct Scratch {
    /// Packed panels, the tiles of `c` that are narrower than a panel, and packed strips.
    numbers: Buffer<Real>,
    nonzeros: Nonzeros,
}

impl Scratch {
    fn new() -> Self {
        let strips = (MOST_ROWS + MOST_STRIP) * INNER_BLOCK;
        let size = (PANELS * INNER_BLOCK + MOST_ROWS) * MOST_COLUMNS + strips;
        Scratch { numbers: Buffer::unspecified(size), nonzeros: Nonzeros::with_room(ROOM) }
    }
}

/// Widest panel of any instruction set, in numbers.
const MOST_COLUMNS: usize = 192 / size_of::<Real>();

/// Most rows of `c` in one call: with [`INNER_BLOCK`], strips that stay in the second-level cache.
pub(super) const MOST_ROWS: usize = 512;

/// At least the rows of a strip of any instruction set.
const MOST_STRIP: usize = 8;

/// Panels that are computed together: with the strips, less than a megabyte, which second-level caches hold.
const PANELS: usize = 6;

/// What the sums of a product begin with.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// 0.
    Zero,
    /// What there is.
    Present,
    /// The same numbers in every row, one for each column.
    Row(&'a [Real]),
}

/// `c = start + a b`, and what follows.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) a: Mat<'a>,
    pub(super) b: Mat<'a>,
    pub(super) start: Start<'a>,
    /// Called with parts of rows that are done: the row, the first column, and the numbers.
    pub(super) after: Option<RowFn<'a>>,
    /// Factors of the product that this thread is likely to compute next, which they are brought near for.
    pub(super) following: Option<(Mat<'a>, Mat<'a>)>,
    /// Whether the result may go to memory past the caches, which it is too large for.
    pub(super) stream: bool,
    pub(super) zeros: Zeros,
}

/// Computes a product into `c`, row-major and contiguous.
///
/// # Panics
/// If the shapes do not agree with each other or with the slices, or `c` has more than [`MOST_ROWS`] rows.
pub(super) fn product(isa: Isa, product: Product<'_>, c: &mut [Real]) {
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
    // A matrix that stands transposed times a column is a row times a matrix that does not, which is read along its rows.
    let is_plain = product.after.is_none() && !matches!(product.start, Start::Row(_));
    let product = match b.cols == 1 && a.row_stride == 1 && is_plain {
        true => Product { a: b.t(), b: a.t(), following: None, ..product },
        false => product,
    };
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = scratch.get_or_insert_with(Scratch::new);
        // SAFETY: the shapes have been checked; an `Isa` other than `Portable` comes from `available`, which asked
        // the processor.
        unsafe {
            match isa {
                Isa::Portable => computed::<Portable, 4, PORTABLE_VECTORS, 4>(product, c, scratch),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => product_avx2(product, c, scratch),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => product_avx512(product, c, scratch),
            }
        }
    });
}

/// Registers of a row of a tile, and so of a panel.
const PORTABLE_VECTORS: usize = 2;
#[cfg(target_arch = "x86_64")]
const AVX2_VECTORS: usize = 2;
#[cfg(target_arch = "x86_64")]
const AVX512_VECTORS: usize = 3;

/// Copies a row-major `b` in the order in which the kernel of an instruction set reads it, if its columns fill registers:
/// whether they do.
///
/// # Panics
/// If `to` has another length.
pub(super) fn in_panels(isa: Isa, b: Mat<'_>, to: &mut [Real]) -> bool {
    match isa {
        Isa::Portable => panels_of::<Portable, PORTABLE_VECTORS>(b, to),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => panels_of::<x86::Avx2, AVX2_VECTORS>(b, to),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => panels_of::<x86::Avx512, AVX512_VECTORS>(b, to),
    }
}

/// A product by its numbers that are not zero if that suits it, or with tiles of `ROWS` rows and `VECTORS` registers.
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
            panels::<L, ROWS, VECTORS, WIDE>(product, c, &mut scratch.numbers);
        }
    }
}

/// Elements of `b` beyond which matrixmultiply computes a product that there is no kernel of ours for: it has some for
/// other processors.
const LARGE: usize = 1 << 18;

#[cfg(not(feature = "f64"))]
use matrixmultiply::sgemm as gemm_of_large;

#[cfg(feature = "f64")]
use matrixmultiply::dgemm as gemm_of_large;

/// [`product`] after its checks, for factors of any size.
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
    unsafe { computed::<x86::Avx2, 6, AVX2_VECTORS, 12>(product, c, scratch) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn product_avx512(product: Product<'_>, c: &mut [Real], scratch: &mut Scratch) {
    // SAFETY: as in `product`; the instruction set is enabled here.
    unsafe { computed::<x86::Avx512, 8, AVX512_VECTORS, 16>(product, c, scratch) }
}

/// Asks for the line of the caches with the number at `index`, which may be beyond the end: nothing changes but the time.
#[inline(always)]
pub fn prefetch(values: &[Real], index: usize) {
    lanes::prefetch(values.as_ptr().wrapping_add(index));
}

/// Plain loops for [`wide`]. A trait, because a closure is not always compiled into its caller.
pub trait Loops {
    /// What they find.
    type Output;

    /// Runs them. To be marked `#[inline(always)]`, also every function that it calls: otherwise nothing is gained.
    fn run(self) -> Self::Output;
}

/// Runs loops compiled for wider registers than every machine of the target has, where this one has them. The numbers
/// are the same: nothing is fused or put in another order.
///
/// ```
/// use moe_core::kernel::{Loops, wide};
///
/// struct Halve<'a>(&'a mut [f32]);
/// impl Loops for Halve<'_> {
///     type Output = ();
///     #[inline(always)]
///     fn run(self) {
///         self.0.iter_mut().for_each(|value| *value *= 0.5);
///     }
/// }
/// let mut values = [1.0, 3.0];
/// wide(Halve(&mut values));
/// assert_eq!(values, [0.5, 1.5]);
/// ```
#[inline]
pub fn wide<L: Loops>(loops: L) -> L::Output {
    wide_on(Isa::best(), loops)
}

/// [`wide`] for an instruction set of this machine.
#[inline]
pub(super) fn wide_on<L: Loops>(isa: Isa, loops: L) -> L::Output {
    match isa {
        Isa::Portable => loops.run(),
        // SAFETY: an `Isa` other than `Portable` comes from `available`, which asked the processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { wide_avx2(loops) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { wide_avx512(loops) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn wide_avx2<L: Loops>(loops: L) -> L::Output {
    loops.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide_avx512<L: Loops>(loops: L) -> L::Output {
    loops.run()
}
