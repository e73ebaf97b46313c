//! Two overlaid digits in one picture, with a task for each: MultiMNIST in miniature (`pictures/overlay.rs`), made from
//! `optdigits`.
//!
//! The canvas has 12 x 12 pixels and the digits 8 x 8, each moved by 0 or 1; they share between 4 x 4 and 6 x 6 pixels.
//! Pixels are divided by 16, to numbers in [0, 1].

use crate::catalog::entry::{Entry, Origin};
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::overlay::Overlay;
use crate::sets::optdigits;
use crate::sets::optdigits::SIDE;

const ID: &str = "multi-optdigits";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "two overlaid handwritten digits, a task for each",
    origin: Origin::Embedded,
    terms: optdigits::TERMS,
    defaults,
    load,
    ..Entry::NEW
};

fn defaults() -> LoadOptions {
    LoadOptions {
        train_rows: Some(8000),
        val_rows: Some(2000),
        test_rows: Some(2000),
        ..LoadOptions::default()
    }
}

/// The most rows of a split.
const MOST_ROWS: usize = 1_000_000;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let rows = options.split_rows(ID, MOST_ROWS)?;
    let overlay = Overlay { id: ID, side: SIDE, canvas: 12, shift: 1 };
    overlay.dataset(&optdigits::pictures(options.seed)?, rows, options.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_rows_are_refused_before_anything_is_allocated() {
        let options = LoadOptions { train_rows: Some(usize::MAX), ..defaults() };
        let error = load(&options).unwrap_err();
        assert!(error.to_string().contains("train_rows"), "{error}");
    }
}
