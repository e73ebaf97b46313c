//! The vector registers of x86-64. Their arithmetic is used only inside functions that enable the instruction set.

use crate::real::Real;

use super::lanes::Lanes;
use crate::kernel::geometry::AVX2_UNROLLED;
#[cfg(not(feature = "f64"))]
use crate::kernel::geometry::SQUARE;

#[cfg(not(feature = "f64"))]
mod names {
    pub(super) use std::arch::x86_64::{
        __m256 as V256, __m512 as V512, _mm256_fmadd_ps as fma256, _mm256_loadu_ps as load256,
        _mm256_set1_ps as splat256, _mm256_setzero_ps as zero256, _mm256_storeu_ps as store256,
        _mm512_fmadd_ps as fma512, _mm512_loadu_ps as load512, _mm512_set1_ps as splat512,
        _mm512_setzero_ps as zero512, _mm512_storeu_ps as store512,
    };
}

#[cfg(feature = "f64")]
mod names {
    pub(super) use std::arch::x86_64::{
        __m256d as V256, __m512d as V512, _mm256_fmadd_pd as fma256, _mm256_loadu_pd as load256,
        _mm256_set1_pd as splat256, _mm256_setzero_pd as zero256, _mm256_storeu_pd as store256,
        _mm512_fmadd_pd as fma512, _mm512_loadu_pd as load512, _mm512_set1_pd as splat512,
        _mm512_setzero_pd as zero512, _mm512_storeu_pd as store512,
    };
}

use names::*;

/// Implements [`Lanes`] for a register type by the intrinsics of its instruction set.
macro_rules! lanes {
    (
        $(#[$doc:meta])*
        $name:ident, $vector:ty, $bytes:literal, $unrolled:expr,
        $zero:ident, $splat:ident, $multiply_add:ident, $load:ident, $store:ident
    ) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Lanes for $name {
            type Vector = $vector;
            const WIDTH: usize = $bytes / size_of::<Real>();
            const UNROLLED: usize = $unrolled;

            #[inline(always)]
            fn zero() -> $vector {
                // SAFETY: called only below a function that enables the instruction set; the same for all functions here.
                unsafe { $zero() }
            }
            #[inline(always)]
            fn splat(value: Real) -> $vector {
                // SAFETY: see `zero`.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            fn multiply_add(a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: see `zero`.
                unsafe { $multiply_add(a, b, c) }
            }
            #[inline(always)]
            unsafe fn load(from: *const Real) -> $vector {
                // SAFETY: see `zero`; the caller vouches for the numbers.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut Real, vector: $vector) {
                // SAFETY: see `zero`; the caller vouches for the numbers.
                unsafe { $store(to, vector) }
            }
            #[cfg(not(feature = "f64"))]
            #[inline(always)]
            unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
                // SAFETY: the caller vouches for all; AVX-512 includes AVX2.
                unsafe { transpose256(from, from_stride, to, to_stride) }
            }
            #[cfg(not(feature = "f64"))]
            #[inline(always)]
            unsafe fn compress(from: *const f32, at: u32, values: *mut f32, places: *mut u32) -> u32 {
                // SAFETY: the caller vouches for all; AVX-512 includes AVX2.
                unsafe { compress256(from, at, values, places) }
            }
        }
    };
}

lanes!(
    /// Registers of 32 bytes, with AVX2 and FMA.
    Avx2, V256, 32, AVX2_UNROLLED, zero256, splat256, fma256, load256, store256
);
lanes!(
    /// Registers of 64 bytes, with AVX-512.
    Avx512, V512, 64, 1, zero512, splat512, fma512, load512, store512
);

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

/// The positions of the set bits of each mask of eight bits, a byte each.
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

/// Compares all eight numbers with zero at once and looks up the positions of the others.
///
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
