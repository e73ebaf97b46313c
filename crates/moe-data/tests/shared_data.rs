//! Facts of real data that may not travel with this repository; skipped where they are absent.

mod common;

use common::{all, check_parts, ids, marks, shared_data};
use moe_core::batch::{BatchSource, Target};
use moe_data::{LoadOptions, load};

#[test]
fn movielens_1m_mtl() {
    let Some(data_dir) = shared_data("movielens_1m_mtl") else {
        return;
    };
    let options = LoadOptions { data_dir: Some(data_dir), ..LoadOptions::default() };
    let data = load("movielens-1m-mtl", &options).unwrap();
    let sizes = data.parts().map(|(_, split)| split.rows());
    assert_eq!(sizes, [179_956, 22_494, 22_494]);
    assert_eq!(sizes.iter().sum::<usize>(), 224_944);

    let (mut watched, mut ratings) = (0, [0; 10]);
    let mut seen = [vec![false; 6040], vec![false; 3952]];
    for (_, split) in data.parts() {
        let batch = all(split);
        let Target::Binary(watch) = &batch.targets[0] else { panic!("watch is binary") };
        watched += watch.iter().filter(|&&w| w == 1.0).count();
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
    assert_eq!(first.targets[0], Target::Binary(vec![1.0, 0.0]));
    check_parts(&data);
}
