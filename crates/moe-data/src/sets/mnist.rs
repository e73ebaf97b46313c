//! MNIST (LeCun, Cortes and Burges) and Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): grey pictures of 28 x 28 pixels
//! in ten classes.
//!
//! The folder holds the original files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
//! `t10k-labels-idx1-ubyte`, each plain or with `.gz`. A sixth of the train files is the validation split, each class in
//! proportion; the `t10k` files are the test split. If there is only one of the two pairs, it is split in the same
//! proportions, 5 : 1 : 1. Row ids count through the train files and then `t10k`.

use std::path::Path;

use crate::catalog::download::Download;
use crate::catalog::entry::Entry;
use crate::error::DataError;
use crate::formats::idx;
use crate::options::LoadOptions;
use crate::pictures::pictures::{CLASSES, Pictures};
use crate::source_folder::{SourceFolder, packed_or_plain};

pub(crate) const MNIST: Entry = Entry {
    id: MNIST_SET.id,
    summary: "28x28 handwritten digits, one task",
    origin: MNIST_SET.source.origin(),
    terms: "CC BY-SA 3.0 as commonly stated; Yann LeCun, Corinna Cortes and Chris Burges",
    downloads: &[
        Download::file(
            "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
            Some("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ),
        Download::file(
            "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
            Some("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ),
        Download::file(
            "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
            Some("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ),
        Download::file(
            "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
            Some("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ],
    originals: &[
        (
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ],
    facts: &[("rows", 70_000.0), ("digit.0", 6903.0), ("digit.1", 7877.0)],
    load: |options| MNIST_SET.pictures(MNIST_SET.id, options)?.into_dataset(MNIST_SET.id, "digit"),
    ..Entry::NEW
};

pub(crate) const FASHION: Entry = Entry {
    id: FASHION_SET.id,
    summary: "28x28 pictures of clothes, one task",
    origin: FASHION_SET.source.origin(),
    terms: "MIT; copyright 2017 Zalando SE",
    downloads: &[
        Download::file(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
            Some("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ),
        Download::file(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
            Some("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ),
        Download::file(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
            Some("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        ),
        Download::file(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
            Some("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ],
    originals: &[
        (
            "t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ],
    facts: &[("rows", 70_000.0), ("article.0", 7000.0), ("article.9", 7000.0)],
    load: |options| {
        FASHION_SET.pictures(FASHION_SET.id, options)?.into_dataset(FASHION_SET.id, "article")
    },
    ..Entry::NEW
};

/// Height and width of a picture.
pub(crate) const SIDE: usize = 28;
/// Shares of the test split (of all) and the validation split (of the rest): 10,000 and 10,000 of 70,000.
const SHARES: [f64; 2] = [1.0 / 7.0, 1.0 / 6.0];

const FILES: &str = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
     t10k-labels-idx1-ubyte.gz (each also without .gz; one pair is enough)";

/// A set in the layout of MNIST.
pub(crate) struct IdxSet {
    id: &'static str,
    source: SourceFolder,
}

pub(crate) const MNIST_SET: IdxSet = IdxSet {
    id: "mnist",
    source: SourceFolder {
        name: "mnist",
        files: FILES,
        get: "http://yann.lecun.com/exdb/mnist/ (or its mirror, moe data fetch mnist)",
    },
};

pub(crate) const FASHION_SET: IdxSet = IdxSet {
    id: "fashion-mnist",
    source: SourceFolder {
        name: "fashion-mnist",
        files: FILES,
        get: "https://github.com/zalandoresearch/fashion-mnist",
    },
};

impl IdxSet {
    /// All pictures, for `dataset`, which is this set or made from it.
    pub(crate) fn pictures(
        &self,
        dataset: &'static str,
        options: &LoadOptions,
    ) -> Result<Pictures, DataError> {
        let folder = self.source.path(dataset, options)?;
        let missing = |file: &str| Err(self.source.missing(dataset, &folder, file));
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let mut starts = Vec::new();
        for pair in ["train", "t10k"] {
            let names = ["images-idx3-ubyte", "labels-idx1-ubyte"].map(|n| format!("{pair}-{n}"));
            match [&names[0], &names[1]].map(|name| packed_or_plain(&folder, name)) {
                [Some(images_file), Some(labels_file)] => {
                    starts.push(labels.len());
                    append(&images_file, &labels_file, &mut pixels, &mut labels)?;
                }
                [None, None] => {}
                [Some(_), None] => return missing(&names[1]),
                [None, Some(_)] => return missing(&names[0]),
            }
        }
        let test_start = match starts[..] {
            [] => return missing("train-images-idx3-ubyte.gz"),
            [_, start] => Some(start),
            _ => None,
        };
        Ok(Pictures::new([1, SIDE, SIDE], pixels, labels, test_start, SHARES, options.seed))
    }
}

fn append(
    images_file: &Path,
    labels_file: &Path,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    const HEADER: u64 = 8;
    let images = idx::open(images_file)?;
    let [count, height, width] = images.sizes;
    if [height, width] != [SIDE; 2] {
        let problem = format!("pictures of {height} x {width} pixels");
        let allowed = format!("{SIDE} x {SIDE}");
        return Err(DataError::corrupt(images_file, 2 * HEADER, problem, allowed));
    }
    // The headers are compared before up to a gigabyte is read.
    let classes = idx::open(labels_file)?;
    let [found] = classes.sizes;
    if found != count {
        let problem = format!("{found} labels");
        let allowed = format!("{count}, one per picture");
        return Err(DataError::corrupt(labels_file, HEADER, problem, allowed));
    }
    let (images, classes) = (images.values()?, classes.values()?);
    if let Some(place) = classes.iter().position(|&class| usize::from(class) >= CLASSES) {
        let problem = format!("the label {}", classes[place]);
        let (offset, allowed) = (HEADER + place as u64, format!("0 to {}", CLASSES - 1));
        return Err(DataError::corrupt(labels_file, offset, problem, allowed));
    }
    pixels.extend(images);
    labels.extend(classes);
    Ok(())
}
