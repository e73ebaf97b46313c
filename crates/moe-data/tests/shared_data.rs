//! Facts of real data that may not travel with this repository; skipped where they are absent.

mod common;

use std::collections::HashSet;

use common::{all, check_splits, ids, marks, rating_rows, shared_data, uncached, watched};
use moe_core::batch::{BatchSource, Target};
use moe_data::{Dataset, LoadOptions, load};

#[test]
fn movielens_1m_mtl() {
    let Some(data_dir) = shared_data("movielens_1m_mtl") else {
        return;
    };
    let options = LoadOptions { data_dir: Some(data_dir), ..LoadOptions::default() };
    let data = load("movielens-1m-mtl", &options).unwrap();
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [179_956, 22_494, 22_494]);
    assert_eq!(sizes.iter().sum::<usize>(), 224_944);

    let (mut watched, mut ratings) = (0, [0; 10]);
    let mut seen = [vec![false; 6040], vec![false; 3952]];
    for (_, split) in data.splits() {
        let batch = all(split);
        watched += batch.targets[0].values.iter().filter(|&&w| w == 1.0).count();
        for (total, count) in ratings.iter_mut().zip(marks(&batch, 1)) {
            *total += count;
        }
        for (seen, column) in seen.iter_mut().zip(ids(&batch)) {
            column.iter().for_each(|&id| seen[id as usize] = true);
        }
    }
    assert_eq!(watched, 112_524);
    assert_eq!(ratings[..6], [0, 6_287, 12_231, 29_321, 39_144, 25_541]);
    let seen = seen.map(|column| column.into_iter().filter(|&s| s).count());
    assert_eq!(seen, [6_036, 3_706]);

    // The first lines of the file.
    let first = data.train.batch(&[0, 1]);
    assert_eq!(ids(&first), [vec![3478, 4984], vec![913, 2923]]);
    assert_eq!(first.keys, [3478, 4984]);
    assert_eq!(first.targets[0], Target::binary(vec![1.0, 0.0]));
    check_splits(&data);
}

/// A set of ratings with other options, or `None` after saying that `test` is skipped. Nothing is written there.
fn ratings(test: &str, id: &str, change: impl Fn(&mut LoadOptions)) -> Option<Dataset> {
    let mut options = uncached(&shared_data(test)?);
    change(&mut options);
    let data = load(id, &options).unwrap();
    check_splits(&data);
    Some(data)
}

/// Checks facts of the ratings: how many, of how many users and items, and their mean; and that there are as many
/// negatives as `negatives`, all of them pairs that were not rated.
#[track_caller]
fn check_ratings(data: &Dataset, facts: (usize, usize, usize), mean: f64, negatives: usize) {
    let ratings = watched(data);
    let users: HashSet<&str> = ratings.iter().map(|row| row.0.as_str()).collect();
    let items: HashSet<&str> = ratings.iter().map(|row| row.1.as_str()).collect();
    assert_eq!((ratings.len(), users.len(), items.len()), facts);
    let given: Vec<f64> = ratings.iter().map(|row| row.2).filter(|r| !r.is_nan()).collect();
    let found = given.iter().sum::<f64>() / given.len() as f64;
    assert!((found - mean).abs() < 5e-5, "mean {found}");
    let rows = rating_rows(data);
    assert_eq!(rows.len() - ratings.len(), negatives);
    let pairs: HashSet<(u32, u32)> = rows.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(pairs.len(), rows.len());
    let test = data.test.rows();
    assert_eq!(test, rows.len().div_ceil(10));
    assert_eq!(data.val.rows(), (rows.len() - test).div_ceil(8));
}

/// Counts of the ratings from `least` on in steps of `step`.
fn histogram(data: &Dataset, least: f64, step: f64) -> Vec<usize> {
    let mut counts = Vec::new();
    for (.., rating) in watched(data).into_iter().filter(|row| !row.2.is_nan()) {
        let bin = (rating - least) / step;
        assert!(bin.fract() == 0.0 && bin >= 0.0, "{rating}");
        counts.resize(counts.len().max(bin as usize + 1), 0);
        counts[bin as usize] += 1;
    }
    counts
}

#[test]
fn movielens_100k() {
    let Some(data) = ratings("movielens_100k", "movielens-100k", |_| {}) else { return };
    check_ratings(&data, (100_000, 943, 1682), 3.52986, 100_000);
    assert_eq!(histogram(&data, 1.0, 1.0), [6_110, 11_370, 27_145, 34_174, 21_201]);
    assert_eq!(watched(&data)[0], ("196".into(), "242".into(), 3.0));
}

/// The numbers of ratings by stars were counted with a few lines of Python.
#[test]
fn movielens_latest_small() {
    let Some(data) = ratings("movielens_latest_small", "movielens-latest-small", |_| {}) else {
        return;
    };
    check_ratings(&data, (100_836, 610, 9_724), 3.50156, 100_836);
    assert_eq!(
        histogram(&data, 0.5, 0.5),
        [1_370, 2_811, 1_791, 7_551, 5_550, 20_047, 13_136, 26_818, 8_551, 13_211]
    );
    assert_eq!(watched(&data)[0], ("1".into(), "1".into(), 4.0));
}

/// The mean and the numbers of ratings by stars were counted with a few lines of Python. The file is the only one of
/// the folder, though it has another name than the original.
#[test]
fn movielens_1m() {
    let Some(data) = ratings("movielens_1m", "movielens-1m", |_| {}) else { return };
    check_ratings(&data, (50_000, 331, 3_065), 3.58554, 50_000);
    assert_eq!(histogram(&data, 1.0, 1.0), [2_869, 5_396, 12_966, 17_127, 11_642]);
    assert_eq!(watched(&data)[0], ("1".into(), "1193".into(), 5.0));
}

#[test]
fn the_table_of_movielens_reads_the_same_file() {
    let given = |options: &mut LoadOptions| {
        let dir = options.data_dir.clone().unwrap();
        options.ratings_file = Some(dir.join("ml-latest-small/ratings.csv"));
    };
    let Some(data) = ratings("the_table_of_movielens", "movielens-csv", given) else { return };
    check_ratings(&data, (100_836, 610, 9_724), 3.50156, 100_836);
}

/// 747 users rated all 100 jokes, so that they have no negatives.
#[test]
fn jester() {
    let Some(data) = ratings("jester", "jester", |_| {}) else { return };
    check_ratings(&data, (181_673, 2_500, 100), 0.9238, 59_527);
    let rows = watched(&data);
    let mut of_users = vec![0; 2500];
    rows.iter().for_each(|row| of_users[row.0.parse::<usize>().unwrap() - 1] += 1);
    assert_eq!(of_users.iter().filter(|&&count| count == 100).count(), 747);
    assert_eq!(of_users.iter().min(), Some(&36));
    let moment = |power| rows.iter().map(|row| row.2.powi(power)).sum::<f64>() / rows.len() as f64;
    let deviation = (moment(2) - moment(1).powi(2)).sqrt();
    assert!((deviation - 5.1865).abs() < 5e-5, "{deviation}");

    // With all pairs that were not rated, a user has 100 rows: the sizes of COMET's Jester are of this kind.
    let all = |options: &mut LoadOptions| options.negatives = Some(100);
    let data = ratings("jester", "jester", all).unwrap();
    assert_eq!(rating_rows(&data).len(), 250_000);
}

#[test]
fn book_crossing() {
    const EXPLICIT: &str = "BX-Book-Ratings-explicit-even-users.csv";
    let of = |file: &'static str, least| {
        move |options: &mut LoadOptions| {
            options.ratings_file = Some(file.into());
            options.min_ratings = Some(least);
        }
    };
    let Some(data) = ratings("book_crossing", "book-crossing", of(EXPLICIT, 1)) else { return };
    check_ratings(&data, (64_222, 5_421, 10_361), 7.7876, 64_222);
    let head = ratings("book_crossing", "book-crossing", of("BX-Book-Ratings-head-9000.csv", 1));
    let head = watched(&head.unwrap());
    assert_eq!((head.len(), head.iter().filter(|row| row.2.is_nan()).count()), (9_000, 6_908));
    let users: HashSet<&str> = head.iter().map(|row| row.0.as_str()).collect();
    let books: HashSet<&str> = head.iter().map(|row| row.1.as_str()).collect();
    assert_eq!((users.len(), books.len()), (727, 8_520));
    // Counted with a few lines of Python: pairs whose user and book have five records each.
    let filtered = ratings("book_crossing", "book-crossing", of(EXPLICIT, 5)).unwrap();
    assert_eq!(watched(&filtered).len(), 44_765);
    // Two files could be the one.
    let options = uncached(&shared_data("book_crossing").unwrap());
    let error = load("book-crossing", &options).unwrap_err().to_string();
    assert!(error.contains("choose with ratings_file") && error.contains(EXPLICIT), "{error}");
}

/// The file is the sample that is embedded.
#[test]
fn movietweetings() {
    let Some(data) = ratings("movietweetings", "movietweetings", |_| {}) else { return };
    check_ratings(&data, (8_000, 3_278, 2_679), 7.356, 8_000);
    let embedded = load("movietweetings", &uncached("nowhere".as_ref())).unwrap();
    assert!(common::same_data(&data, &embedded));
}

/// The file is the one that is embedded.
#[test]
fn restaurant() {
    let Some(data_dir) = shared_data("restaurant") else { return };
    let original = std::fs::read(data_dir.join("restaurant/rating_final.csv")).unwrap();
    assert_eq!(original, include_bytes!("../data/restaurant-rating_final.csv"));
}

/// Pictures of all splits by class, and mean and standard deviation of the numbers.
fn picture_facts(data: &Dataset) -> (Vec<usize>, [f64; 2]) {
    let (mut counts, mut sums, mut numbers) = (vec![0; 10], [0.0; 2], 0.0);
    for (_, split) in data.splits() {
        let batch = all(split);
        common::classes(&batch, 0).iter().for_each(|&class| counts[class as usize] += 1);
        for &value in common::dense(&batch).as_slice() {
            let value = f64::from(value);
            sums = [sums[0] + value, sums[1] + value * value];
            numbers += 1.0;
        }
    }
    let [mean, square] = sums.map(|sum| sum / numbers);
    (counts, [mean, (square - mean * mean).sqrt()])
}

fn pictures(test: &str, id: &str) -> Option<Dataset> {
    let options = LoadOptions { data_dir: Some(shared_data(test)?), ..LoadOptions::default() };
    let data = load(id, &options).unwrap();
    check_splits(&data);
    Some(data)
}

#[track_caller]
fn check_moments(found: [f64; 2], facts: [f64; 2]) {
    assert!(found.iter().zip(facts).all(|(a, b)| (a - b).abs() < 5e-5), "{found:?}");
}

#[test]
fn mnist() {
    let Some(data) = pictures("mnist", "mnist") else { return };
    let (counts, moments) = picture_facts(&data);
    assert_eq!(counts, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    check_moments(moments, [0.1325, 0.3105]);
    assert_eq!(data.splits().map(|(_, split)| split.rows()), [7142, 1429, 1429]);
    let data = pictures("mnist", "multi-mnist").unwrap();
    assert_eq!(data.splits().map(|(_, split)| split.rows()), [14_284, 2_858, 2_858]);
}

#[test]
fn fashion_mnist() {
    let Some(data) = pictures("fashion_mnist", "fashion-mnist") else { return };
    let (counts, moments) = picture_facts(&data);
    assert_eq!(counts, [1000; 10]);
    check_moments(moments, [0.2868, 0.3524]);
    let data = pictures("fashion_mnist", "multi-fashion-mnist").unwrap();
    assert_eq!(data.splits().map(|(_, split)| split.rows()).iter().sum::<usize>(), 20_000);
}

#[test]
fn usps() {
    let Some(data) = pictures("usps", "usps") else { return };
    assert_eq!(picture_facts(&data).0, [1100; 10]);
    // As many of each class in every split: the file is in the order of classes.
    let mut test = vec![0; 10];
    common::classes(&all(&data.test), 0).iter().for_each(|&class| test[class as usize] += 1);
    assert!(test.iter().all(|&count| count == 157 || count == 158), "{test:?}");
}

#[test]
fn digits() {
    let Some(data) = pictures("digits", "digits") else { return };
    let counts = picture_facts(&data).0;
    assert_eq!(counts, [2080, 2235, 2132, 2110, 2082, 1992, 2058, 2128, 2074, 2109]);
}

/// The file is the one that is embedded.
#[test]
fn optdigits() {
    let Some(data_dir) = shared_data("optdigits") else { return };
    for (name, packed) in [
        ("optdigits.tra", &include_bytes!("../data/optdigits.tra.gz")[..]),
        ("optdigits.tes", include_bytes!("../data/optdigits.tes.gz")),
    ] {
        let original = std::fs::read(data_dir.join("optdigits").join(name)).unwrap();
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut unpacked)
            .unwrap();
        assert!(original == unpacked, "{name}");
    }
}
