//! Street View House Numbers, cropped digits (Netzer and others 2011): colour pictures of 32 x 32 pixels in ten classes.
//!
//! `train_32x32.mat`, `test_32x32.mat` and `extra_32x32.mat` hold `X`, uint8 [32, 32, 3, n], and `y`, [n, 1], with 10
//! for the digit 0. A picture's numbers are its three planes (red, green, blue), each in rows. The train file, and the
//! extra one if it exists, are split into train and validation (15 %), each class in proportion; the test file is the test
//! split. Without a test file, 15 % of all rows are the test split. Row ids count through the files in the order train,
//! extra, test.

use std::path::Path;

use crate::catalog::download::Download;
use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::mat;
use crate::formats::mat::Variable;
use crate::options::LoadOptions;
use crate::pictures::pictures::Pictures;
use crate::source_folder::SourceFolder;

const ID: &str = "svhn";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "32x32 colour pictures of house numbers' digits, one task",
    origin: SOURCE.origin(),
    terms: "non-commercial use; Yuval Netzer and others 2011, Stanford University and Google",
    must_accept: true,
    downloads: &[
        Download::file(
            "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
            Some(ORIGINALS[0].1),
        ),
        Download::file(
            "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
            Some(ORIGINALS[1].1),
        ),
    ],
    originals: ORIGINALS,
    facts: &[("rows", 99_289.0)],
    load,
    ..Entry::NEW
};
const ORIGINALS: &[(&str, &str)] = &[
    ("train_32x32.mat", "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    ("test_32x32.mat", "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    ("extra_32x32.mat", "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
];
pub(crate) const SOURCE: SourceFolder = SourceFolder {
    name: "svhn",
    files: "train_32x32.mat, and optionally test_32x32.mat and extra_32x32.mat",
    get: "http://ufldl.stanford.edu/housenumbers/",
};

/// Height and width of a picture.
pub(crate) const SIDE: usize = 32;
/// Number of pixels of a picture.
pub(crate) const PIXELS: usize = SIDE * SIDE;
/// Number of values of a picture: red, green and blue planes.
pub(crate) const NUMBERS: usize = 3 * PIXELS;
const SHARES: [f64; 2] = [0.15, 0.15];

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = SOURCE.path(ID, options)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut paint = |picture: &[u8; NUMBERS]| pixels.extend_from_slice(picture);
    if !read(&folder.join("train_32x32.mat"), &mut labels, &mut paint)? {
        return Err(SOURCE.missing(ID, &folder, "train_32x32.mat"));
    }
    read(&folder.join("extra_32x32.mat"), &mut labels, &mut paint)?;
    let start = labels.len();
    let has_test = read(&folder.join("test_32x32.mat"), &mut labels, &mut paint)?;
    let test_start = has_test.then_some(start);
    Pictures::new([3, SIDE, SIDE], pixels, labels, test_start, SHARES, options.seed)
        .into_dataset(ID, "digit")
}

/// Appends a file's digits to `labels` and passes each picture, plane by plane and row by row, to `paint`. Returns whether
/// the file exists.
pub(crate) fn read(
    path: &Path,
    labels: &mut Vec<u8>,
    paint: &mut impl FnMut(&[u8; NUMBERS]),
) -> Result<bool, DataError> {
    if !path.exists() {
        return Ok(false);
    }
    let mut pictures = Variable::open(path, "X")?;
    let &[SIDE, SIDE, 3, count] = pictures.sizes() else {
        let problem = format!("X has the sizes {:?}", pictures.sizes());
        return Err(pictures.wrong(problem, "[32, 32, 3, n]"));
    };
    labels.extend(mat::labels(path, "y", count)?.into_iter().map(|label| label % 10));
    let (mut stored, mut picture) = ([0; NUMBERS], [0; NUMBERS]);
    for _ in 0..count {
        pictures.fill(&mut stored)?;
        // Stored in columns.
        for (plane, stored) in picture.chunks_exact_mut(PIXELS).zip(stored.chunks_exact(PIXELS)) {
            for (y, row) in plane.chunks_exact_mut(SIDE).enumerate() {
                row.iter_mut().enumerate().for_each(|(x, pixel)| *pixel = stored[x * SIDE + y]);
            }
        }
        paint(&picture);
    }
    Ok(true)
}
