//! MultiMNIST and MultiFashionMNIST as in COMET (supplement S1): two overlaid pictures of MNIST or Fashion-MNIST
//! (`pictures/overlay.rs`), each moved by 0 to 4 pixels from its corner of a canvas of 36 x 36, so by up to 4 pixels from
//! the middle; two tasks.
//!
//! The paper has 100,000, 20,000 and 20,000 rows: twice the number of source pictures of each split. That is the default
//! here too, also if only some of the files are there. The supplement does not say how the two pictures are combined; here
//! the larger pixel counts.

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::overlay::Overlay;
use crate::sets::mnist;
use crate::sets::mnist::{FASHION_SET, IdxSet, MNIST_SET, SIDE};

pub(crate) const MNIST: Entry = Entry {
    id: "multi-mnist",
    summary: "two overlaid digits of MNIST on 36x36, a task for each",
    facts: &[],
    takes: TAKES,
    load: |options| load("multi-mnist", &MNIST_SET, options),
    ..mnist::MNIST
};
pub(crate) const FASHION: Entry = Entry {
    id: "multi-fashion-mnist",
    summary: "two overlaid articles of Fashion-MNIST on 36x36, a task for each",
    facts: &[],
    takes: TAKES,
    load: |options| load("multi-fashion-mnist", &FASHION_SET, options),
    ..mnist::FASHION
};

const TAKES: &[&str] = &["train_rows", "val_rows", "test_rows"];
/// Height and width of the canvas.
const CANVAS: usize = 36;
/// Number of rows for each source picture.
const TIMES: usize = 2;
/// The most rows of a split: 1.3 GB.
const MOST_ROWS: usize = 1_000_000;

fn load(id: &'static str, set: &IdxSet, options: &LoadOptions) -> Result<Dataset, DataError> {
    let sources = set.pictures(id, options)?;
    let [train, val, test] = sources.splits.each_ref().map(|split| Some(TIMES * split.len()));
    let rows = LoadOptions {
        train_rows: options.train_rows.or(train),
        val_rows: options.val_rows.or(val),
        test_rows: options.test_rows.or(test),
        ..LoadOptions::default()
    };
    let overlay = Overlay { id, side: SIDE, canvas: CANVAS, shift: 4 };
    overlay.dataset(&sources, rows.split_rows(id, MOST_ROWS)?, options.seed)
}
