//! Facts of the digits in domains: each domain has the pictures of `optdigits` with its own order of pixels, and nothing
//! else tells the domains apart.

mod common;

use std::collections::HashSet;

use common::{all, check_splits, classes, dense, same_data, seeded};
use moe_core::Tensor;
use moe_core::batch::{BatchSource, InputSpec, TaskKind, TaskSpec};
use moe_data::{Dataset, load};

const DOMAINS: usize = 8;
const PICTURES: usize = 5620;

fn domains() -> Dataset {
    load("domain-optdigits", &seeded(1)).unwrap()
}

/// The inputs and digits of all rows of a set, by row id.
fn rows(data: &Dataset) -> Vec<(Vec<u8>, u32)> {
    let count = data.splits().map(|(_, split)| split.rows()).iter().sum();
    let mut rows = vec![(Vec::new(), 0); count];
    for (_, split) in data.splits() {
        let batch = all(split);
        let x: Tensor = dense(&batch);
        for row in 0..batch.rows() {
            let pixels = x.row(row).iter().map(|&pixel| (pixel * 16.0) as u8).collect();
            rows[batch.row_ids[row] as usize] = (pixels, classes(&batch, 0)[row]);
        }
    }
    rows
}

fn sorted(pixels: &[u8]) -> Vec<u8> {
    let mut pixels = pixels.to_vec();
    pixels.sort_unstable();
    pixels
}

/// The place in the original picture that each pixel of a domain comes from, found from the rows alone: the only column of
/// the originals that is equal in all rows. Pixels that are black in nearly all pictures may be ambiguous; those are `None`.
fn permutation(original: &[(Vec<u8>, u32)], domain: &[(Vec<u8>, u32)]) -> Vec<Option<usize>> {
    let column = |rows: &[(Vec<u8>, u32)], at: usize| -> Vec<u8> {
        rows.iter().map(|(pixels, _)| pixels[at]).collect()
    };
    let originals: Vec<Vec<u8>> = (0..64).map(|at| column(original, at)).collect();
    let found = |at| {
        let column = column(domain, at);
        let mut equal = (0..64).filter(|&other| originals[other] == column);
        let first = equal.next().expect("a pixel of the original");
        equal.next().is_none().then_some(first)
    };
    (0..64).map(found).collect()
}

#[test]
fn sizes_and_description() {
    let data = domains();
    assert_eq!(data.input, InputSpec::default().with_dense([1, 8, 8]));
    assert_eq!(data.tasks, [TaskSpec { name: "digit".into(), kind: TaskKind::multiclass(10) }]);
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [26_000, 4584, 14_376]);
    assert_eq!(moe_data::find("domain-optdigits").unwrap().groups, Some("domain"));
    check_splits(&data);
}

#[test]
fn every_domain_has_all_pictures_in_an_order_of_its_own() {
    let (data, originals) = (rows(&domains()), rows(&load("optdigits", &seeded(1)).unwrap()));
    assert_eq!(data.len(), DOMAINS * PICTURES);
    let mut orders = HashSet::new();
    for domain in data.chunks(PICTURES) {
        for ((pixels, digit), (original, original_digit)) in domain.iter().zip(&originals) {
            assert_eq!((sorted(pixels), digit), (sorted(original), original_digit));
        }
        let order = permutation(&originals, domain);
        // Three pixels are black in every picture: no column tells them apart.
        assert!(order.iter().flatten().count() >= 60, "{order:?}");
        let kept = order.iter().enumerate().filter(|(at, from)| **from == Some(*at)).count();
        // A random permutation keeps one place on average, and eight or more once in 100,000 times.
        assert!(kept < 8, "{kept} pixels are where they were");
        assert!(orders.insert(order), "two domains have the same order");
    }
}

#[test]
fn a_test_picture_is_in_no_domain_a_training_picture() {
    let (data, digits) = (domains(), load("optdigits", &seeded(1)).unwrap());
    let mut seen = HashSet::new();
    for ((_, split), (_, of_digits)) in data.splits().into_iter().zip(digits.splits()) {
        let source = |id: &u32| id % PICTURES as u32;
        let sources: HashSet<u32> = split.row_ids().iter().map(source).collect();
        assert_eq!(sources, of_digits.row_ids().iter().copied().collect());
        assert!(sources.iter().all(|&picture| seen.insert(picture)));
        // Each of them once in each domain, which is the row's group.
        let mut loads = [0; DOMAINS];
        for (id, &domain) in split.row_ids().iter().zip(split.groups().unwrap()) {
            assert_eq!(domain, id / PICTURES as u32);
            loads[domain as usize] += 1;
        }
        assert_eq!(loads, [sources.len(); DOMAINS]);
    }
}

/// From this code: the numbers stand here so that a change of a stream is noticed.
#[test]
fn value_stability() {
    let batch = domains().test.batch(&[0, 1797]);
    let first = |row: usize| -> Vec<u8> {
        dense(&batch).row(row)[..16].iter().map(|&pixel| (pixel * 16.0) as u8).collect()
    };
    assert_eq!(batch.groups, Some(vec![0, 1]));
    assert_eq!(first(0), [8, 0, 9, 4, 0, 0, 3, 5, 0, 8, 1, 0, 0, 13, 0, 12]);
    assert_eq!(first(1), [0, 0, 0, 12, 5, 9, 0, 6, 0, 0, 13, 0, 15, 5, 8, 9]);
}

#[test]
fn the_seed_decides() {
    let once = domains();
    let other_thread = std::thread::spawn(domains);
    assert!(same_data(&once, &other_thread.join().unwrap()));
    let other = load("domain-optdigits", &seeded(2)).unwrap();
    assert!(!same_data(&once, &other));
    // Another seed permutes otherwise; the test pictures stay.
    assert_ne!(dense(&once.test.batch(&[0])), dense(&other.test.batch(&[0])));
    assert_eq!(once.test.row_ids(), other.test.row_ids());
}

/// Sets with a description of their groups have groups, and no others.
#[test]
fn the_catalog_says_which_sets_have_groups() {
    let ids = ["optdigits", "multi-optdigits", "domain-optdigits", "restaurant", "synthetic"];
    for id in ids {
        let data = load(id, &seeded(1)).unwrap();
        let described = moe_data::find(id).unwrap().groups;
        assert_eq!(described.is_some(), data.groups().is_some(), "{id}");
        let batch = data.val.batch(&[3, 1]);
        assert_eq!(batch.groups.is_some(), described.is_some(), "{id}");
    }
    let with_groups = moe_data::catalog().iter().filter(|entry| entry.groups.is_some());
    let with_groups: Vec<_> = with_groups.map(|entry| entry.id).collect();
    assert_eq!(with_groups, ["domain-optdigits", "synthetic"]);
}
