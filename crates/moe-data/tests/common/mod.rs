//! What several test targets need.
#![allow(dead_code, unreachable_pub)]

pub mod own_table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use moe_core::batch::{Batch, BatchSource};
use moe_data::{Dataset, LoadOptions, Split};
use tempfile::TempDir;

/// What `work` returns, and the warnings that it logs.
pub fn warnings<T>(work: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let value = tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (value, text)
}

/// Options that give only the seed.
pub fn seeded(seed: u64) -> LoadOptions {
    LoadOptions { seed, ..LoadOptions::default() }
}

/// All rows of a split in order.
pub fn all(split: &Split) -> Batch {
    split.batch(&(0..split.rows() as u32).collect::<Vec<_>>())
}

/// The dense values, `[B, D]`.
pub fn dense(batch: &Batch) -> moe_core::Tensor {
    batch.inputs.dense_rows().expect("the input is dense")
}

pub fn ids(batch: &Batch) -> &[Vec<u32>] {
    assert!(batch.inputs.dense.is_none(), "the input is ids alone");
    &batch.inputs.ids
}

pub fn classes(batch: &Batch, task: usize) -> &[u32] {
    &batch.targets[task].classes
}

/// Numbers of rows by value 0..=9 of a regression task, present rows only.
pub fn marks(batch: &Batch, task: usize) -> [usize; 10] {
    let target = &batch.targets[task];
    let mut counts = [0; 10];
    for (value, _) in target.values.iter().zip(&target.present).filter(|(_, present)| **present) {
        assert_eq!(value.fract(), 0.0);
        counts[*value as usize] += 1;
    }
    counts
}

/// The splits have no row in common, every id is its own, and any batch agrees with single rows.
pub fn check_splits(data: &Dataset) {
    let mut seen = std::collections::HashSet::new();
    for (_, split) in data.splits() {
        assert!(split.rows() > 0);
        assert_eq!(split.input(), &data.input);
        assert_eq!(split.tasks(), &data.tasks[..]);
        assert!(split.row_ids().iter().all(|&id| seen.insert(id)));

        let last = split.rows() as u32 - 1;
        let rows = [last, 0, last / 2, 0];
        let batch = split.batch(&rows);
        assert_eq!(batch.targets.len(), data.tasks.len());
        for (place, &row) in rows.iter().enumerate() {
            let single = split.batch(&[row]);
            assert_eq!(single.row_ids[0], u64::from(split.row_ids()[row as usize]));
            assert_eq!(single.row_ids[0], batch.row_ids[place]);
            assert_eq!(single.keys[0], batch.keys[place]);
            let (one, many) = (&single.inputs, &batch.inputs);
            let key = one.ids.first().map_or(single.row_ids[0], |ids| ids[0].into());
            assert_eq!(single.keys, [key]);
            let of_group = |groups: &Option<Vec<u32>>, at: usize| groups.as_ref().map(|g| g[at]);
            assert_eq!(of_group(&single.groups, 0), of_group(&batch.groups, place));
            assert_eq!(of_group(&single.groups, 0), split.groups().map(|g| g[row as usize]));
            assert_eq!(one.ids.len(), data.input.columns.len());
            assert_eq!(many.ids.len(), data.input.columns.len());
            assert!(one.ids.iter().zip(&many.ids).all(|(a, b)| a[0] == b[place]));
            for (inputs, rows) in [(one, 1), (many, 4)] {
                let shape = inputs.dense.as_ref().map(|x| *x.shape());
                let has_dense = !data.input.dense.is_empty();
                assert_eq!(shape, has_dense.then(|| data.input.dense_shape(rows)));
                assert_eq!(inputs.rows(), rows);
            }
            if let (Some(one), Some(many)) = (one.dense_rows(), many.dense_rows()) {
                assert_eq!(one.row(0), many.row(place));
            }
            for (one, many) in single.targets.iter().zip(&batch.targets) {
                assert_eq!(one.values_of(0), many.values_of(place));
                assert_eq!(one.classes_of(0), many.classes_of(place));
                assert_eq!(one.present[0], many.present[place]);
            }
        }
    }
}

/// Everything of a batch that can be compared.
pub fn same(a: &Batch, b: &Batch) -> bool {
    let names = a.row_ids == b.row_ids && a.keys == b.keys && a.groups == b.groups;
    names && a.inputs == b.inputs && a.targets == b.targets
}

pub fn same_data(a: &Dataset, b: &Dataset) -> bool {
    let splits = a.splits().into_iter().zip(b.splits());
    splits.into_iter().all(|((_, a), (_, b))| same(&all(a), &all(b)))
}

/// `bytes` packed with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The folder with the real data sets for development, or `None` after saying that `test` is skipped.
///
/// It is `data` in the folder named by `MOE_SHARED`, else `../shared/data` beside this repository.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let found = match std::env::var_os("MOE_SHARED") {
        Some(folder) => vec![Path::new(&folder).join("data"), PathBuf::from(folder)],
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("../shared/data"))
            .collect(),
    };
    let found = found.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        // Not println: the test harness would keep it to itself.
        let line = format!("skipped: {test} needs the shared data folder (set MOE_SHARED)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

/// A data directory with these files in a folder.
pub fn folder(name: &str, files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    dir
}

/// Options of a set of ratings in a data directory, without a cache.
pub fn uncached(dir: &Path) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.to_path_buf()), cache: Some(false), ..LoadOptions::default() }
}

/// All rows of a set of ratings: user, item, and the rating where the item was watched, which is NaN where there is
/// none.
pub fn rating_rows(data: &Dataset) -> Vec<(u32, u32, Option<f64>)> {
    let mut rows = Vec::new();
    for (_, split) in data.splits() {
        let batch = all(split);
        let (watch, rating) = (&batch.targets[0].values, &batch.targets[1]);
        for row in 0..batch.rows() {
            let rating = if rating.present[row] { f64::from(rating.values[row]) } else { f64::NAN };
            assert!(watch[row] == 1.0 || rating.is_nan(), "a rating of what was not watched");
            let watched = (watch[row] == 1.0).then_some(rating);
            rows.push((batch.row_ids[row], ids(&batch)[0][row], ids(&batch)[1][row], watched));
        }
    }
    rows.sort_by_key(|row| row.0);
    rows.into_iter().map(|(_, user, item, rating)| (user, item, rating)).collect()
}

/// [`rating_rows`] that were watched, in file order, with the original names.
pub fn watched(data: &Dataset) -> Vec<(String, String, f64)> {
    let name = |column, id| data.vocabulary(column).unwrap().name(id).unwrap().to_owned();
    let rows = rating_rows(data).into_iter();
    rows.filter_map(|(user, item, rating)| Some((name(0, user), name(1, item), rating?))).collect()
}

/// A file in IDX: unsigned bytes with axes of these sizes.
pub fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(values);
    file
}

/// The values of a variable of a MAT file, by how they are stored.
pub enum Stored<'a> {
    Bytes(&'a [u8]),
    Doubles(&'a [f64]),
}

/// A MAT file of version 5 with these variables: name, sizes, values in the order of columns. Small elements are
/// written short, as MATLAB does.
pub fn mat(variables: &[(&str, &[u32], Stored<'_>)], packed: bool) -> Vec<u8> {
    fn element(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if (1..=4).contains(&content.len()) {
            bytes.extend((kind | (content.len() as u32) << 16).to_le_bytes());
            bytes.extend(content);
            bytes.resize(8, 0);
        } else {
            bytes.extend(kind.to_le_bytes());
            bytes.extend((content.len() as u32).to_le_bytes());
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes
    }
    let mut file = b"MATLAB 5.0 MAT-file, made by a test".to_vec();
    file.resize(124, b' ');
    file.extend(b"\0\x01IM");
    for (name, sizes, values) in variables {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let (class, kind, content) = match values {
            Stored::Bytes(values) => (9, 2, values.to_vec()),
            Stored::Doubles(values) => {
                (6, 9, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        let matrix = [
            element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &sizes),
            element(1, name.as_bytes()),
            element(kind, &content),
        ]
        .concat();
        let matrix = element(14, &matrix);
        if packed {
            let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(&matrix).unwrap();
            let packed = packer.finish().unwrap();
            file.extend(15u32.to_le_bytes());
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend(packed);
        } else {
            file.extend(matrix);
        }
    }
    file
}
