//! Digits of two kinds in one set: MNIST and SVHN at 32 x 32 grey pixels, COMET's "Digits" (supplement S1, with 530,420,
//! 85,000 and 85,000 rows, which are all rows if SVHN has its extra file). Without SVHN, USPS replaces it.
//!
//! A picture of MNIST gets a margin of 2 pixels; one of SVHN becomes grey as (299 red + 587 green + 114 blue) / 1000,
//! rounded; each pixel of USPS becomes four. The splits are cut from all pictures, each class in proportion, with the
//! paper's shares. Row ids count through MNIST and then the other set, in the order of their own ids.

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::pictures::Pictures;
use crate::sets::mnist;
use crate::sets::mnist::MNIST_SET;
use crate::sets::svhn;
use crate::sets::svhn::{NUMBERS, PIXELS, SIDE};
use crate::sets::usps;
use crate::source_folder::SourceFolder;

const ID: &str = "digits";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "32x32 grey digits of MNIST and SVHN (or USPS), one task",
    origin: SOURCE.origin(),
    terms: "those of mnist and svhn (or usps)",
    load,
    ..Entry::NEW
};
const SOURCE: SourceFolder = SourceFolder {
    name: "mnist",
    files: "the files of mnist; and in the folder svhn (or usps) those of that set",
    get: "the sources of mnist and svhn",
};

/// The paper's shares of test and validation.
const SHARES: [f64; 2] = [85.0 / 700.42, 85.0 / 615.42];
const MARGIN: usize = (SIDE - mnist::SIDE) / 2;
/// Number of pixels of this set for one of USPS, down and across.
const TIMES: usize = SIDE / usps::SIDE;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let Pictures { pixels: small, mut labels, .. } = MNIST_SET.pictures(ID, options)?;
    let mut pixels = vec![0; labels.len() * PIXELS];
    for (large, small) in
        pixels.chunks_exact_mut(PIXELS).zip(small.chunks_exact(mnist::SIDE * mnist::SIDE))
    {
        let lines = large.chunks_exact_mut(SIDE).skip(MARGIN);
        for (line, small) in lines.zip(small.chunks_exact(mnist::SIDE)) {
            line[MARGIN..][..mnist::SIDE].copy_from_slice(small);
        }
    }

    let folder = svhn::SOURCE.path(ID, options)?;
    let mut found = false;
    for name in ["train_32x32.mat", "extra_32x32.mat", "test_32x32.mat"] {
        let mut paint = |picture: &[u8; NUMBERS]| pixels.extend(grey(picture));
        found |= svhn::read(&folder.join(name), &mut labels, &mut paint)?;
    }
    if !found {
        let usps_file = usps::SOURCE.path(ID, options)?.join(usps::FILE);
        if !usps_file.exists() {
            return Err(svhn::SOURCE.missing(ID, &folder, "train_32x32.mat (or usps/USPS.mat)"));
        }
        let (small, digits) = usps::read(&usps_file)?;
        labels.extend(digits);
        for line in small.chunks_exact(usps::SIDE) {
            for _ in 0..TIMES {
                pixels.extend(line.iter().flat_map(|&pixel| [pixel; TIMES]));
            }
        }
    }
    Pictures::new([1, SIDE, SIDE], pixels, labels, None, SHARES, options.seed)
        .into_dataset(ID, "digit")
}

fn grey(picture: &[u8; NUMBERS]) -> impl Iterator<Item = u8> {
    (0..PIXELS).map(|pixel| {
        let [red, green, blue] = [0, 1, 2].map(|plane| u32::from(picture[plane * PIXELS + pixel]));
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    })
}
