//! Metrics against scikit-learn, recorded by `recorded/sklearn_metrics.py` (which says what the cases are).

use moe_nn::metrics::{
    accuracy, adjusted_rand_index, cross_entropy, f1, log_loss, macro_f1, matthews_correlation,
    mse, rmse, roc_auc,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recording {
    binary: Vec<Binary>,
    multiclass: Vec<Multiclass>,
    regression: Vec<Regression>,
    partitions: Vec<Partitions>,
}

#[derive(Deserialize)]
struct Binary {
    logits: Vec<f64>,
    positive: Vec<bool>,
    auc: Option<f64>,
    log_loss: f64,
    accuracy: f64,
    f1: f64,
    matthews: f64,
}

#[derive(Deserialize)]
struct Multiclass {
    classes: usize,
    logits: Vec<f64>,
    labels: Vec<u32>,
    cross_entropy: f64,
    accuracy: f64,
    macro_f1: f64,
    matthews: f64,
}

#[derive(Deserialize)]
struct Regression {
    predicted: Vec<f64>,
    actual: Vec<f64>,
    mse: f64,
    rmse: f64,
}

#[derive(Deserialize)]
struct Partitions {
    a: Vec<u32>,
    b: Vec<u32>,
    adjusted_rand_index: f64,
}

/// Name, what is computed here and what was recorded, of every metric of every case.
fn compared(recording: &Recording) -> Vec<(String, f64, f64)> {
    let mut all = Vec::new();
    let mut add = |case: String, pairs: &[(&str, f64, f64)]| {
        for (metric, found, expected) in pairs {
            all.push((format!("{metric} of {case}"), *found, *expected));
        }
    };
    for (i, case) in recording.binary.iter().enumerate() {
        let Binary { logits, positive, .. } = case;
        let predicted: Vec<bool> = logits.iter().map(|&z| z > 0.0).collect();
        let auc = roc_auc(logits, positive);
        assert_eq!(auc.is_some(), case.auc.is_some(), "binary case {i}");
        let pairs = [
            ("auc", auc.unwrap_or(0.0), case.auc.unwrap_or(0.0)),
            ("log loss", log_loss(logits, positive), case.log_loss),
            ("accuracy", accuracy(&predicted, positive), case.accuracy),
            ("f1", f1(&predicted, positive), case.f1),
            ("matthews", matthews_correlation(&predicted, positive), case.matthews),
        ];
        add(format!("binary case {i}"), &pairs);
    }
    for (i, case) in recording.multiclass.iter().enumerate() {
        let Multiclass { classes, logits, labels, .. } = case;
        let largest = |row: &[f64]| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter().position(|&z| z == most).unwrap() as u32
        };
        let predicted: Vec<u32> = logits.chunks_exact(*classes).map(largest).collect();
        let pairs = [
            ("cross-entropy", cross_entropy(logits, *classes, labels), case.cross_entropy),
            ("accuracy", accuracy(&predicted, labels), case.accuracy),
            ("macro f1", macro_f1(&predicted, labels), case.macro_f1),
            ("matthews", matthews_correlation(&predicted, labels), case.matthews),
        ];
        add(format!("multiclass case {i}"), &pairs);
    }
    for (i, case) in recording.regression.iter().enumerate() {
        let Regression { predicted, actual, .. } = case;
        let pairs = [
            ("mse", mse(predicted, actual), case.mse),
            ("rmse", rmse(predicted, actual), case.rmse),
        ];
        add(format!("regression case {i}"), &pairs);
    }
    for (i, Partitions { a, b, adjusted_rand_index: expected }) in
        recording.partitions.iter().enumerate()
    {
        let found = adjusted_rand_index(a, b);
        add(format!("partition case {i}"), &[("adjusted Rand index", found, *expected)]);
    }
    all
}

fn recording() -> Recording {
    serde_json::from_str(include_str!("recorded/sklearn_metrics.json")).unwrap()
}

fn agree(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

#[test]
fn every_metric_is_that_of_scikit_learn() {
    let all = compared(&recording());
    assert_eq!(all.len(), 10 * 5 + 7 * 4 + 3 * 2 + 9);
    for (name, found, expected) in all {
        assert!(agree(found, expected), "{name}: {found}, scikit-learn {expected}");
    }
}

#[test]
fn one_changed_row_is_noticed_by_every_metric() {
    let mut recording = recording();
    recording.binary.truncate(1);
    recording.multiclass.truncate(1);
    recording.regression.truncate(1);
    recording.partitions.truncate(1);
    recording.binary[0].positive[0] ^= true;
    // A row that was predicted rightly.
    let label = &mut recording.multiclass[0].labels[1];
    *label = (*label + 1) % 4;
    recording.regression[0].predicted[0] += 1e-6;
    recording.partitions[0].b[0] ^= 1;
    let all = compared(&recording);
    assert_eq!(all.len(), 5 + 4 + 2 + 1);
    for (name, found, expected) in all {
        assert!(!agree(found, expected), "{name} is still {found}");
    }
}
