//! Two overlaid pictures in one, a task for each: MultiMNIST (Sabour, Frosst and Hinton, "Dynamic routing between
//! capsules", 2017; with two tasks as in Sener and Koltun, "Multi-task learning as multi-objective optimization", 2018).
//!
//! The *left* picture lies at the canvas's top left corner, moved down by `a` and right by `b`; the *right* one at the
//! bottom right corner, moved up by `c` and left by `d`; each of a, b, c, d is from 0 to the shift. A pixel is the larger
//! one of the two pictures' pixels.
//!
//! Train pairs are made of pictures of the train split under the same seed, validation pairs of the validation split, test
//! pairs of the test split, so no source picture occurs in two splits. The two pictures of a pair are drawn independently,
//! with replacement; they may be of the same class.
//!
//! Row j of split p (train 0, validation 1, test 2) takes the four words of the Philox block with the set's id as purpose,
//! step p and counter (j, 0, 0): word 0 times the number of sources, divided by 2^32, is the left source, word 1 likewise
//! the right one; the lowest four digits of word 2 to the base shift + 1 are a, b, c, d, the lowest first. Therefore a row
//! does not depend on the number of rows. Row ids count through train, validation and test.

use moe_core::random::Philox;

use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::error::DataError;
use crate::pictures::pictures::{Pictures, table};

/// How pictures are overlaid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlay {
    /// The set's id, and purpose of its draws.
    pub(crate) id: &'static str,
    /// Height and width of a source picture.
    pub(crate) side: usize,
    /// Height and width of the canvas.
    pub(crate) canvas: usize,
    /// The most pixels by which a picture is moved.
    pub(crate) shift: usize,
}

impl Overlay {
    /// A data set of overlaid pairs: `rows` pairs of pictures of each split of `sources`.
    pub(crate) fn dataset(
        &self,
        sources: &Pictures,
        rows: [usize; 3],
        seed: u64,
    ) -> Result<Dataset, DataError> {
        let total: usize = rows.iter().sum();
        let width = self.canvas * self.canvas;
        let mut canvases = vec![0; total * width];
        let (mut left, mut right) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let mut canvas = canvases.chunks_exact_mut(width);
        for (split, (pool, &rows)) in sources.splits.iter().zip(&rows).enumerate() {
            if pool.is_empty() {
                let split = ["train", "val", "test"][split];
                let rows = sources.labels.len();
                return Err(DataError::EmptySplit { dataset: self.id, split, rows });
            }
            let philox = Philox::new(seed, self.id, split as u64);
            for (row, canvas) in (0..rows as u64).zip(&mut canvas) {
                let pair = self.draw(&philox, row, pool);
                self.paint(&pair, &sources.pixels, canvas);
                left.push(sources.labels[pair.left as usize]);
                right.push(sources.labels[pair.right as usize]);
            }
        }
        let tasks = [("left", left), ("right", right)];
        let table = table([1, self.canvas, self.canvas], sources.brightest, canvases, tasks);
        Dataset::new(self.id, table, split::consecutive(rows))
    }

    fn draw(&self, philox: &Philox, row: u64, sources: &[u32]) -> Pair {
        let words = philox.row_block(row, 0, 0);
        let source = |word: u32| sources[((u64::from(word) * sources.len() as u64) >> 32) as usize];
        let base = self.shift + 1;
        let digit = |place: u32| words[2] as usize / base.pow(place) % base;
        Pair { left: source(words[0]), right: source(words[1]), moved: [0, 1, 2, 3].map(digit) }
    }

    fn paint(&self, pair: &Pair, pixels: &[u8], canvas: &mut [u8]) {
        let [down, across, up, back] = pair.moved;
        let corner = self.canvas - self.side;
        self.overlay(pixels, pair.left, [down, across], canvas);
        self.overlay(pixels, pair.right, [corner - up, corner - back], canvas);
    }

    /// Paints a picture over the canvas with its top left corner at `corner`.
    fn overlay(&self, pixels: &[u8], picture: u32, [top, left]: [usize; 2], canvas: &mut [u8]) {
        let size = self.side * self.side;
        let picture = &pixels[picture as usize * size..][..size];
        for (y, line) in picture.chunks_exact(self.side).enumerate() {
            let start = (top + y) * self.canvas + left;
            for (old, &new) in canvas[start..start + self.side].iter_mut().zip(line) {
                *old = (*old).max(new);
            }
        }
    }
}

/// Two source pictures and their shifts.
#[derive(Debug, PartialEq)]
struct Pair {
    left: u32,
    right: u32,
    /// a, b, c, d of the module's documentation.
    moved: [usize; 4],
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Overlay = Overlay { id: "multi-optdigits", side: 8, canvas: 12, shift: 1 };

    #[test]
    fn pictures_lie_at_their_corners_and_the_larger_pixel_wins() {
        let pixels = [[3; 64], [5; 64]].concat();
        for moved in [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]] {
            let mut canvas = [0; 144];
            SMALL.paint(&Pair { left: 1, right: 0, moved }, &pixels, &mut canvas);
            let [a, b, c, d] = moved;
            for y in 0..12 {
                for x in 0..12 {
                    let in_left = (a..a + 8).contains(&y) && (b..b + 8).contains(&x);
                    let in_right = (4 - c..12 - c).contains(&y) && (4 - d..12 - d).contains(&x);
                    let expected = match (in_left, in_right) {
                        (true, _) => 5,
                        (false, true) => 3,
                        (false, false) => 0,
                    };
                    assert_eq!(canvas[y * 12 + x], expected, "{moved:?} {y} {x}");
                }
            }
        }
    }

    /// Recorded from this code, to notice a change of the stream.
    #[test]
    fn value_stability() {
        let sources: Vec<u32> = (0..3250).collect();
        let pair = SMALL.draw(&Philox::new(1, SMALL.id, 0), 5, &sources);
        assert_eq!(pair, Pair { left: 1824, right: 767, moved: [1, 1, 0, 1] });
    }

    #[test]
    fn every_shift_occurs() {
        let large = Overlay { shift: 4, ..SMALL };
        let mut seen = [[false; 5]; 4];
        for row in 0..200 {
            let pair = large.draw(&Philox::new(1, "test", 0), row, &[0]);
            pair.moved.iter().zip(&mut seen).for_each(|(&moved, seen)| seen[moved] = true);
        }
        assert_eq!(seen, [[true; 5]; 4]);
    }
}
