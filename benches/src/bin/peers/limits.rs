//! What the machine can do at most: multiply-adds from registers, and numbers from memory.

use std::hint::black_box;
use std::time::Instant;

use moe_core::kernel::{Loops, instruction_set, wide};

/// Chains side by side: enough to hide the latency of two multiply-adds a cycle, few enough for the registers.
fn chains() -> usize {
    if instruction_set() == "avx512" { MOST_CHAINS } else { MOST_CHAINS / 2 }
}

const MOST_CHAINS: usize = 192;

/// Length of the chains: long beside the time that it takes to wake a thread.
const LENGTH: usize = 100_000;

/// What all threads of the pool can do now: the best of a few times.
pub(crate) fn flops_per_second() -> f64 {
    const CALLS: usize = 6;
    let flops = (rayon::current_num_threads() * 2 * chains() * LENGTH) as f64;
    let once = || {
        let start = Instant::now();
        multiply_adds();
        flops / start.elapsed().as_secs_f64()
    };
    (0..CALLS).map(|_| once()).fold(0.0, f64::max)
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

/// All chains on every thread of the pool.
fn multiply_adds() {
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
