//! Facts of the embedded sets and of the one made from them.

mod common;

use std::collections::HashSet;

use common::{all, check_splits, classes, dense, ids, marks, same_data, seeded};
use moe_core::Real;
use moe_core::batch::{BatchSource, InputSpec, TaskKind, TaskSpec};
use moe_data::{LoadOptions, load};

fn counts(classes: impl IntoIterator<Item = u32>) -> [usize; 10] {
    let mut counts = [0; 10];
    for class in classes {
        counts[class as usize] += 1;
    }
    counts
}

fn digit(name: &str) -> TaskSpec {
    TaskSpec { name: name.into(), kind: TaskKind::multiclass(10) }
}

/// Class counts as in the set's own description (`optdigits.names`).
#[test]
fn optdigits_has_its_rows_and_classes() {
    let data = load("optdigits", &seeded(1)).unwrap();
    assert_eq!(data.input, InputSpec::default().with_dense([1, 8, 8]));
    assert_eq!(data.tasks, [digit("digit")]);
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [3250, 573, 1797]);

    let splits = [&data.train, &data.val, &data.test].map(all);
    let of_tra = classes(&splits[0], 0).iter().chain(classes(&splits[1], 0));
    assert_eq!(counts(of_tra.copied()), [376, 389, 380, 389, 387, 376, 377, 387, 380, 382]);
    assert_eq!(
        counts(classes(&splits[2], 0).iter().copied()),
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    );
    assert_eq!(data.test.row_ids()[0], 3823);
    check_splits(&data);
}

/// Histogram of all pixels, counted from the original files with a few lines of Python.
#[test]
fn optdigits_has_its_pixels() {
    let data = load("optdigits", &seeded(1)).unwrap();
    let mut histogram = [0; 17];
    for (_, split) in data.splits() {
        for &pixel in dense(&all(split)).as_slice() {
            assert_eq!((pixel * 16.0).fract(), 0.0);
            histogram[(pixel * 16.0) as usize] += 1;
        }
    }
    assert_eq!(
        histogram,
        [
            175663, 12492, 10351, 9092, 10169, 8661, 8129, 8226, 11038, 8108, 8405, 8734, 11746,
            10727, 11455, 13448, 33236
        ]
    );
}

/// The first row of the original test file.
#[test]
fn the_first_test_digit_is_a_zero() {
    let data = load("optdigits", &seeded(1)).unwrap();
    let batch = data.test.batch(&[0]);
    let first: Vec<f64> = dense(&batch).row(0)[..16].iter().map(|&v| f64::from(v) * 16.0).collect();
    assert_eq!(first, [0., 0., 5., 13., 9., 1., 0., 0., 0., 0., 13., 15., 10., 15., 5., 0.]);
    assert_eq!(classes(&batch, 0), [0]);
}

#[test]
fn restaurant_has_its_rows_ids_and_marks() {
    let data = load("restaurant", &seeded(1)).unwrap();
    let columns: Vec<_> =
        data.input.columns.iter().map(|c| (c.name.as_str(), c.vocabulary)).collect();
    assert_eq!(columns, [("user", 138), ("place", 130)]);
    let names = data.tasks.iter().map(|task| task.name.as_str());
    assert!(names.eq(["rating", "food_rating", "service_rating"]));
    assert!(data.tasks.iter().all(|t| t.kind == TaskKind::regression()));
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [929, 116, 116]);

    let splits = [&data.train, &data.val, &data.test].map(all);
    let expected = [[254, 421, 486], [266, 379, 516], [315, 426, 420]];
    for (task, expected) in expected.into_iter().enumerate() {
        let mut total = [0; 10];
        for split in &splits {
            for (total, count) in total.iter_mut().zip(marks(split, task)) {
                *total += count;
            }
        }
        assert_eq!(total[..3], expected);
    }
    for (column, vocabulary) in [(0, 138), (1, 130)] {
        let seen: HashSet<u32> =
            splits.iter().flat_map(|split| ids(split)[column].iter().copied()).collect();
        assert_eq!(seen, (0..vocabulary).collect());
    }
    check_splits(&data);
}

#[test]
fn multi_optdigits_has_two_tasks_and_the_sizes_asked_for() {
    let options =
        LoadOptions { train_rows: Some(300), val_rows: Some(20), test_rows: Some(30), ..seeded(5) };
    let data = load("multi-optdigits", &options).unwrap();
    assert_eq!(data.input, InputSpec::default().with_dense([1, 12, 12]));
    assert_eq!(data.tasks, [digit("left"), digit("right")]);
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [300, 20, 30]);
    for (_, split) in data.splits() {
        let batch = all(split);
        assert!(dense(&batch).as_slice().iter().all(|p| (0.0..=1.0).contains(p)));
    }
    check_splits(&data);
}

/// Away from the overlap a canvas shows digits of its own split only: the left digit's first two lines
/// and the right digit's last two.
#[test]
fn multi_optdigits_is_made_of_the_parts_of_optdigits() {
    let data = load("multi-optdigits", &seeded(2)).unwrap();
    let digits = load("optdigits", &seeded(2)).unwrap();
    let bytes = |pixels: &[Real]| -> Vec<u8> { pixels.iter().map(|p| (p * 16.0) as u8).collect() };
    // Canvas line and column of those two lines for each place that the digit can have.
    let corners = [[[0, 0], [0, 1], [1, 0], [1, 1]], [[10, 4], [10, 3], [9, 4], [9, 3]]];
    for ((_, split), (_, sources)) in data.splits().into_iter().zip(digits.splits()) {
        let sources = all(sources);
        let batch = split.batch(&(0..200).collect::<Vec<_>>());
        let (pictures, canvases) = (dense(&sources), dense(&batch));
        for (task, lines) in [0..16, 48..64].into_iter().enumerate() {
            let known: HashSet<(Vec<u8>, u32)> = (0..sources.rows())
                .map(|row| {
                    let picture = &pictures.row(row)[lines.clone()];
                    (bytes(picture), classes(&sources, 0)[row])
                })
                .collect();
            for row in 0..batch.rows() {
                let canvas = canvases.row(row);
                let label = classes(&batch, task)[row];
                let found = corners[task].into_iter().any(|[y, x]| {
                    let line = |y: usize| &canvas[y * 12 + x..][..8];
                    known.contains(&(bytes(&[line(y), line(y + 1)].concat()), label))
                });
                assert!(found, "task {task}, row {row}");
            }
        }
    }
}

#[test]
fn the_default_set_uses_all_digits_and_places() {
    let data = load("multi-optdigits", &LoadOptions::default()).unwrap();
    let batch = all(&data.train);
    for task in 0..2 {
        // 8,000 draws of ten nearly equal classes: 800 each, standard deviation 27.
        let counts = counts(classes(&batch, task).iter().copied());
        assert!(counts.iter().all(|c| (650..950).contains(c)), "{counts:?}");
    }
    let pairs: HashSet<_> = classes(&batch, 0).iter().zip(classes(&batch, 1)).collect();
    assert_eq!(pairs.len(), 100);
}

#[test]
fn the_seed_decides() {
    for id in ["optdigits", "multi-optdigits", "restaurant"] {
        let once = load(id, &seeded(1)).unwrap();
        let other_thread = std::thread::spawn(move || load(id, &seeded(1)).unwrap());
        assert!(same_data(&once, &other_thread.join().unwrap()), "{id}");
        assert!(!same_data(&once, &load(id, &seeded(2)).unwrap()), "{id}");
    }
}

#[test]
fn a_row_of_multi_optdigits_does_not_depend_on_how_many_there_are() {
    let sizes = |rows| LoadOptions {
        train_rows: Some(rows),
        val_rows: Some(3),
        test_rows: Some(4),
        ..seeded(9)
    };
    let few = load("multi-optdigits", &sizes(5)).unwrap();
    let many = load("multi-optdigits", &sizes(50)).unwrap();
    let (a, b) = (few.train.batch(&[0, 4]), many.train.batch(&[0, 4]));
    assert_eq!((dense(&a), &a.targets), (dense(&b), &b.targets));
    let (a, b) = (all(&few.test), all(&many.test));
    assert_eq!((dense(&a), &a.targets), (dense(&b), &b.targets));
}
