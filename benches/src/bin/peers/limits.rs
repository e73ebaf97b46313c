//! Limits of the machine: multiply-adds from registers, and memory bandwidth.

use std::hint::black_box;
use std::time::Instant;

use moe_core::kernel::{Loops, instruction_set, wide};

/// Number of independent chains: enough to hide the latency of two multiply-adds a cycle, few enough for the registers.
fn chains() -> usize {
    if instruction_set() == "avx512" { MOST_CHAINS } else { MOST_CHAINS / 2 }
}

const MOST_CHAINS: usize = 192;

/// Shortest length of the chains: a millisecond or more, long compared with the time to wake a thread.
const LEAST_LENGTH: usize = 400_000;

/// Shortest time in seconds in which all threads of the pool can do `flops` operations at this moment.
///
/// The operations are carried out (and repeated if they are few), so that other work on the machine slows them as it
/// slows a layer of the same size.
pub(crate) fn seconds(flops: f64) -> f64 {
    let flops_of_step = (rayon::current_num_threads() * 2 * chains()) as f64;
    let length = ((flops / flops_of_step) as usize).max(LEAST_LENGTH);
    let start = Instant::now();
    multiply_adds(length);
    start.elapsed().as_secs_f64() * flops / (length as f64 * flops_of_step)
}

struct MultiplyAdds<const CHAINS: usize> {
    factor: f32,
    term: f32,
    length: usize,
}

impl<const CHAINS: usize> Loops for MultiplyAdds<CHAINS> {
    type Output = [f32; CHAINS];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut values = [self.term; CHAINS];
        for _ in 0..self.length {
            for value in &mut values {
                *value = self.factor.mul_add(*value, self.term);
            }
        }
        values
    }
}

/// All chains on every thread of the pool.
fn multiply_adds(length: usize) {
    rayon::broadcast(|_| {
        let (factor, term) = (black_box(0.5), black_box(1.0));
        if chains() == MOST_CHAINS {
            black_box(wide(MultiplyAdds::<MOST_CHAINS> { factor, term, length }));
        } else {
            black_box(wide(MultiplyAdds::<{ MOST_CHAINS / 2 }> { factor, term, length }));
        }
    });
}

/// Three arrays per thread, too large for the caches.
pub(crate) struct Arrays {
    parts: Vec<[Vec<f32>; 3]>,
}

/// Elements of each array.
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
