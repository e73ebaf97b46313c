//! Plain loops compiled for each instruction set.

use crate::kernel::isa::Isa;
use crate::real::Real;

use super::lanes;

/// Prefetches the cache line holding `values[index]`. The index may be beyond the end: only the time depends on it.
#[inline(always)]
pub fn prefetch(values: &[Real], index: usize) {
    lanes::prefetch(values.as_ptr().wrapping_add(index));
}

/// Plain loops for [`wide`]. It is a trait because the compiler does not always inline a closure into its caller.
pub trait Loops {
    /// The result of the loops.
    type Output;

    /// Runs the loops. Mark it and every function that it calls `#[inline(always)]`: otherwise nothing is gained.
    fn run(self) -> Self::Output;
}

/// Runs loops compiled for the widest registers of this machine, also where the target as a whole does not promise them. The
/// results have the same bits: no operation is fused or reordered.
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
pub(crate) fn wide_on<L: Loops>(isa: Isa, loops: L) -> L::Output {
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
