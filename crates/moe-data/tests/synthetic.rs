//! The generated set and what was planted in it.

mod common;

use common::{all, check_splits, dense, same_data, seeded};
use moe_core::batch::{BatchSource, InputSpec, TaskKind};
use moe_data::{Dataset, LoadOptions, load};

fn small(seed: u64) -> LoadOptions {
    LoadOptions {
        train_rows: Some(600),
        val_rows: Some(40),
        test_rows: Some(50),
        width: Some(6),
        experts: Some(5),
        ..seeded(seed)
    }
}

fn targets(data: &Dataset) -> Vec<f64> {
    let batch = all(&data.train);
    let target = &batch.targets[0];
    assert!(target.present.iter().all(|&p| p));
    target.values.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn sizes_are_those_asked_for_and_every_row_has_its_expert() {
    let data = load("synthetic", &small(1)).unwrap();
    assert_eq!(data.input, InputSpec::dense(6));
    assert_eq!(data.tasks[0].kind, TaskKind::regression());
    let sizes = data.splits().map(|(_, split)| split.rows());
    assert_eq!(sizes, [600, 40, 50]);
    let planted = data.groups().unwrap();
    assert_eq!(planted.len(), 690);
    for (_, split) in data.splits() {
        let ids = split.row_ids().iter();
        let expected: Vec<u32> = ids.map(|&id| planted[id as usize]).collect();
        assert_eq!(split.groups(), Some(&expected[..]));
    }
    let mut loads = [0; 5];
    data.train.groups().unwrap().iter().for_each(|&e| loads[e as usize] += 1);
    assert!(loads.iter().all(|&load| load > 30), "{loads:?}");
    check_splits(&data);
    assert!(load("optdigits", &seeded(1)).unwrap().groups().is_none());
}

#[test]
fn rows_of_an_expert_lie_together() {
    let data = load("synthetic", &small(3)).unwrap();
    let batch = all(&data.train);
    let (x, planted) = (dense(&batch), data.train.groups().unwrap());
    let mean = |expert: u32| -> Vec<f64> {
        let rows: Vec<usize> = (0..600).filter(|&r| planted[r] == expert).collect();
        (0..6)
            .map(|c| rows.iter().map(|&r| f64::from(x.row(r)[c])).sum::<f64>() / rows.len() as f64)
            .collect()
    };
    let means: Vec<Vec<f64>> = (0..5).map(mean).collect();
    // The distance between two centroids is 3 times that of two random unit vectors; a row is one
    // standard deviation per column from its own.
    let nearest = (0..600).filter(|&r| {
        let distance = |m: &Vec<f64>| -> f64 {
            let pairs = m.iter().zip(x.row(r));
            pairs.map(|(m, &x)| (m - f64::from(x)).powi(2)).sum()
        };
        let best = (0..5).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b])));
        best == Some(planted[r] as usize)
    });
    assert!(nearest.count() > 480);
}

#[test]
fn noise_moves_the_target_by_its_deviation_and_nothing_else() {
    let noisy = |noise| LoadOptions { noise: Some(noise), ..small(4) };
    let clean = load("synthetic", &noisy(0.0)).unwrap();
    let other = load("synthetic", &noisy(0.5)).unwrap();
    assert_eq!(dense(&all(&clean.train)), dense(&all(&other.train)));
    assert_eq!(clean.groups(), other.groups());
    let squares =
        targets(&clean).iter().zip(targets(&other)).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    // Standard error of a deviation from 600 draws: 3 %.
    let deviation = (squares / 600.0).sqrt();
    assert!((0.44..0.56).contains(&deviation), "{deviation}");
}

#[test]
fn without_separation_only_the_gate_is_left() {
    let options = LoadOptions { separation: Some(0.0), ..small(5) };
    let data = load("synthetic", &options).unwrap();
    let batch = all(&data.train);
    let x = dense(&batch);
    let x = x.as_slice();
    // 3,600 standard normal draws: the mean's standard error is 0.017, the mean square's 0.024.
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
    let square = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / x.len() as f64;
    assert!(mean.abs() < 0.07 && (square - 1.0).abs() < 0.1);
}

#[test]
fn the_seed_decides_and_the_first_rows_stay() {
    let once = load("synthetic", &small(1)).unwrap();
    let again = std::thread::spawn(|| load("synthetic", &small(1)).unwrap());
    assert!(same_data(&once, &again.join().unwrap()));
    assert!(!same_data(&once, &load("synthetic", &small(2)).unwrap()));

    let longer = LoadOptions { train_rows: Some(900), ..small(1) };
    let longer = load("synthetic", &longer).unwrap();
    let (a, b) = (once.train.batch(&[0, 599]), longer.train.batch(&[0, 599]));
    assert_eq!((dense(&a), &a.targets), (dense(&b), &b.targets));
}

/// From this code: the numbers stand here so that a change of a stream is noticed.
#[test]
fn value_stability() {
    let data = load("synthetic", &small(1)).unwrap();
    assert_eq!(data.groups().unwrap()[..8], [1, 0, 1, 2, 2, 0, 1, 1]);
    let batch = data.train.batch(&[0]);
    let found: Vec<f64> = dense(&batch).row(0).iter().map(|&x| x.into()).collect();
    let expected = [1.4643614, -2.8810816, 1.4273993, -1.2655236, 0.5761776, 0.3227739];
    let far = found.iter().zip(expected).any(|(x, e)| (x - e).abs() > 1e-6);
    assert!(!far, "{found:?}");
    let y = targets(&data)[0];
    assert!((y + 1.6799136).abs() < 1e-6, "{y}");
}
