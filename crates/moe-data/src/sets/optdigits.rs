//! Optical Recognition of Handwritten Digits: 8 x 8 pictures of ten digits.
//!
//! The original train file (`.tra`, 3,823 rows) is split at random into train (85 %, 3,250 rows) and validation (573
//! rows); the original test file (`.tes`, 1,797 rows by other writers) is the test split. Row ids count through `.tra` and
//! then `.tes`.

use crate::catalog::entry::{Entry, Origin};
use crate::dataset::split;
use crate::error::DataError;
use crate::formats::delimited::Delimited;
use crate::formats::dialect::Dialect;
use crate::pictures::pictures::{CLASSES, Pictures};

const ID: &str = "optdigits";
pub(crate) const TERMS: &str =
    "CC BY 4.0; E. Alpaydin and C. Kaynak, UCI Machine Learning Repository";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "8x8 handwritten digits, one task",
    origin: Origin::Embedded,
    terms: TERMS,
    facts: &[("rows", 5620.0)],
    load: |options| pictures(options.seed)?.into_dataset(ID, "digit"),
    ..Entry::NEW
};

/// Height and width of a picture.
pub(crate) const SIDE: usize = 8;
/// Number of pixels of a picture.
const PIXELS: usize = SIDE * SIDE;
/// Pixels are whole numbers from 0 to this.
const BRIGHTEST: u8 = 16;

const TRAIN_FILE: &[u8] = include_bytes!("../../data/optdigits.tra.gz");
const TEST_FILE: &[u8] = include_bytes!("../../data/optdigits.tes.gz");

/// Share of `.tra` that is the validation split.
const VAL_PERCENT: usize = 15;

/// All pictures, with pixels from 0 to [`BRIGHTEST`].
pub(crate) fn pictures(seed: u64) -> Result<Pictures, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append("optdigits.tra", TRAIN_FILE, &mut pixels, &mut labels)?;
    let train_rows = labels.len() as u32;
    append("optdigits.tes", TEST_FILE, &mut pixels, &mut labels)?;
    let [train, val] = split::cut((0..train_rows).collect(), VAL_PERCENT, seed, "optdigits");
    let test = (train_rows..labels.len() as u32).collect();
    let splits = [train, val, test];
    Ok(Pictures { shape: [1, SIDE, SIDE], brightest: BRIGHTEST, pixels, labels, splits })
}

fn append(
    name: &str,
    file: &'static [u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let mut fields = Delimited::embedded(name, file, Dialect::PLAIN)?.with_width(PIXELS + 1);
    while fields.read()? {
        for column in 0..PIXELS {
            pixels.push(fields.whole(column, BRIGHTEST.into())? as u8);
        }
        labels.push(fields.whole(PIXELS, CLASSES as u32 - 1)? as u8);
    }
    Ok(())
}
