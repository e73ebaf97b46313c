//! What the machine can do at most: multiply-adds from registers, and numbers from memory.

use std::hint::black_box;

use moe_core::kernel::{Loops, instruction_set, wide};

/// Chains side by side: enough to hide the latency of two multiply-adds a cycle, few enough for the registers.
fn chains() -> usize {
    if instruction_set() == "avx512" { MOST_CHAINS } else { MOST_CHAINS / 2 }
}

const MOST_CHAINS: usize = 192;

/// Length of the chains.
const LENGTH: usize = 20_000;

/// Operations of [`multiply_adds`] on one thread.
pub(crate) fn flops() -> f64 {
    (2 * chains() * LENGTH) as f64
}

struct MultiplyAdds<const CHAINS: usize> {
    factor: f32,
    term: f32,
}

impl<const CHAINS: usize> Loops for MultiplyAdds<CHAINS> {
    type Output = [f32; CHAINS];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut values = [self.term; CHAINS];
        for _ in 0..LENGTH {
            for value in &mut values {
                *value = self.factor.mul_add(*value, self.term);
            }
        }
        values
    }
}

/// [`flops`] operations on every thread of the pool.
pub(crate) fn multiply_adds() {
    rayon::broadcast(|_| {
        let (factor, term) = (black_box(0.5), black_box(1.0));
        match chains() {
            MOST_CHAINS => drop(black_box(wide(MultiplyAdds::<MOST_CHAINS> { factor, term }))),
            _ => drop(black_box(wide(MultiplyAdds::<{ MOST_CHAINS / 2 }> { factor, term }))),
        }
    });
}

/// Three arrays that no cache holds, in a part for each thread.
pub(crate) struct Arrays {
    parts: Vec<[Vec<f32>; 3]>,
}

/// Numbers of an array of a thread.
const ELEMENTS: usize = 16 << 20;

impl Arrays {
    pub(crate) fn new(threads: usize) -> Self {
        let parts = (0..threads).map(|_| [1.0, 2.0, 3.0].map(|value| vec![value; ELEMENTS]));
        Arrays { parts: parts.collect() }
    }

    /// Bytes that [`Arrays::triad`] reads and writes.
    pub(crate) fn bytes(&self) -> f64 {
        (self.parts.len() * 3 * ELEMENTS * size_of::<f32>()) as f64
    }

    /// `a = b + 0.5 c`.
    pub(crate) fn triad(&mut self) {
        let mut parts = self.parts.iter_mut();
        rayon::scope(|scope| {
            parts.by_ref().for_each(|[a, b, c]| {
                scope.spawn(|_| {
                    for ((a, b), c) in a.iter_mut().zip(&*b).zip(&*c) {
                        *a = b + 0.5 * c;
                    }
                });
            });
        });
    }
}
