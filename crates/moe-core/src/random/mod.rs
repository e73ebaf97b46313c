//! The two random generators of the workspace.
//!
//! * [`Philox`]: counter-based, for draws that belong to a row or an element (router sampling, noise,
//!   dropout). A draw is a function of (seed, purpose, step) and of a counter that names the row and
//!   the expert, never of a batch position, slot or thread: any batching sees the same draws.
//! * [`chacha`]: ChaCha8 for shuffles, splits and initialisation, one named stream each.
//!
//! Their values are part of the crate's behaviour; `value_stability` tests pin them.

mod dropout_mask;
mod initial;
mod normal;
mod philox;

pub(crate) use dropout_mask::rectify_columns;
pub use dropout_mask::{DrawRows, DropoutDraws, keep_mask};
pub use initial::{glorot_uniform, uniform};
pub use normal::{normal_quantile, standard_normals};
pub use philox::{Philox, unit};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A ChaCha8 generator for `purpose` under `seed`; `index` tells apart repeated uses (epochs, tasks).
pub fn chacha(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash_purpose(purpose) ^ index);
    rng
}

/// The numbers `0..n` in the random order of ([`chacha`]) `seed`, `purpose` and `index`.
pub fn permutation(n: usize, seed: u64, purpose: &str, index: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(n).expect("at most 2^32 rows")).collect();
    order.shuffle(&mut chacha(seed, purpose, index));
    order
}

/// 64-bit FNV-1a.
fn hash_purpose(purpose: &str) -> u64 {
    purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        assert_eq!(hash_purpose("dropout"), 0xa13b_29c6_0c02_b510);
        assert_eq!(permutation(8, 1, "shuffle", 0), [6, 5, 1, 0, 3, 2, 4, 7]);
        assert_eq!(permutation(8, 1, "shuffle", 1), [7, 4, 3, 2, 5, 0, 1, 6]);
    }
}
