//! One cache entry and many who want it: one of them prepares the set, and the others wait for it.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{folder, same_data};
use moe_data::{LoadOptions, load};
use tempfile::TempDir;

const ID: &str = "movielens-1m";
const KEPT: &str = "movielens-1m.prepared";
/// The variables that make a process of these tests one of those that want the cache: data directory and cache folder.
const DATA: &str = "MOE_TEST_DATA";
const CACHE: &str = "MOE_TEST_CACHE";

fn place() -> TempDir {
    let line = |i: u32| format!("{}::{}::{}::1\n", i / 40 + 1, i % 40 * 7 % 97 + 1, i % 5 + 1);
    let text: String = (0..4000).map(line).collect();
    folder(ID, &[("ratings.dat", text.as_bytes())])
}

fn options(dir: &Path) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.into()), ..LoadOptions::default() }
}

/// Loads the set with the cache and without, where the variables say so.
#[test]
fn a_process_that_wants_the_cache() {
    let (Some(dir), Some(cache)) = (std::env::var_os(DATA), std::env::var_os(CACHE)) else {
        return;
    };
    let options = options(Path::new(&dir));
    let there = LoadOptions { cache_dir: Some(cache.into()), ..options.clone() };
    let (data, warnings) = common::warnings(|| load(ID, &there).unwrap());
    assert!(!warnings.contains("cannot be kept"), "{warnings}");
    assert!(same_data(&data, &load(ID, &LoadOptions { cache: Some(false), ..options }).unwrap()));
}

/// None of five processes fails, and the file is whole. `MOE_TRIALS` raises the number of trials.
#[test]
fn many_processes_want_one_cache_at_once() {
    let trials = std::env::var("MOE_TRIALS").ok().and_then(|trials| trials.parse().ok());
    for trial in 0..trials.unwrap_or(4) {
        let dir = place();
        let cache = dir.path().join("new/cache");
        let start = || -> Child {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_process_that_wants_the_cache"])
                .envs([(DATA, dir.path()), (CACHE, &cache)])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let processes: Vec<Child> = (0..5).map(|_| start()).collect();
        for process in processes {
            let output = process.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "trial {trial}: {text}");
        }
        let names: Vec<_> = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [KEPT], "trial {trial}");
        let bytes = fs::read(cache.join(KEPT)).unwrap();
        let there = LoadOptions { cache_dir: Some(cache.clone()), ..options(dir.path()) };
        let uncached = LoadOptions { cache: Some(false), ..options(dir.path()) };
        assert!(same_data(&load(ID, &there).unwrap(), &load(ID, &uncached).unwrap()));
        assert_eq!(fs::read(cache.join(KEPT)).unwrap(), bytes, "trial {trial}");
    }
}

/// A set that somebody else prepares is waited for, and what is left behind by a process that was killed is not.
#[test]
fn a_cache_in_the_making_is_waited_for() {
    let dir = place();
    let kept = dir.path().join(ID).join(KEPT);
    let name = dir.path().join(ID).join(format!("{KEPT}.lock"));
    fs::write(&name, "1-0\n").unwrap();
    let read = || load(ID, &options(dir.path())).unwrap();
    let prepared = read();
    assert!(!name.exists());
    fs::remove_file(&kept).unwrap();

    let lock = moe_core::lock_file::LockFile::acquire(&name).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| common::warnings(read));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished() && !kept.exists());
        drop(lock);
        let (data, warnings) = waiting.join().unwrap();
        assert!(same_data(&prepared, &data));
        let says = format!("waiting for process {}, which is preparing", std::process::id());
        assert!(warnings.contains(&says), "{warnings}");
    });
}
