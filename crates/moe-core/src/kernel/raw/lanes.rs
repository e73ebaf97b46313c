//! Vector registers: the interface that the kernels are written against, and its portable form. `x86.rs` has the others.

use crate::real::Real;

use crate::kernel::geometry::SQUARE;

/// The vector registers of an instruction set.
pub(super) trait Lanes {
    type Vector: Copy;
    const WIDTH: usize;
    /// Steps of the inner dimension between two branches of a tile.
    const UNROLLED: usize;

    fn zero() -> Self::Vector;
    fn splat(value: Real) -> Self::Vector;
    fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// # Safety
    /// `from` is valid for reading `WIDTH` numbers.
    unsafe fn load(from: *const Real) -> Self::Vector;
    /// # Safety
    /// `to` is valid for writing `WIDTH` numbers.
    unsafe fn store(to: *mut Real, vector: Self::Vector);

    /// Writes the transpose of a [`SQUARE`] row by row: with a stride below [`SQUARE`] each row overwrites the end of the row
    /// before it.
    ///
    /// # Safety
    /// The instruction set is enabled in the caller; `from` is valid for reading, and `to` for writing, `SQUARE` numbers
    /// from each of `SQUARE` multiples of its stride.
    #[inline(always)]
    unsafe fn transpose(from: *const Real, from_stride: usize, to: *mut Real, to_stride: usize) {
        for row in 0..SQUARE {
            for col in 0..SQUARE {
                // SAFETY: the caller vouches for both.
                unsafe { *to.add(row * to_stride + col) = *from.add(col * from_stride + row) };
            }
        }
    }

    /// Copies the non-zeros among [`SQUARE`] numbers without gaps, and their positions, counted from `place`. Returns their
    /// number.
    ///
    /// # Safety
    /// The instruction set is enabled in the caller; `from` is valid for reading, and `values` and `places` for writing,
    /// `SQUARE` numbers: what is written behind the non-zeros is unspecified.
    #[inline(always)]
    unsafe fn compress(from: *const Real, place: u32, values: *mut Real, places: *mut u32) -> u32 {
        let mut count = 0;
        for i in 0..SQUARE {
            // SAFETY: the caller vouches for all; `count` is no more than `i`.
            unsafe {
                let value = *from.add(i);
                *values.add(count) = value;
                *places.add(count) = place + i as u32;
                count += usize::from(value != 0.0);
            }
        }
        count as u32
    }
}

/// Prefetches a cache line into the second-level cache. The address need not be valid.
#[inline(always)]
pub(super) fn prefetch(_at: *const Real) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every processor of this architecture has the instruction, a hint that reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(_at.cast());
    }
}

/// [`prefetch`] into the first-level cache, for lines that are read or written soon.
#[inline(always)]
pub(super) fn prefetch_nearest(_at: *const Real) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as for `prefetch`.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(_at.cast());
    }
}

/// Four numbers that the compiler puts into whatever registers there are.
pub(super) struct Portable;

impl Lanes for Portable {
    type Vector = [Real; 4];
    const WIDTH: usize = 4;
    const UNROLLED: usize = 1;

    #[inline(always)]
    fn zero() -> [Real; 4] {
        [0.0; 4]
    }

    #[inline(always)]
    fn splat(value: Real) -> [Real; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn multiply_add(a: [Real; 4], b: [Real; 4], c: [Real; 4]) -> [Real; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn load(from: *const Real) -> [Real; 4] {
        // SAFETY: the caller vouches for four numbers; an array is aligned as its element.
        unsafe { from.cast::<[Real; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut Real, vector: [Real; 4]) {
        // SAFETY: as for `load`.
        unsafe { to.cast::<[Real; 4]>().write(vector) }
    }
}
