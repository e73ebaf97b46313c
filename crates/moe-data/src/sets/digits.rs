//! Digits of two kinds in one set: MNIST and SVHN at 32 x 32 grey pixels, COMET's "Digits" (supplement S1, where they
//! are 530,420, 85,000 and 85,000 rows; with the extra file of SVHN these are all). Where there is no SVHN, USPS stands
//! in for it.
//!
//! A picture of MNIST gets a margin of 2 pixels; one of SVHN becomes grey as (299 red + 587 green + 114 blue) / 1000,
//! rounded; each pixel of USPS becomes four. The parts are cut from all pictures, each class in proportion; the shares
//! are the paper's. Row ids count through MNIST and then the other set, as those of each do.

use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::pictures::Pictures;
use crate::place::Place;
use crate::sets::mnist;
use crate::sets::mnist::MNIST;
use crate::sets::svhn;
use crate::sets::svhn::{NUMBERS, PIXELS, SIDE};
use crate::sets::usps;

pub(crate) const ID: &str = "digits";
pub(crate) const PLACE: Place = Place {
    folder: "mnist",
    files: "the files of mnist; and in the folder svhn (or usps) those of that set",
    get: "where mnist and svhn come from",
};

/// The paper's shares of test and validation.
const SHARES: [f64; 2] = [85.0 / 700.42, 85.0 / 615.42];
const MARGIN: usize = (SIDE - mnist::SIDE) / 2;
/// Pixels of this set for one of USPS, down and across.
const TIMES: usize = SIDE / usps::SIDE;

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let Pictures { pixels: small, mut labels, .. } = MNIST.pictures(ID, options)?;
    let mut pixels = vec![0; labels.len() * PIXELS];
    for (large, small) in
        pixels.chunks_exact_mut(PIXELS).zip(small.chunks_exact(mnist::SIDE * mnist::SIDE))
    {
        let lines = large.chunks_exact_mut(SIDE).skip(MARGIN);
        for (line, small) in lines.zip(small.chunks_exact(mnist::SIDE)) {
            line[MARGIN..][..mnist::SIDE].copy_from_slice(small);
        }
    }

    let folder = svhn::PLACE.folder(ID, options)?;
    let mut found = false;
    for name in ["train_32x32.mat", "extra_32x32.mat", "test_32x32.mat"] {
        let mut paint = |picture: &[u8; NUMBERS]| pixels.extend(grey(picture));
        found |= svhn::read(&folder.join(name), &mut labels, &mut paint)?;
    }
    if !found {
        let usps_file = usps::PLACE.folder(ID, options)?.join(usps::FILE);
        if !usps_file.exists() {
            return Err(svhn::PLACE.missing(ID, &folder, "train_32x32.mat (or usps/USPS.mat)"));
        }
        let (small, digits) = usps::read(&usps_file)?;
        labels.extend(digits);
        for line in small.chunks_exact(usps::SIDE) {
            for _ in 0..TIMES {
                pixels.extend(line.iter().flat_map(|&pixel| [pixel; TIMES]));
            }
        }
    }
    Pictures::new(PIXELS, pixels, labels, None, SHARES, options.seed).into_dataset(ID, "digit")
}

fn grey(picture: &[u8; NUMBERS]) -> impl Iterator<Item = u8> {
    (0..PIXELS).map(|pixel| {
        let [red, green, blue] = [0, 1, 2].map(|plane| u32::from(picture[plane * PIXELS + pixel]));
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    })
}
