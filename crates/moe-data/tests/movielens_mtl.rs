//! The reader of `movielens-1m-mtl`: which file is which split, and malformed files.

mod common;

use std::fs;
use std::path::Path;

use common::{all, check_splits, gzip, ids};
use moe_core::batch::{BatchSource, Target};
use moe_data::{DataError, Dataset, LoadOptions, load};
use proptest::prelude::*;
use tempfile::TempDir;

const ID: &str = "movielens-1m-mtl";

/// A data directory with these files in the set's folder.
fn dir(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join(ID);
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    dir
}

fn options(dir: &Path) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.to_path_buf()), ..LoadOptions::default() }
}

fn read(files: &[(&str, &[u8])]) -> Result<Dataset, DataError> {
    load(ID, &options(dir(files).path()))
}

/// The message for a folder with only this `val.csv`.
fn message(text: &str) -> String {
    read(&[("val.csv", text.as_bytes())]).unwrap_err().to_string()
}

/// Twenty good lines: row i is user i, movie 2i, watched where i is odd.
fn good() -> String {
    (0..20)
        .map(|i| match i % 2 {
            0 => format!("{i},{},0,0\n", 2 * i),
            _ => format!("{i},{},1,{}\n", 2 * i, i % 5 + 1),
        })
        .collect()
}

/// [`good`] with line `line` (from 1) replaced.
fn with_line(line: usize, text: &str) -> String {
    let mut lines: Vec<String> = good().lines().map(str::to_owned).collect();
    lines[line - 1] = text.to_owned();
    lines.join("\n") + "\n"
}

#[test]
fn val_alone_is_split_by_index() {
    let data = read(&[("val.csv.gz", &gzip(good().as_bytes()))]).unwrap();
    assert_eq!(data.val.row_ids(), [8, 18]);
    assert_eq!(data.test.row_ids(), [9, 19]);
    assert_eq!(data.train.rows(), 16);
    let test = all(&data.test);
    assert_eq!(ids(&test), [vec![9, 19], vec![18, 38]]);
    assert_eq!(test.keys, [9, 19]);
    let val = all(&data.val);
    assert_eq!(val.targets[0], Target::binary(vec![0.0, 0.0]));
    assert_eq!(test.targets[1], Target::regression(vec![5.0, 5.0], vec![true, true]));
    assert_eq!(val.targets[1], Target::regression(vec![0.0, 0.0], vec![false, false]));
    check_splits(&data);
}

#[test]
fn three_files_are_the_splits() {
    let data = read(&[
        ("train.csv", b"1,1,0,0\n2,2,1,5\n"),
        ("val.csv.gz", &gzip(b"3,3,0,0\n")),
        ("test.csv", b"4,4,1,3\n5,5,0,0\n6039,3951,0,0"),
    ])
    .unwrap();
    assert_eq!(ids(&all(&data.train))[0], [1, 2]);
    assert_eq!(ids(&all(&data.val))[0], [3]);
    assert_eq!(ids(&all(&data.test))[0], [4, 5, 6039]);
    assert_eq!(data.test.row_ids(), [3, 4, 5]);
    check_splits(&data);
}

#[test]
fn a_test_file_replaces_the_test_split() {
    let folder = dir(&[("val.csv", good().as_bytes())]);
    let file = folder.path().join("other.data");
    fs::write(&file, gzip(b"7,7,1,2\n")).unwrap();
    let with = |folder: &Path| LoadOptions { test_file: Some(file.clone()), ..options(folder) };
    let data = load(ID, &with(folder.path())).unwrap();
    assert_eq!(data.train.rows(), 16);
    assert_eq!(data.val.row_ids(), [8, 18]);
    assert_eq!(data.test.row_ids(), [20]);
    assert_eq!(ids(&all(&data.test))[0], [7]);
    check_splits(&data);

    // With it, the folder needs no test file and does not read one.
    let three =
        dir(&[("train.csv", b"1,1,0,0\n"), ("val.csv", b"3,3,0,0\n"), ("test.csv", b"nonsense")]);
    let data = load(ID, &with(three.path())).unwrap();
    assert_eq!(ids(&all(&data.test))[0], [7]);
    fs::remove_file(three.path().join(ID).join("test.csv")).unwrap();
    assert!(load(ID, &with(three.path())).is_ok());

    fs::remove_file(&file).unwrap();
    let error = load(ID, &with(three.path())).unwrap_err().to_string();
    assert!(error.contains("other.data"), "{error}");
}

#[test]
fn the_packed_file_comes_first_and_line_ends_do_not_matter() {
    let windows = good().replace('\n', "\r\n");
    let data = read(&[("val.csv", windows.as_bytes()), ("val.csv.gz", &gzip(good().as_bytes()))]);
    let plain = read(&[("val.csv", windows.as_bytes())]);
    assert!(common::same_data(&data.unwrap(), &plain.unwrap()));
}

#[test]
fn wrong_lines_are_named() {
    for (line, expected) in [
        ("x,1,0,0", "column 1 (user): \"x\" is not a whole number in range; allowed: 0 to 6039"),
        (
            "6040,1,0,0",
            "column 1 (user): \"6040\" is not a whole number in range; allowed: 0 to 6039",
        ),
        (
            "1,3952,0,0",
            "column 2 (movie): \"3952\" is not a whole number in range; allowed: 0 to 3951",
        ),
        ("-1,1,0,0", "column 1 (user): \"-1\""),
        ("1,1,2,0", "column 3 (watch): \"2\" is not a whole number in range; allowed: 0 to 1"),
        ("1,1,1,NaN", "column 4 (rating): \"NaN\""),
        ("1,1,1,6", "column 4 (rating): \"6\" is not a whole number in range; allowed: 0 to 5"),
        ("1,1,1,3.5", "column 4 (rating): \"3.5\""),
        ("1,1,1,", "column 4 (rating): \"\""),
        (
            "1,1,1,0",
            "column 4 (rating): \"0\" contradicts watch = 1; allowed: 1 to 5 where watch is 1",
        ),
        ("1,1,0,3", "column 4 (rating): \"3\" contradicts watch = 0"),
        ("1,1,0", ": 3 fields; allowed: 4 fields, user,movie,watch,rating"),
        ("1,1,0,0,", ": 5 fields"),
        ("\u{fffd},1,0,0", "column 1 (user)"),
    ] {
        let error = message(&with_line(7, line));
        assert!(error.contains("val.csv, line 7"), "{error}");
        assert!(error.contains(expected), "{line}: {error}");
    }
    let error = message(&with_line(5, "1,1,1,x").replace('\n', "\r\n"));
    assert!(error.contains("val.csv, line 5, column 4 (rating)"), "{error}");
}

#[test]
fn a_file_that_is_cut_short_is_named() {
    let many: String = good().repeat(5000);
    let packed = gzip(many.as_bytes());
    for keep in [0, 1, 5, 12, packed.len() / 2, packed.len() - 1] {
        let error = read(&[("val.csv.gz", &packed[..keep])]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("val.csv.gz, line "), "{keep}: {error}");
        if keep > 0 {
            assert!(error.contains("cut short"), "{keep}: {error}");
        }
    }
    let mut wrong = packed.clone();
    let check = wrong.len() - 6;
    wrong[check] ^= 1;
    let error = read(&[("val.csv.gz", &wrong)]).unwrap_err().to_string();
    assert!(error.contains("val.csv.gz, line "), "{error}");
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn too_few_rows_are_an_error() {
    let error = message("");
    assert!(error.contains("val.csv, line 1: the file holds no rows"), "{error}");
    let error = read(&[("val.csv.gz", &gzip(b"\n\n"))]).unwrap_err();
    assert!(error.to_string().contains("val.csv.gz, line 1: the file holds no rows"));
    let error = message("1,1,0,0\n2,2,1,4\n");
    assert!(error.contains("the val split") && error.contains("2 rows"), "{error}");
    let error = message(&with_line(1, "1,1,0,0").lines().take(9).collect::<Vec<_>>().join("\n"));
    assert!(error.contains("the test split"), "{error}");
}

#[test]
fn a_missing_file_says_where_it_was_looked_for_and_whence_it_comes() {
    let empty = TempDir::new().unwrap();
    let error = load(ID, &options(empty.path())).unwrap_err().to_string();
    let folder = empty.path().join(ID).display().to_string();
    for says in [&folder, "val.csv.gz", "train.csv.gz", "COMET", "data_dir", "MOE_DATA_DIR"] {
        assert!(error.contains(says), "{says}: {error}");
    }
    let val = ("val.csv", &b"1,1,0,0\n"[..]);
    let error = read(&[val, ("test.csv", b"1,1,0,0\n")]).unwrap_err();
    assert!(error.to_string().contains("needs train.csv.gz"), "{error}");
    let error = read(&[val, ("train.csv", b"1,1,0,0\n")]).unwrap_err();
    assert!(error.to_string().contains("needs test.csv.gz"), "{error}");
    let error = read(&[("train.csv", b"1,1,0,0\n")]).unwrap_err();
    assert!(error.to_string().contains("needs val.csv.gz"), "{error}");
}

#[test]
fn a_folder_in_place_of_a_file_is_an_error() {
    let dir = dir(&[]);
    fs::create_dir(dir.path().join(ID).join("val.csv")).unwrap();
    let error = load(ID, &options(dir.path())).unwrap_err().to_string();
    assert!(error.contains("val.csv: cannot be read"), "{error}");
}

/// A gzip file of a few kB that unpacks to more than 256 MiB of blank lines.
#[test]
fn a_file_that_unpacks_to_too_much_is_an_error() {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let blank = vec![b'\n'; 1 << 20];
    for _ in 0..257 {
        packer.write_all(&blank).unwrap();
    }
    let error = read(&[("val.csv.gz", &packer.finish().unwrap())]).unwrap_err();
    assert!(error.to_string().contains("unpacks to more than"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done to a good file, packed or not: rows or an error with a message.
    #[test]
    fn a_changed_file_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
        packed in any::<bool>(),
        pack_after in any::<bool>(),
    ) {
        let mut bytes = good().into_bytes();
        if packed && !pack_after {
            bytes = gzip(&bytes);
        }
        for (place, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        if packed && pack_after {
            bytes = gzip(&bytes);
        }
        let name = if packed { "val.csv.gz" } else { "val.csv" };
        match read(&[(name, &bytes)]) {
            Ok(data) => check_splits(&data),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
