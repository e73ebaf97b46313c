//! Pictures with a class each.

use moe_core::batch::{InputSpec, TaskKind};

use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Dense, Features, Table};
use crate::error::DataError;

/// Number of classes of every set of pictures.
pub(crate) const CLASSES: usize = 10;

/// All pictures of a set, of one size.
pub(crate) struct Pictures {
    /// Shape of a picture: channels, height, width.
    pub(crate) shape: [usize; 3],
    /// The value that stands for 1.
    pub(crate) brightest: u8,
    /// `[rows, C, H, W]`
    pub(crate) pixels: Vec<u8>,
    /// The class of each row.
    pub(crate) labels: Vec<u8>,
    /// Rows of train, validation and test.
    pub(crate) splits: [Vec<u32>; 3],
}

impl Pictures {
    /// Pictures of bytes. The rows from `test_start` on are the test split; without it, `test_share` of all rows are drawn.
    /// Then `val_share` of the rest are drawn for validation. Both draws take each class in proportion.
    pub(crate) fn new(
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u8>,
        test_start: Option<usize>,
        [test_share, val_share]: [f64; 2],
        seed: u64,
    ) -> Self {
        let class = |row: u32| usize::from(labels[row as usize]);
        let cut = |rows, share, purpose| {
            split::cut_stratified(rows, CLASSES, class, share, seed, purpose)
        };
        let all = labels.len() as u32;
        let [rest, test] = match test_start {
            Some(start) => [(0..start as u32).collect(), (start as u32..all).collect()],
            None => cut((0..all).collect(), test_share, "pictures test"),
        };
        let [train, val] = cut(rest, val_share, "pictures val");
        Pictures { shape, brightest: u8::MAX, pixels, labels, splits: [train, val, test] }
    }

    pub(crate) fn into_dataset(self, id: &'static str, task: &str) -> Result<Dataset, DataError> {
        let Pictures { shape, brightest, pixels, labels, splits } = self;
        Dataset::new(id, table(shape, brightest, pixels, [(task, labels)]), splits)
    }
}

/// A table of pictures, `[rows, C, H, W]`, whose values are divided by `brightest`, and of the class of each row for each
/// task.
pub(crate) fn table<const T: usize>(
    shape: [usize; 3],
    brightest: u8,
    values: Vec<u8>,
    tasks: [(&str, Vec<u8>); T],
) -> Table {
    let kind = TaskKind::multiclass(CLASSES);
    let features = Features::dense(Dense::Bytes { divisor: brightest, values });
    let tasks = tasks.map(|(name, labels)| {
        let classes = labels.into_iter().map(u32::from).collect();
        (name, kind.clone(), Column::Classes(classes))
    });
    Table::new(InputSpec::default().with_dense(shape), features, tasks)
}
