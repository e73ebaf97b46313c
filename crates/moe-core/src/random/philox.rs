use crate::real::Real;

use super::purpose::hash_purpose;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A keyed Philox 4x32-10 function (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011).
///
/// A key comes from a seed, a purpose and a step; a counter then gives four uniform 32-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// The function for `purpose` at `step` under `seed`.
    ///
    /// The key is the first half of the Philox block with key `seed` and counter
    /// (FNV-1a of `purpose`, `step`), low words first.
    pub fn new(seed: u64, purpose: &str, step: u64) -> Self {
        let purpose = hash_purpose(purpose);
        let counter = [purpose as u32, (purpose >> 32) as u32, step as u32, (step >> 32) as u32];
        let seeded = Philox { key: [seed as u32, (seed >> 32) as u32] };
        let [low, high, ..] = seeded.block(counter);
        Philox { key: [low, high] }
    }

    /// Four uniform integers for a counter.
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let [x0, x1, x2, x3] = counter.map(|word| [word]);
        let [[a], [b], [c], [d]] = self.lanes([x0, x1, x2, x3]);
        [a, b, c, d]
    }

    /// Four uniform integers for `row` (a data row's id) and two further words (expert and draw number, say).
    pub fn row_block(&self, row: u64, second: u32, third: u32) -> [u32; 4] {
        self.block([row as u32, (row >> 32) as u32, second, third])
    }

    /// `L` blocks at once, word by word. Each word is held in 64 bits, of which the lower half counts, and the loops are
    /// plain, so that the compiler can use vector registers and their products of 32 bits by 32.
    #[inline(always)]
    pub(super) fn lanes<const L: usize>(&self, counter: [[u32; L]; 4]) -> [[u32; L]; 4] {
        const LOWER: u64 = u32::MAX as u64;
        let mut x = [[0; L]; 4];
        for word in 0..4 {
            for l in 0..L {
                x[word][l] = u64::from(counter[word][l]);
            }
        }
        let [mut k0, mut k1] = self.key;
        for _ in 0..ROUNDS {
            for l in 0..L {
                let p0 = (x[0][l] & LOWER) * u64::from(MULTIPLIER[0]);
                let p1 = (x[2][l] & LOWER) * u64::from(MULTIPLIER[1]);
                x[0][l] = (p1 >> 32) ^ x[1][l] ^ u64::from(k0);
                x[2][l] = (p0 >> 32) ^ x[3][l] ^ u64::from(k1);
                x[1][l] = p1;
                x[3][l] = p0;
            }
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        let mut words = [[0; L]; 4];
        for word in 0..4 {
            for l in 0..L {
                words[word][l] = x[word][l] as u32;
            }
        }
        words
    }
}

/// A uniform number in [0, 1) from the upper 24 bits of `word`: exact, and the same in both precisions.
#[inline(always)]
pub fn unit(word: u32) -> Real {
    (word >> 8) as Real * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three known answers that the authors distribute with Random123 (`kat_vectors`).
    #[test]
    fn known_answers() {
        let all = |word: u32| Philox { key: [word, word] }.block([word, word, word, word]);
        assert_eq!(all(0), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(all(!0), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = Philox { key: [0xa4093822, 0x299f31d0] };
        assert_eq!(
            pi.block([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn value_stability() {
        let words = Philox::new(7, "dropout", 3).row_block(11, 5, 0);
        assert_eq!(words, [3035618017, 468571779, 1628495369, 230632346]);
    }

    #[test]
    fn units_are_below_one_and_cover_the_range() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u32::MAX) < 1.0);
        assert_eq!(unit(1 << 31), 0.5);
    }

    #[test]
    fn lanes_equal_single_blocks() {
        let philox = Philox::new(1, "lanes", 2);
        let counters: [[u32; 5]; 4] =
            std::array::from_fn(|w| std::array::from_fn(|l| (w * 31 + l * 7) as u32));
        let together = philox.lanes(counters);
        for l in 0..5 {
            let alone = philox.block(std::array::from_fn(|w| counters[w][l]));
            assert_eq!(alone, std::array::from_fn(|w| together[w][l]));
        }
    }
}
