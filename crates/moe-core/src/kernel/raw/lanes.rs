//! Vector registers of the instruction sets that there are kernels for.

use crate::real::Real;

/// Rows and columns of a square that is transposed at once.
pub(super) const SQUARE: usize = 8;

/// A vector register of numbers.
pub(super) trait Lanes {
    type Vector: Copy;
    const WIDTH: usize;
    /// Steps of the inner dimension that a tile takes between two branches.
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

    /// Stores past the caches, where that is possible.
    ///
    /// # Safety
    /// `to` is valid for writing `WIDTH` numbers and aligned to the size of a register; [`end_stream`] is called
    /// before anything else reads them.
    #[inline(always)]
    unsafe fn stream(to: *mut Real, vector: Self::Vector) {
        // SAFETY: the caller vouches for more.
        unsafe { Self::store(to, vector) }
    }

    /// Writes the transpose of a [`SQUARE`], one row after the other: with a stride below [`SQUARE`] each row covers the end
    /// of the one before.
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

    /// Copies those of [`SQUARE`] numbers that are not zero, one after the other, and where they stand, the first of them at
    /// `place`. Returns how many.
    ///
    /// # Safety
    /// The instruction set is enabled in the caller; `from` is valid for reading, and `values` and `places` for writing,
    /// `SQUARE` numbers: what is written after those that are not zero is of unspecified value.
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

/// Waits until what [`Lanes::stream`] has written has arrived.
pub(super) fn end_stream() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every processor of this architecture has the instruction.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Asks for a line of the caches; the address need not be valid.
#[inline(always)]
pub(super) fn prefetch(_at: *const Real) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every processor of this architecture has the instruction, a hint that reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(_at.cast());
    }
}

/// [`prefetch`] into the nearest cache, of what is read or written soon.
#[inline(always)]
pub(super) fn prefetch_nearest(_at: *const Real) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as for `prefetch`.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(_at.cast());
    }
}

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

/// The vector types of x86-64. Their arithmetic is used only inside functions that enable the instruction set.
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {

    #[cfg(not(feature = "f64"))]
    use super::SQUARE;
    use super::{Lanes, Real};

    #[cfg(not(feature = "f64"))]
    mod names {
        pub(super) use std::arch::x86_64::{
            __m256 as V256, __m512 as V512, _mm256_fmadd_ps as fma256, _mm256_loadu_ps as load256,
            _mm256_set1_ps as splat256, _mm256_setzero_ps as zero256, _mm256_storeu_ps as store256,
            _mm256_stream_ps as stream256, _mm512_fmadd_ps as fma512, _mm512_loadu_ps as load512,
            _mm512_set1_ps as splat512, _mm512_setzero_ps as zero512, _mm512_storeu_ps as store512,
            _mm512_stream_ps as stream512,
        };
    }

    #[cfg(feature = "f64")]
    mod names {
        pub(super) use std::arch::x86_64::{
            __m256d as V256, __m512d as V512, _mm256_fmadd_pd as fma256,
            _mm256_loadu_pd as load256, _mm256_set1_pd as splat256, _mm256_setzero_pd as zero256,
            _mm256_storeu_pd as store256, _mm256_stream_pd as stream256, _mm512_fmadd_pd as fma512,
            _mm512_loadu_pd as load512, _mm512_set1_pd as splat512, _mm512_setzero_pd as zero512,
            _mm512_storeu_pd as store512, _mm512_stream_pd as stream512,
        };
    }

    use names::*;

    /// The transpose of eight registers of eight numbers: pairs, then fours, then halves change places.
    ///
    /// # Safety
    /// As [`Lanes::transpose`], with AVX2.
    #[cfg(not(feature = "f64"))]
    #[inline(always)]
    unsafe fn transpose256(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        use std::arch::x86_64::{
            _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        };
        // SAFETY: the caller vouches for the addresses and the instruction set.
        unsafe {
            let r: [V256; 8] = std::array::from_fn(|i| load256(from.add(i * from_stride)));
            let pairs: [V256; 8] = std::array::from_fn(|i| {
                let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
                if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
            });
            let fours: [V256; 8] = std::array::from_fn(|i| {
                let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
                match i % 2 {
                    0 => _mm256_shuffle_ps::<0b01_00_01_00>(a, b),
                    _ => _mm256_shuffle_ps::<0b11_10_11_10>(a, b),
                }
            });
            for i in 0..8 {
                let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
                let row = match i / 4 {
                    0 => _mm256_permute2f128_ps::<0x20>(a, b),
                    _ => _mm256_permute2f128_ps::<0x31>(a, b),
                };
                store256(to.add(i * to_stride), row);
            }
        }
    }

    /// For each mask of eight bits where those that are set stand, a byte each.
    #[cfg(not(feature = "f64"))]
    static PLACES: [[u8; SQUARE]; 1 << SQUARE] = {
        let mut places = [[0; SQUARE]; 1 << SQUARE];
        let mut mask = 0;
        while mask < places.len() {
            let (mut bit, mut count) = (0, 0);
            while bit < SQUARE {
                if mask >> bit & 1 == 1 {
                    places[mask][count] = bit as u8;
                    count += 1;
                }
                bit += 1;
            }
            mask += 1;
        }
        places
    };

    /// # Safety
    /// As [`Lanes::compress`], with AVX2.
    #[cfg(not(feature = "f64"))]
    #[inline(always)]
    unsafe fn compress256(from: *const f32, place: u32, values: *mut f32, places: *mut u32) -> u32 {
        use std::arch::x86_64::{
            _CMP_NEQ_UQ, _mm_loadl_epi64, _mm256_add_epi32, _mm256_cmp_ps, _mm256_cvtepu8_epi32,
            _mm256_movemask_ps, _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_storeu_si256,
        };
        // SAFETY: the caller vouches for the addresses and the instruction set.
        unsafe {
            let eight = load256(from);
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(eight, zero256())) as u8;
            let at = _mm_loadl_epi64((&raw const PLACES[usize::from(mask)]).cast());
            let at = _mm256_cvtepu8_epi32(at);
            store256(values, _mm256_permutevar8x32_ps(eight, at));
            let at = _mm256_add_epi32(at, _mm256_set1_epi32(place as i32));
            _mm256_storeu_si256(places.cast(), at);
            mask.count_ones()
        }
    }

    pub(in super::super) struct Avx2;
    pub(in super::super) struct Avx512;

    impl Lanes for Avx2 {
        type Vector = V256;
        const WIDTH: usize = 32 / size_of::<Real>();
        const UNROLLED: usize = 4;

        #[inline(always)]
        fn zero() -> V256 {
            // SAFETY: only called below a function that enables AVX2 and FMA; the same for all functions here.
            unsafe { zero256() }
        }
        #[inline(always)]
        fn splat(value: Real) -> V256 {
            // SAFETY: see `zero`.
            unsafe { splat256(value) }
        }
        #[inline(always)]
        fn multiply_add(a: V256, b: V256, c: V256) -> V256 {
            // SAFETY: see `zero`.
            unsafe { fma256(a, b, c) }
        }
        #[inline(always)]
        unsafe fn load(from: *const Real) -> V256 {
            // SAFETY: see `zero`; the caller vouches for the numbers.
            unsafe { load256(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Real, vector: V256) {
            // SAFETY: see `zero`; the caller vouches for the numbers.
            unsafe { store256(to, vector) }
        }
        #[inline(always)]
        unsafe fn stream(to: *mut Real, vector: V256) {
            // SAFETY: see `zero`; the caller vouches for the numbers and the alignment.
            unsafe { stream256(to, vector) }
        }
        #[cfg(not(feature = "f64"))]
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
            // SAFETY: the caller vouches for all.
            unsafe { transpose256(from, from_stride, to, to_stride) }
        }
        #[cfg(not(feature = "f64"))]
        #[inline(always)]
        unsafe fn compress(from: *const f32, at: u32, values: *mut f32, places: *mut u32) -> u32 {
            // SAFETY: the caller vouches for all.
            unsafe { compress256(from, at, values, places) }
        }
    }

    impl Lanes for Avx512 {
        type Vector = V512;
        const WIDTH: usize = 64 / size_of::<Real>();
        const UNROLLED: usize = 1;

        #[inline(always)]
        fn zero() -> V512 {
            // SAFETY: only called below a function that enables AVX-512; the same for all functions here.
            unsafe { zero512() }
        }
        #[inline(always)]
        fn splat(value: Real) -> V512 {
            // SAFETY: see `zero`.
            unsafe { splat512(value) }
        }
        #[inline(always)]
        fn multiply_add(a: V512, b: V512, c: V512) -> V512 {
            // SAFETY: see `zero`.
            unsafe { fma512(a, b, c) }
        }
        #[inline(always)]
        unsafe fn load(from: *const Real) -> V512 {
            // SAFETY: see `zero`; the caller vouches for the numbers.
            unsafe { load512(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Real, vector: V512) {
            // SAFETY: see `zero`; the caller vouches for the numbers.
            unsafe { store512(to, vector) }
        }
        #[inline(always)]
        unsafe fn stream(to: *mut Real, vector: V512) {
            // SAFETY: see `zero`; the caller vouches for the numbers and the alignment.
            unsafe { stream512(to, vector) }
        }
        #[cfg(not(feature = "f64"))]
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
            // SAFETY: the caller vouches for all.
            unsafe { transpose256(from, from_stride, to, to_stride) }
        }
        #[cfg(not(feature = "f64"))]
        #[inline(always)]
        unsafe fn compress(from: *const f32, at: u32, values: *mut f32, places: *mut u32) -> u32 {
            // SAFETY: the caller vouches for all.
            unsafe { compress256(from, at, values, places) }
        }
    }
}
