//! Sets of pictures from files in their original formats, made here.

mod common;

use std::fs;

use common::{
    Stored, all, check_splits, classes, dense, folder, gzip, idx, mat, same_data, seeded,
};
use moe_core::batch::BatchSource;
use moe_data::{Dataset, LoadOptions, load};
use tempfile::TempDir;

fn options(dir: &TempDir) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.path().into()), ..seeded(1) }
}

/// Pictures of MNIST's size: number i has the class i mod 10 and everywhere the pixel i, but 200 in its first corner.
fn mnist_files(count: u32) -> [Vec<u8>; 2] {
    let picture = |i: u32| {
        let mut pixels = [i as u8; 784];
        pixels[0] = 200;
        pixels
    };
    let pixels: Vec<u8> = (0..count).flat_map(picture).collect();
    let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
    [idx(&[count, 28, 28], &pixels), idx(&[count], &labels)]
}

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn mnist_folder(name: &str) -> TempDir {
    let [images, labels] = mnist_files(60);
    let [test_images, test_labels] = mnist_files(20);
    folder(
        name,
        &[
            (TRAIN[0], &images),
            (&format!("{}.gz", TRAIN[1]), &gzip(&labels)),
            (&format!("{}.gz", TEST[0]), &gzip(&test_images)),
            (TEST[1], &test_labels),
        ],
    )
}

/// The byte that an input was.
fn byte(input: moe_core::Real) -> moe_core::Real {
    (input * 255.0).round()
}

fn sizes(data: &Dataset) -> [usize; 3] {
    data.splits().map(|(_, split)| split.rows())
}

#[test]
fn idx_files_plain_and_packed() {
    for id in ["mnist", "fashion-mnist"] {
        let dir = mnist_folder(id);
        let data = load(id, &options(&dir)).unwrap();
        assert_eq!(sizes(&data), [50, 10, 20]);
        check_splits(&data);
        let test = all(&data.test);
        assert_eq!(test.row_ids, (60..80).collect::<Vec<u64>>());
        assert_eq!(classes(&test, 0), (0..20).map(|i| i % 10).collect::<Vec<_>>());
        assert_eq!(dense(&test).row(3)[0], 200.0 / 255.0);
        assert_eq!(dense(&test).row(3)[783], 3.0 / 255.0);
        // Each class in proportion.
        let mut val = classes(&all(&data.val), 0).to_vec();
        val.sort_unstable();
        assert_eq!(val, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn one_pair_of_files_is_cut_in_the_same_proportions() {
    let [images, labels] = mnist_files(70);
    let dir = folder("mnist", &[(TEST[0], &images), (TEST[1], &labels)]);
    let data = load("mnist", &options(&dir)).unwrap();
    assert_eq!(sizes(&data), [50, 10, 10]);
    check_splits(&data);
    assert!(!same_data(&data, &load("mnist", &LoadOptions { seed: 2, ..options(&dir) }).unwrap()));
}

#[test]
fn multi_mnist_takes_twice_as_many_rows_or_those_asked_for() {
    let dir = mnist_folder("mnist");
    let data = load("multi-mnist", &options(&dir)).unwrap();
    assert_eq!(sizes(&data), [100, 20, 40]);
    check_splits(&data);
    let test = all(&data.test);
    assert_eq!((dense(&test).cols(), data.tasks.len()), (36 * 36, 2));
    for row in 0..test.rows() {
        // Number i has the pixel i and the class i mod 10; the brightest pixel is in the corner of each.
        let bright = (0..36 * 36).filter(|&p| dense(&test).row(row)[p] == 200.0 / 255.0);
        let bright: Vec<[usize; 2]> = bright.map(|p| [p / 36, p % 36]).collect();
        assert!(bright.iter().any(|[y, x]| (0..=4).contains(y) && (0..=4).contains(x)));
        assert!(bright.iter().any(|[y, x]| (4..=8).contains(y) && (4..=8).contains(x)));
    }
    let fewer = LoadOptions { train_rows: Some(7), ..options(&dir) };
    let few = load("multi-mnist", &fewer).unwrap();
    assert_eq!(sizes(&few), [7, 20, 40]);
    let first: Vec<u32> = (0..7).collect();
    assert!(common::same(&few.train.batch(&first), &data.train.batch(&first)));
    // Draws are the set's own.
    let other = mnist_folder("fashion-mnist");
    let other = load("multi-fashion-mnist", &options(&other)).unwrap();
    assert!(!same_data(&data, &other));
}

/// Numbers of a picture of SVHN in MATLAB's order, where each value says where it stands.
fn svhn_picture(n: usize) -> Vec<u8> {
    let mut values = vec![0; 3072];
    for (place, value) in values.iter_mut().enumerate() {
        let (y, x, plane) = (place % 32, place / 32 % 32, place / 1024);
        *value = (plane * 80 + y * 2 + x + n) as u8;
    }
    values
}

fn svhn_file(count: usize, packed: bool) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count).flat_map(svhn_picture).collect();
    let labels: Vec<f64> = (0..count).map(|n| (n % 10 + 1) as f64).collect();
    let count = count as u32;
    let x = ("X", &[32, 32, 3, count][..], Stored::Bytes(&pixels));
    mat(&[x, ("y", &[count, 1], Stored::Doubles(&labels))], packed)
}

#[test]
fn svhn_from_mat_files() {
    let (train, test) = (svhn_file(60, true), svhn_file(20, false));
    let dir = folder("svhn", &[("train_32x32.mat", &train), ("test_32x32.mat", &test)]);
    let data = load("svhn", &options(&dir)).unwrap();
    assert_eq!(sizes(&data), [51, 9, 20]);
    check_splits(&data);
    let test = all(&data.test);
    // Stored 1 to 10, where 10 is the digit 0.
    assert_eq!(classes(&test, 0)[..11], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    for (plane, y, x) in [(0, 0, 0), (1, 3, 4), (2, 31, 30)] {
        let value = dense(&test).row(2)[plane * 1024 + y * 32 + x];
        assert_eq!(byte(value), (plane * 80 + y * 2 + x + 2) as moe_core::Real);
    }
    let dir = folder("svhn", &[("train_32x32.mat", &train)]);
    assert_eq!(sizes(&load("svhn", &options(&dir)).unwrap()), [43, 8, 9]);
}

fn usps_file(count: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..256).flat_map(|p| (0..count).map(move |n| (p + n) as u8)).collect();
    let labels: Vec<u8> = (0..count).map(|n| (n % 10 + 1) as u8).collect();
    let count = count as u32;
    let fea = ("fea", &[count, 256][..], Stored::Bytes(&pixels));
    mat(&[fea, ("gnd", &[count, 1], Stored::Bytes(&labels))], true)
}

#[test]
fn usps_is_stored_in_columns_with_the_digit_plus_one() {
    let dir = folder("usps", &[("USPS.mat", &usps_file(70))]);
    let data = load("usps", &options(&dir)).unwrap();
    assert_eq!(sizes(&data), [50, 10, 10]);
    check_splits(&data);
    let batch = all(&data.train);
    for row in 0..batch.rows() {
        let n = batch.row_ids[row] as usize;
        assert_eq!(classes(&batch, 0)[row] as usize, n % 10);
        for p in [0, 17, 255] {
            assert_eq!(byte(dense(&batch).row(row)[p]), ((p + n) % 256) as moe_core::Real);
        }
    }
}

#[test]
fn digits_are_mnist_with_svhn_or_usps_at_one_size() {
    let dir = mnist_folder("mnist");
    let missing = load("digits", &options(&dir)).unwrap_err().to_string();
    assert!(missing.contains("train_32x32.mat (or usps/USPS.mat)"), "{missing}");
    let put = |name: &str, file: &str, bytes: Vec<u8>| {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join(file), bytes).unwrap();
    };
    put("usps", "USPS.mat", usps_file(70));
    let by_id = |data: &Dataset| {
        let mut rows = Vec::new();
        for (_, split) in data.splits() {
            let batch = all(split);
            for row in 0..batch.rows() {
                rows.push((batch.row_ids[row], dense(&batch).row(row).to_vec()));
            }
        }
        rows.sort_by_key(|row| row.0);
        rows.into_iter().map(|row| row.1).collect::<Vec<_>>()
    };
    let with_usps = load("digits", &options(&dir)).unwrap();
    assert_eq!(sizes(&with_usps).iter().sum::<usize>(), 80 + 70);
    check_splits(&with_usps);
    let rows = by_id(&with_usps);
    // The margin, then the first corner and the next pixel of picture 5.
    assert_eq!([31, 66, 67].map(|p| byte(rows[5][p])), [0.0, 200.0, 5.0]);
    // Pixel (1, 2) of picture 3 is pixels (2..=3, 4..=5).
    assert_eq!([68, 69, 100, 101].map(|p| byte(rows[83][p])), [21.0; 4]);

    put("svhn", "train_32x32.mat", svhn_file(30, true));
    let rows = by_id(&load("digits", &options(&dir)).unwrap());
    assert_eq!(rows.len(), 80 + 30);
    // (299 r + 587 g + 114 b) / 1000 at (0, 0) of picture 1, where r, g, b are 1, 81, 161.
    assert_eq!(byte(rows[81][0]), 66.0);
}

/// The message of what is wrong with a set whose files are these.
fn message(id: &str, folder_name: &str, files: &[(&str, &[u8])]) -> String {
    let dir = folder(folder_name, files);
    load(id, &options(&dir)).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_an_idx_file_is_said_with_its_byte() {
    let [images, labels] = mnist_files(70);
    let mut more = images.clone();
    more[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut huge = more.clone();
    huge[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut eleven = labels.clone();
    eleven[8 + 17] = 10;
    let small = idx(&[70, 14, 56], &images[16..]);
    let packed = gzip(&images);
    let long = [&images[..], b"x"].concat();
    let short = idx(&[69], &labels[8..77]);
    for (images, labels, says) in [
        (
            &labels[..],
            &labels[..],
            "images-idx3-ubyte, byte 4: the magic number is 2049; allowed: 2051",
        ),
        (&images[..100], &labels, "byte 100: the file ends here, 54796 bytes too early"),
        (&more, &labels, "byte 16: the header promises"),
        (
            &huge,
            &labels,
            "the header promises [4294967295, 4294967295, 28] values; allowed: at most",
        ),
        (&long, &labels, "byte 54896: more bytes follow"),
        (&small, &labels, "byte 16: pictures of 14 x 56 pixels; allowed: 28 x 28"),
        (&images, &eleven, "labels-idx1-ubyte, byte 25: the label 10; allowed: 0 to 9"),
        (&images, &short, "byte 8: 69 labels; allowed: 70, one per picture"),
        (&packed[..packed.len() - 9], &labels, "the file is cut short"),
        (b"", &labels, "byte 0: the file ends here, 4 bytes too early"),
        (b"\x1f\x8bgarbage", &labels, "cannot be read: "),
    ] {
        let error = message("mnist", "mnist", &[(TEST[0], images), (TEST[1], labels)]);
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = message("mnist", "mnist", &[(TEST[0], &images)]);
    assert!(error.contains("the data set mnist needs t10k-labels-idx1-ubyte in"), "{error}");
    let error = message("multi-mnist", "mnist", &[]);
    assert!(error.contains("the data set multi-mnist needs train-images-idx3"), "{error}");
}

#[test]
fn what_is_wrong_with_a_mat_file_is_said_with_its_byte() {
    let good = usps_file(70);
    let pixels = vec![0; 256 * 70];
    let labels = vec![1.0; 70];
    let file = |sizes: &[u32], labels: &[f64], label_sizes: &[u32]| {
        let fea = ("fea", sizes, Stored::Bytes(&pixels));
        mat(&[fea, ("gnd", label_sizes, Stored::Doubles(labels))], false)
    };
    let mut half = labels.clone();
    half[3] = 2.5;
    let mut eleven = labels.clone();
    eleven[4] = 11.0;
    let mut hdf5 = good.clone();
    hdf5[..19].copy_from_slice(b"MATLAB 7.3 MAT-file");
    hdf5[125] = 2;
    let other = mat(&[("x", &[1, 1], Stored::Bytes(&[1]))], true);
    for (file, says) in [
        (file(&[256, 70], &labels, &[70, 1]), "fea has the sizes [256, 70]; allowed: [n, 256]"),
        (file(&[70, 256], &labels[1..], &[69, 1]), "gnd has the sizes [69, 1]; allowed: [70, 1]"),
        (file(&[70, 255], &labels, &[70, 1]), "17920 bytes of values for the sizes [70, 255]"),
        (file(&[u32::MAX; 2], &labels, &[70, 1]), "values for the sizes [4294967295, 4294967295]"),
        (file(&[u32::MAX; 3], &labels, &[70, 1]), "at most 4294967296 values"),
        (file(&[70, 256], &half, &[70, 1]), "a value 2.5; allowed: a whole number from 0 to 255"),
        (file(&[70, 256], &eleven, &[70, 1]), "gnd(5) = 11; allowed: 1 to 10"),
        (hdf5, "byte 128: not a MAT file of version 5: it begins \"MATLAB 7.3 MAT-file\""),
        (other, "no numeric variable \"fea\", but [\"x\"]; allowed: a variable fea"),
        (good[..60].to_vec(), "byte 60: the file ends here, 68 bytes too early"),
        (good[..good.len() - 40].to_vec(), "USPS.mat"),
        (Vec::new(), "byte 0: the file ends here"),
    ] {
        let error = message("usps", "usps", &[("USPS.mat", &file)]);
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = message("svhn", "svhn", &[("train_32x32.mat", &good)]);
    assert!(error.contains("no numeric variable \"X\", but [\"fea\", \"gnd\"]"), "{error}");
}

/// Memory grows with the file, not with what its header promises.
#[test]
fn a_promise_of_a_gigabyte_is_an_error_at_the_end_of_the_file() {
    let promise = idx(&[1 << 20, 28, 28], &[0; 1000]);
    let error = message("mnist", "mnist", &[(TEST[0], &promise), (TEST[1], &idx(&[1 << 20], &[]))]);
    assert!(error.contains("byte 1016: the file ends here"), "{error}");
}

/// The header of the labels is compared with that of the pictures before a picture is read.
#[test]
fn labels_are_counted_before_pictures_are_read() {
    let promised = idx(&[40_000, 28, 28], &[0; 10]);
    let labels = idx(&[59], &[1; 59]);
    let dir = folder("mnist", &[(TRAIN[0], &promised), (TRAIN[1], &labels)]);
    let error = load("mnist", &options(&dir)).unwrap_err().to_string();
    assert!(error.contains("59 labels; allowed: 40000, one per picture"), "{error}");
    let labels = idx(&[40_000], &[1; 59]);
    let dir = folder("mnist", &[(TRAIN[0], &promised), (TRAIN[1], &labels)]);
    let error = load("mnist", &options(&dir)).unwrap_err().to_string();
    assert!(error.contains(TRAIN[0]) && error.contains("the file ends here"), "{error}");
}
