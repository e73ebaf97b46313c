//! ChaCha8 streams.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::purpose::hash_purpose;

/// A ChaCha8 generator for `purpose` under `seed`. `index` distinguishes repeated uses (epochs, tasks).
pub fn chacha(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash_purpose(purpose) ^ index);
    rng
}

/// The numbers `0..n` in random order, drawn from [`chacha`] of `seed`, `purpose` and `index`.
pub fn permutation(n: usize, seed: u64, purpose: &str, index: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(n).expect("at most 2^32 rows")).collect();
    order.shuffle(&mut chacha(seed, purpose, index));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        assert_eq!(permutation(8, 1, "shuffle", 0), [6, 5, 1, 0, 3, 2, 4, 7]);
        assert_eq!(permutation(8, 1, "shuffle", 1), [7, 4, 3, 2, 5, 0, 1, 6]);
    }
}
