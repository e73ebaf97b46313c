//! USPS: handwritten digits of 16 x 16 pixels from envelopes (Hull 1994), as one MATLAB file that is in wide use.
//!
//! `USPS.mat` holds `fea`, uint8 [n, 256], a picture a row, and `gnd`, [n, 1], the digit plus 1. The rows are cut into
//! train, validation and test as 5 : 1 : 1, as those of MNIST are, each class in proportion. Row ids are those of the
//! file.

use std::path::Path;

use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::mat;
use crate::formats::mat::Variable;
use crate::options::LoadOptions;
use crate::pictures::pictures::Pictures;
use crate::place::Place;

pub(crate) const ID: &str = "usps";
pub(crate) const PLACE: Place = Place {
    folder: "usps",
    files: "USPS.mat",
    get: "a copy of USPS.mat with fea (11,000 x 256) and gnd; the postal service's own distribution is gone",
};
pub(crate) const FILE: &str = "USPS.mat";

/// Height and width of a picture.
pub(crate) const SIDE: usize = 16;
const PIXELS: usize = SIDE * SIDE;
const SHARES: [f64; 2] = [1.0 / 7.0, 1.0 / 6.0];

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = PLACE.folder(ID, options)?;
    let path = folder.join(FILE);
    if !path.exists() {
        return Err(PLACE.missing(ID, &folder, FILE));
    }
    let (pixels, labels) = read(&path)?;
    Pictures::new(PIXELS, pixels, labels, None, SHARES, options.seed).into_dataset(ID, "digit")
}

/// All pictures, row by row, and their digits.
pub(crate) fn read(path: &Path) -> Result<(Vec<u8>, Vec<u8>), DataError> {
    let mut variable = Variable::open(path, "fea")?;
    let &[count, PIXELS] = variable.sizes() else {
        let problem = format!("fea has the sizes {:?}", variable.sizes());
        return Err(variable.wrong(problem, format!("[n, {PIXELS}]")));
    };
    let labels = mat::labels(path, "gnd", count)?;
    let columns = variable.all()?;
    let pixels = (0..count).flat_map(|row| columns.iter().skip(row).step_by(count)).copied();
    Ok((pixels.collect(), labels.into_iter().map(|label| label - 1).collect()))
}
