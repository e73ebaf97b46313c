//! Optical Recognition of Handwritten Digits: 8x8 pictures, one of ten digits.
//!
//! The original train file (`.tra`, 3,823 rows) is cut at random into train (85 %, 3,250 rows) and
//! validation (573 rows); the original test file (`.tes`, 1,797 rows, other writers) is the test part.
//! Row ids count through `.tra` and then `.tes`.

use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::error::DataError;
use crate::formats::fields::Fields;
use crate::options::LoadOptions;
use crate::pictures::pictures::{CLASSES, Pictures};

pub(crate) const ID: &str = "optdigits";

/// Height and width of a picture.
pub(crate) const SIDE: usize = 8;
/// Pixels of a picture.
const PIXELS: usize = SIDE * SIDE;
/// Pixels are whole numbers from 0 to this.
const BRIGHTEST: u8 = 16;

const TRAIN_FILE: &[u8] = include_bytes!("../../data/optdigits.tra.gz");
const TEST_FILE: &[u8] = include_bytes!("../../data/optdigits.tes.gz");

/// Share of `.tra` that is the validation part.
const VAL_PERCENT: usize = 15;

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    pictures(options.seed)?.into_dataset(ID, "digit")
}

/// All pictures, with pixels from 0 to [`BRIGHTEST`].
pub(crate) fn pictures(seed: u64) -> Result<Pictures, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append("optdigits.tra", TRAIN_FILE, &mut pixels, &mut labels)?;
    let train_rows = labels.len() as u32;
    append("optdigits.tes", TEST_FILE, &mut pixels, &mut labels)?;
    let [train, val] = split::cut((0..train_rows).collect(), VAL_PERCENT, seed, "optdigits");
    let test = (train_rows..labels.len() as u32).collect();
    let parts = [train, val, test];
    Ok(Pictures { width: PIXELS, brightest: BRIGHTEST, pixels, labels, parts })
}

fn append(
    name: &str,
    file: &'static [u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let mut fields = Fields::embedded(name, file, PIXELS + 1, &[]);
    while let Some(record) = fields.next()? {
        for column in 0..PIXELS {
            pixels.push(record.whole(column, BRIGHTEST.into())? as u8);
        }
        labels.push(record.whole(PIXELS, CLASSES as u32 - 1)? as u8);
    }
    Ok(())
}
