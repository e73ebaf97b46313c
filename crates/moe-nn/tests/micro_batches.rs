//! Batches that are computed in micro-batches, and the gradient statistics of the trainer.

mod common;

use common::{DOUBLE, Memory, build, description, options, side_by_side};
use moe_nn::{History, Mixture, MixtureDescription, TrainOptions, train};

fn trained(
    description: &MixtureDescription,
    source: &Memory,
    micro_batch_rows: Option<usize>,
) -> (Mixture, History) {
    let mut model = build(description, 1);
    let options = TrainOptions { micro_batch_rows, epochs: 3, ..options(1) };
    let history = train(&mut model, source, source, &options, &mut ()).unwrap();
    (model, history)
}

/// The largest difference between the parameters of two trained models.
fn distance(a: &Mixture, b: &Mixture) -> f64 {
    let difference = |(_, a, b): (String, moe_core::Tensor, moe_core::Tensor)| {
        let pairs = a.as_slice().iter().zip(b.as_slice());
        pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    side_by_side(a, b).into_iter().map(difference).fold(0.0, f64::max)
}

#[test]
fn the_parts_of_a_batch_do_not_matter() {
    // The number of rows with a regression target differs between micro-batches; dropout draws by row.
    for source in [common::dense(1, 90, 4), common::ids(1, 90)] {
        let description = description(&source, "top-k").with_expert_dropout(0.3);
        let (whole, history) = trained(&description, &source, None);
        for rows in [1, 5, 16, 1000] {
            let (parts, of_parts) = trained(&description, &source, Some(rows));
            let far = distance(&whole, &parts);
            assert!(far < if DOUBLE { 1e-11 } else { 2e-3 }, "{rows} rows at a time: {far}");
            let loss = (history.epochs[0].train_loss - of_parts.epochs[0].train_loss).abs();
            assert!(loss < if DOUBLE { 1e-12 } else { 1e-4 }, "{loss}");
            assert_eq!(history.steps, of_parts.steps);
            // A single micro-batch is the batch itself.
            assert_eq!(rows >= 16, common::bits(&whole) == common::bits(&parts));
        }
    }
}

#[test]
fn a_balancing_loss_is_averaged_over_the_parts() {
    let source = common::dense(1, 90, 4);
    let description = common::balanced(&source, 0.1);
    let (_, whole) = trained(&description, &source, None);
    let (_, parts) = trained(&description, &source, Some(8));
    let term = |history: &History| {
        let terms = &history.epochs[0].train_terms;
        terms.iter().find(|(name, _)| name == "gate 0 load-balance").unwrap().1
    };
    let (whole, parts) = (term(&whole), term(&parts));
    // The loss is not linear in the batch: the results are similar but not the same.
    assert!((whole - parts).abs() < 0.2 * whole && whole != parts, "{whole} {parts}");
}

#[test]
fn parameters_without_gradient_are_named() {
    let source = common::dense(1, 90, 4);
    // With one expert per row the gates' weights are 1, whatever the logits.
    let one = description(&source, "top-k").with_k(1);
    let (model, history) = trained(&one, &source, None);
    for record in &history.epochs {
        assert!(!record.idle_parameters.is_empty());
        assert!(record.idle_parameters.iter().all(|name| name.starts_with("layer.gates.")));
        assert!(record.gradient_norm > 0.0);
        assert!(record.largest_gradient_norm >= record.gradient_norm);
    }
    assert_eq!(history.epochs[0].idle_parameters.len(), 6, "{:?}", common::names(&model));
    let (_, history) = trained(&description(&source, "top-k"), &source, None);
    assert!(history.epochs.iter().all(|record| record.idle_parameters.is_empty()));
}
