//! One process at a time writes into a run directory, and any number of them read it.

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::saved_runs::{copy, names, run};
use moe_nn::{RunDir, RunDirError, RunInfo, SavedModel, TrainState};

/// Two writers would mix their checkpoints; readers are never in the way.
#[test]
fn one_process_at_a_time_trains_in_a_directory() {
    let (place, path, _) = run(1);
    let in_use = |result: Result<(RunDir, TrainState), RunDirError>| {
        let error = result.unwrap_err();
        let own = std::process::id();
        let is_own = matches!(&error, RunDirError::InUse { process: Some(id), .. } if *id == own);
        assert!(is_own && error.to_string().contains(&format!("({own})")), "{error}");
    };
    let (mut dir, state) = RunDir::open(&path).unwrap();
    in_use(RunDir::open(&path));
    in_use(RunDir::create(&path, RunInfo::default(), &state).map(|dir| (dir, state.clone())));
    SavedModel::open(&path).unwrap();
    dir.commit(&state).unwrap();
    in_use(RunDir::open(&path));
    dir.finish().unwrap();
    drop(dir);
    // Nothing of the lock stays behind, and it is free.
    assert!(!names(&path).iter().any(|name| name.contains("lock")), "{:?}", names(&path));
    RunDir::open(&path).unwrap();

    // A process that was killed leaves the file, which locks nothing.
    let killed = place.path().join("killed");
    copy(&path, &killed);
    fs::write(killed.join("moe.lock"), "1-0\n").unwrap();
    RunDir::open(&killed).unwrap();
    let begun = place.path().join("begun");
    fs::create_dir(&begun).unwrap();
    fs::write(begun.join("moe.lock"), "1-0\n").unwrap();
    RunDir::create(&begun, RunInfo::default(), &state).unwrap();
    assert_eq!(names(&begun).len(), 6, "{:?}", names(&begun));
}

#[cfg(unix)]
#[test]
fn a_lock_that_is_a_link_is_refused() {
    let (place, path, _) = run(1);
    let foreign = place.path().join("foreign");
    fs::write(&foreign, "years of work").unwrap();
    std::os::unix::fs::symlink(&foreign, path.join("moe.lock")).unwrap();
    let error = RunDir::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("moe.lock: is not a regular file"), "{error}");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "years of work");
}

/// Of many that want the lock at once, one at a time has it.
#[test]
fn the_lock_is_never_held_twice() {
    let (_place, path, _) = run(1);
    let inside = AtomicUsize::new(0);
    let opened = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    match RunDir::open(&path) {
                        Ok(_dir) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            opened.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        }
                        Err(error) => {
                            assert!(matches!(error, RunDirError::InUse { .. }), "{error}");
                        }
                    }
                }
            });
        }
    });
    assert!(opened.load(Ordering::SeqCst) >= 4);
}

/// A reader of a run in training gets one of its checkpoints, whole.
#[test]
fn a_run_in_training_is_read_as_its_last_checkpoint_left_it() {
    let (_place, path, _) = run(1);
    let (mut dir, state) = RunDir::open(&path).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..150 {
                dir.commit(&state).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) && !writer.is_finished() {
            let (found, history) = SavedModel::open_with_history(&path).unwrap();
            assert!(found.weights() == state.best() && history == *state.history());
        }
        writer.join().unwrap();
    });
}
