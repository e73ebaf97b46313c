//! Two overlaid digits in one picture, a task for each: MultiMNIST (Sabour, Frosst and Hinton, "Dynamic
//! routing between capsules", 2017; with two tasks as in Sener and Koltun, "Multi-task learning as
//! multi-objective optimization", 2018) in miniature, made from [`optdigits`](crate::optdigits).
//!
//! The canvas has 12 x 12 pixels, the digits 8 x 8. The *left* digit lies at the canvas's top left
//! corner, moved down by `a` and right by `b`; the *right* digit at the bottom right corner, moved up by
//! `c` and left by `d`; each of a, b, c, d is 0 or 1. A pixel is the larger one of both digits' pixels,
//! divided by 16: a number in [0, 1]. The digits share between 4 x 4 and 6 x 6 pixels.
//!
//! Train pairs are made of digits of the train part of `optdigits` under the same seed, validation pairs
//! of its validation part, test pairs of its test part, so no source picture occurs in two parts. Both
//! digits of a pair are drawn independently, with replacement; they may show the same digit.
//!
//! Row j of part p (train 0, validation 1, test 2) takes the four words of the Philox block with purpose
//! `multi-optdigits`, step p and counter (j, 0, 0): word 0 times the number of sources, divided by 2^32, is
//! the left source, word 1 likewise the right one; the lowest four bits of word 2 are a, b, c, d. So a row
//! does not depend on how many rows are asked for. Row ids count through train, validation and test.

use moe_core::batch::InputSpec;
use moe_core::random::Philox;

use crate::optdigits::{BRIGHTEST, Digits, PIXELS, SIDE, digit_task};
use crate::table::{Column, Features, Table};
use crate::{DataError, Dataset, LoadOptions, split};

pub(crate) const ID: &str = "multi-optdigits";

pub(crate) const DEFAULTS: LoadOptions = LoadOptions {
    train_rows: Some(8000),
    val_rows: Some(2000),
    test_rows: Some(2000),
    ..LoadOptions::NONE
};

/// Height and width of the canvas.
const CANVAS: usize = 12;
/// The right digit's place before it is moved.
const CORNER: usize = CANVAS - SIDE;

/// The most rows of a part.
const MOST_ROWS: usize = 1_000_000;

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let rows = options.part_rows(ID, MOST_ROWS)?;
    let digits = Digits::load(options.seed)?;

    let total: usize = rows.iter().sum();
    let mut canvases = vec![0; total * CANVAS * CANVAS];
    let (mut left, mut right) = (Vec::with_capacity(total), Vec::with_capacity(total));
    let mut canvas = canvases.chunks_exact_mut(CANVAS * CANVAS);
    for (part, (sources, &rows)) in digits.parts.iter().zip(&rows).enumerate() {
        let philox = Philox::new(options.seed, ID, part as u64);
        for (row, canvas) in (0..rows as u64).zip(&mut canvas) {
            let pair = Pair::draw(&philox, row, sources);
            pair.paint(&digits.pixels, canvas);
            left.push(digits.labels[pair.left as usize]);
            right.push(digits.labels[pair.right as usize]);
        }
    }

    let table = Table {
        input: InputSpec::Dense { width: CANVAS * CANVAS },
        tasks: vec![digit_task("left"), digit_task("right")],
        features: Features::Bytes { width: CANVAS * CANVAS, divisor: BRIGHTEST, values: canvases },
        targets: vec![Column::Multiclass(left), Column::Multiclass(right)],
        planted: None,
    };
    Dataset::new(ID, table, split::consecutive(rows))
}

/// Two source digits and how far each is moved.
#[derive(Debug, PartialEq)]
struct Pair {
    left: u32,
    right: u32,
    /// a, b, c, d of the module's documentation.
    moved: [usize; 4],
}

impl Pair {
    fn draw(philox: &Philox, row: u64, sources: &[u32]) -> Self {
        let words = philox.row_block(row, 0, 0);
        let source = |word: u32| sources[((u64::from(word) * sources.len() as u64) >> 32) as usize];
        Pair {
            left: source(words[0]),
            right: source(words[1]),
            moved: [0, 1, 2, 3].map(|bit| ((words[2] >> bit) & 1) as usize),
        }
    }

    fn paint(&self, pixels: &[u8], canvas: &mut [u8]) {
        let [down, across, up, back] = self.moved;
        overlay(pixels, self.left, [down, across], canvas);
        overlay(pixels, self.right, [CORNER - up, CORNER - back], canvas);
    }
}

/// Paints a digit over the canvas with its top left corner at `corner`.
fn overlay(pixels: &[u8], digit: u32, [top, left]: [usize; 2], canvas: &mut [u8]) {
    let picture = &pixels[digit as usize * PIXELS..][..PIXELS];
    for (y, line) in picture.chunks_exact(SIDE).enumerate() {
        let start = (top + y) * CANVAS + left;
        for (old, &new) in canvas[start..start + SIDE].iter_mut().zip(line) {
            *old = (*old).max(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_lie_at_their_corners_and_the_larger_pixel_wins() {
        let pixels = [[3; PIXELS], [5; PIXELS]].concat();
        for moved in [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]] {
            let mut canvas = [0; CANVAS * CANVAS];
            let pair = Pair { left: 1, right: 0, moved };
            pair.paint(&pixels, &mut canvas);
            let [a, b, c, d] = moved;
            for y in 0..CANVAS {
                for x in 0..CANVAS {
                    let in_left = (a..a + 8).contains(&y) && (b..b + 8).contains(&x);
                    let in_right = (4 - c..12 - c).contains(&y) && (4 - d..12 - d).contains(&x);
                    let expected = match (in_left, in_right) {
                        (true, _) => 5,
                        (false, true) => 3,
                        (false, false) => 0,
                    };
                    assert_eq!(canvas[y * CANVAS + x], expected, "{moved:?} {y} {x}");
                }
            }
        }
    }

    /// From this code: it stands here so that a change of the stream is noticed.
    #[test]
    fn value_stability() {
        let sources: Vec<u32> = (0..3250).collect();
        let pair = Pair::draw(&Philox::new(1, ID, 0), 5, &sources);
        assert_eq!(pair, Pair { left: 1824, right: 767, moved: [1, 1, 0, 1] });
    }

    #[test]
    fn too_many_rows_are_refused_before_anything_is_allocated() {
        let options = LoadOptions { train_rows: Some(usize::MAX), ..DEFAULTS };
        let error = load(&options).unwrap_err();
        assert!(error.to_string().contains("train_rows"), "{error}");
    }
}
