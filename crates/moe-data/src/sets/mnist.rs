//! MNIST (LeCun, Cortes and Burges) and Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): grey pictures of 28 x 28 pixels
//! in ten classes.
//!
//! The folder holds the original files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
//! `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`. A sixth of the train files is the
//! validation part, each class in proportion; the `t10k` files are the test part. If there is only one of both pairs,
//! it is cut in the same proportions, 5 : 1 : 1. Row ids count through the train files and then `t10k`.

use std::path::{Path, PathBuf};

use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::idx;
use crate::options::LoadOptions;
use crate::pictures::pictures::{CLASSES, Pictures};
use crate::place::Place;

/// Height and width of a picture.
pub(crate) const SIDE: usize = 28;
/// Shares of the test part (of all) and the validation part (of the rest): 10,000 and 10,000 of 70,000.
const SHARES: [f64; 2] = [1.0 / 7.0, 1.0 / 6.0];

const FILES: &str = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
     t10k-labels-idx1-ubyte.gz (each also without .gz; one pair is enough)";

/// A set in the layout of MNIST.
pub(crate) struct IdxSet {
    pub(crate) id: &'static str,
    pub(crate) place: Place,
    /// What is to be told.
    pub(crate) task: &'static str,
}

pub(crate) static MNIST: IdxSet = IdxSet {
    id: "mnist",
    place: Place {
        folder: "mnist",
        files: FILES,
        get: "http://yann.lecun.com/exdb/mnist/ (or its mirror, moe data fetch mnist)",
    },
    task: "digit",
};

pub(crate) static FASHION: IdxSet = IdxSet {
    id: "fashion-mnist",
    place: Place {
        folder: "fashion-mnist",
        files: FILES,
        get: "https://github.com/zalandoresearch/fashion-mnist",
    },
    task: "article",
};

impl IdxSet {
    pub(crate) fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        self.pictures(self.id, options)?.into_dataset(self.id, self.task)
    }

    /// All pictures, for `dataset`, which is this set or made of it.
    pub(crate) fn pictures(
        &self,
        dataset: &'static str,
        options: &LoadOptions,
    ) -> Result<Pictures, DataError> {
        let folder = self.place.folder(dataset, options)?;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let mut starts = Vec::new();
        for part in ["train", "t10k"] {
            let names = ["images-idx3-ubyte", "labels-idx1-ubyte"].map(|n| format!("{part}-{n}"));
            match [&names[0], &names[1]].map(|name| find(&folder, name)) {
                [Some(images_file), Some(labels_file)] => {
                    starts.push(labels.len());
                    append(&images_file, &labels_file, &mut pixels, &mut labels)?;
                }
                [None, None] => {}
                [Some(_), None] => return Err(self.place.missing(dataset, &folder, &names[1])),
                [None, Some(_)] => return Err(self.place.missing(dataset, &folder, &names[0])),
            }
        }
        let test_start = match starts[..] {
            [] => return Err(self.place.missing(dataset, &folder, "train-images-idx3-ubyte.gz")),
            [_, start] => Some(start),
            _ => None,
        };
        Ok(Pictures::new(SIDE * SIDE, pixels, labels, test_start, SHARES, options.seed))
    }
}

/// The packed file, else the plain one.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [format!("{name}.gz"), name.to_owned()]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.exists())
}

fn append(
    images_file: &Path,
    labels_file: &Path,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    const HEADER: usize = 8;
    let ([count, height, width], images) = idx::read(images_file)?;
    let wrong = |file: &Path, offset, problem, allowed| DataError::Corrupt {
        file: file.to_path_buf(),
        offset: offset as u64,
        problem,
        allowed,
    };
    if [height, width] != [SIDE; 2] {
        let problem = format!("pictures of {height} x {width} pixels");
        return Err(wrong(images_file, 2 * HEADER, problem, format!("{SIDE} x {SIDE}")));
    }
    let ([found], classes) = idx::read(labels_file)?;
    if found != count {
        let problem = format!("{found} labels");
        return Err(wrong(labels_file, HEADER, problem, format!("{count}, one per picture")));
    }
    if let Some(place) = classes.iter().position(|&class| usize::from(class) >= CLASSES) {
        let problem = format!("the label {}", classes[place]);
        return Err(wrong(labels_file, HEADER + place, problem, format!("0 to {}", CLASSES - 1)));
    }
    pixels.extend(images);
    labels.extend(classes);
    Ok(())
}
