//! USPS: handwritten digits of 16 x 16 pixels from envelopes (Hull 1994), as one widely used MATLAB file.
//!
//! `USPS.mat` holds `fea`, uint8 [n, 256], with one picture per row, and `gnd`, [n, 1], the digit plus 1. The rows are
//! split into train, validation and test as 5 : 1 : 1, like those of MNIST, each class in proportion. A row's id is its
//! index in the file.

use std::path::Path;

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::mat;
use crate::formats::mat::Variable;
use crate::options::LoadOptions;
use crate::pictures::pictures::Pictures;
use crate::source_folder::SourceFolder;

const ID: &str = "usps";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "16x16 handwritten digits from envelopes, one task",
    origin: SOURCE.origin(),
    terms: "unclear, in wide research use: do not redistribute; the USPS digits, Jonathan Hull 1994",
    originals: &[("USPS.mat", "9f09eec7eba5872888b3e78373595cd7fd97d32e28b996be8c65eab068c874f2")],
    facts: &[("rows", 11_000.0), ("digit.0", 1100.0), ("digit.9", 1100.0)],
    load,
    ..Entry::NEW
};
pub(crate) const SOURCE: SourceFolder = SourceFolder {
    name: "usps",
    files: "USPS.mat",
    get: "a copy of USPS.mat with fea (11,000 x 256) and gnd; the postal service's own distribution is gone",
};
pub(crate) const FILE: &str = "USPS.mat";

/// Height and width of a picture.
pub(crate) const SIDE: usize = 16;
const PIXELS: usize = SIDE * SIDE;
const SHARES: [f64; 2] = [1.0 / 7.0, 1.0 / 6.0];

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = SOURCE.path(ID, options)?;
    let path = folder.join(FILE);
    if !path.exists() {
        return Err(SOURCE.missing(ID, &folder, FILE));
    }
    let (pixels, labels) = read(&path)?;
    Pictures::new([1, SIDE, SIDE], pixels, labels, None, SHARES, options.seed)
        .into_dataset(ID, "digit")
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
