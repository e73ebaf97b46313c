//! MultiMNIST and MultiFashionMNIST as COMET has them (supplement S1): two overlaid pictures of MNIST or Fashion-MNIST
//! ([`overlay`](crate::overlay)), each moved by 0 to 4 pixels from its corner of a canvas of 36 x 36, so by up to 4
//! pixels from the middle; two tasks.
//!
//! The paper has 100,000, 20,000 and 20,000 rows: twice as many as there are source pictures in each part. So it is
//! here, also if only a part of the files is at hand, unless other numbers are asked for. The supplement does not say
//! how the two pictures meet; here the larger pixel counts.

use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::overlay::Overlay;
use crate::sets::mnist::{IdxSet, SIDE};

pub(crate) const MNIST_ID: &str = "multi-mnist";
pub(crate) const FASHION_ID: &str = "multi-fashion-mnist";
/// Options without a default.
pub(crate) const TAKES: &[&str] = &["train_rows", "val_rows", "test_rows"];

/// Height and width of the canvas.
const CANVAS: usize = 36;
/// Rows for each source picture.
const TIMES: usize = 2;
/// The most rows of a part: 1.3 GB.
const MOST_ROWS: usize = 1_000_000;

pub(crate) fn load(
    id: &'static str,
    set: &IdxSet,
    options: &LoadOptions,
) -> Result<Dataset, DataError> {
    let sources = set.pictures(id, options)?;
    let [train, val, test] = sources.parts.each_ref().map(|part| Some(TIMES * part.len()));
    let rows = LoadOptions {
        train_rows: options.train_rows.or(train),
        val_rows: options.val_rows.or(val),
        test_rows: options.test_rows.or(test),
        ..LoadOptions::NONE
    };
    let overlay = Overlay { id, side: SIDE, canvas: CANVAS, shift: 4 };
    overlay.dataset(&sources, rows.part_rows(id, MOST_ROWS)?, options.seed)
}
