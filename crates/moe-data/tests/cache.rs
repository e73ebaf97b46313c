//! The prepared set on disk: when it is used, when it is made anew, and that it is never believed blindly.

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{folder, same_data, watched};
use moe_data::{Dataset, LoadOptions, load};
use tempfile::TempDir;

const ID: &str = "movielens-1m";

/// Ratings with as many stars as given, or one less.
fn text(stars: usize) -> String {
    (0..144).map(|i| format!("{}::{}::{}::1\n", i / 6 + 1, i % 12 + 1, stars - i % 2)).collect()
}

/// A data directory with ratings that were written long ago.
fn place() -> (TempDir, PathBuf) {
    let dir = folder(ID, &[("ratings.dat", text(4).as_bytes())]);
    let file = dir.path().join(ID).join("ratings.dat");
    set_age(&file, 3600);
    (dir, file)
}

fn set_age(file: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

fn kept(dir: &TempDir) -> PathBuf {
    dir.path().join(ID).join("movielens-1m.prepared")
}

fn options(dir: &TempDir) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.path().into()), ..LoadOptions::default() }
}

fn read(dir: &TempDir) -> Dataset {
    load(ID, &options(dir)).unwrap()
}

/// The rating of the first line.
fn first(data: &Dataset) -> f64 {
    watched(data)[0].2
}

#[test]
fn what_is_kept_is_what_was_prepared() {
    let (dir, _) = place();
    let prepared = read(&dir);
    assert!(kept(&dir).exists());
    let again = read(&dir);
    assert!(same_data(&prepared, &again));
    assert_eq!(watched(&prepared), watched(&again), "names too");
    let never = LoadOptions { cache: Some(false), ..options(&dir) };
    assert!(same_data(&prepared, &load(ID, &never).unwrap()));
    assert_eq!(fs::read_dir(dir.path().join(ID)).unwrap().count(), 2, "nothing half-written");
}

/// That the file is read at all shows where the source changed behind its back.
#[test]
fn a_file_at_rest_is_known_by_length_and_time() {
    let (dir, file) = place();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(first(&read(&dir)), 4.0);
    fs::write(&file, text(3)).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    assert_eq!(first(&read(&dir)), 4.0, "from the cache");
    set_age(&file, 1000);
    assert_eq!(first(&read(&dir)), 3.0, "another time");
}

#[test]
fn a_file_that_has_just_changed_is_known_by_its_hash() {
    let (dir, file) = place();
    fs::write(&file, text(4)).unwrap();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(first(&read(&dir)), 4.0);
    fs::write(&file, text(3)).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    assert_eq!(first(&read(&dir)), 3.0);
}

/// Whether loading leaves the kept file as it is.
fn is_used(dir: &TempDir, load: impl Fn()) -> bool {
    set_age(&kept(dir), 500);
    let before = fs::metadata(kept(dir)).unwrap().modified().unwrap();
    load();
    fs::metadata(kept(dir)).unwrap().modified().unwrap() == before
}

#[test]
fn content_time_and_options_decide() {
    let (dir, file) = place();
    read(&dir);
    assert!(is_used(&dir, || drop(read(&dir))));
    set_age(&file, 7200);
    assert!(is_used(&dir, || drop(read(&dir))), "a file that was only touched");
    fs::write(&file, text(4) + "30::1::5::1\n").unwrap();
    assert!(!is_used(&dir, || drop(read(&dir))), "a longer file");
    fs::write(&file, text(5) + "30::1::5::1\n").unwrap();
    assert!(!is_used(&dir, || drop(read(&dir))), "other stars");
    let changes: [fn(&mut LoadOptions); 5] = [
        |o| o.seed = 2,
        |o| o.negatives = Some(2),
        |o| o.min_ratings = Some(2),
        |o| o.test_share = Some(0.2),
        |o| o.val_share = Some(0.2),
    ];
    for change in changes {
        let mut other = options(&dir);
        change(&mut other);
        let fresh = load(ID, &LoadOptions { cache: Some(false), ..other.clone() }).unwrap();
        assert!(!is_used(&dir, || assert!(same_data(&fresh, &load(ID, &other).unwrap()))));
        assert!(is_used(&dir, || assert!(same_data(&fresh, &load(ID, &other).unwrap()))));
    }
}

#[test]
fn the_folder_may_move() {
    let (dir, _) = place();
    let prepared = read(&dir);
    let other = TempDir::new().unwrap();
    fs::rename(dir.path().join(ID), other.path().join(ID)).unwrap();
    assert!(is_used(&other, || assert!(same_data(&prepared, &read(&other)))));
}

#[test]
fn damage_is_noticed_and_repaired() {
    let (dir, _) = place();
    let prepared = read(&dir);
    let good = fs::read(kept(&dir)).unwrap();
    let damaged = (0..good.len()).step_by(97).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    let cut = [0, 1, 40, 64, good.len() / 2, good.len() - 1].map(|at| good[..at].to_vec());
    for bad in damaged.chain(cut) {
        fs::write(kept(&dir), bad).unwrap();
        assert!(same_data(&prepared, &read(&dir)));
        assert_eq!(fs::read(kept(&dir)).unwrap(), good);
    }
}

#[test]
fn the_place_can_be_chosen_or_there_is_none() {
    let (dir, _) = place();
    let off = LoadOptions { cache: Some(false), ..options(&dir) };
    let prepared = load(ID, &off).unwrap();
    assert!(!kept(&dir).exists());

    let chosen = dir.path().join("new/folder");
    let there = LoadOptions { cache_dir: Some(chosen.clone()), ..options(&dir) };
    assert!(same_data(&prepared, &load(ID, &there).unwrap()));
    assert!(chosen.join("movielens-1m.prepared").exists() && !kept(&dir).exists());
    assert!(same_data(&prepared, &load(ID, &there).unwrap()));

    // A place that cannot be is done without.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let there = LoadOptions { cache_dir: Some(file), ..options(&dir) };
    let (data, warnings) = common::warnings(|| load(ID, &there).unwrap());
    assert!(same_data(&prepared, &data));
    assert!(warnings.contains("file/movielens-1m.prepared: "), "{warnings}");
    assert!(
        warnings.contains("cannot be kept") && warnings.contains("cache = false"),
        "{warnings}"
    );
    let (_, warnings) = common::warnings(|| read(&dir));
    assert_eq!(warnings, "");
}

#[test]
fn errors_and_embedded_ratings_are_not_kept() {
    let dir = folder(ID, &[("ratings.dat", b"1::2::3\n")]);
    assert!(load(ID, &options(&dir)).is_err());
    assert!(!kept(&dir).exists());
    let dir = TempDir::new().unwrap();
    load("movietweetings", &options(&dir)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
