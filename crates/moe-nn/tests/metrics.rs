//! Metrics against hand-derived values and slow definitions.

mod common;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use moe_core::batch::{Batch, InputSpec, Inputs, Target, TaskKind};
use moe_core::rand::Rng;
use moe_core::tape::{Tape, Vars};
use moe_core::{Real, Tensor, Visit, VisitMut};
use moe_nn::intervals;
use moe_nn::metrics::{accuracy, adjusted_rand_index, cross_entropy, log_loss, mse, roc_auc};
use moe_nn::{Forward, Model, Module, TaskMetrics, evaluate, evaluate_with};
use proptest::prelude::*;

/// The share of (positive, negative) pairs in which the positive scores higher, ties counted half.
fn auc_by_pairs(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let of = |class: bool| {
        let scored = scores.iter().zip(positive).filter(move |(_, p)| **p == class);
        scored.map(|(score, _)| *score).collect::<Vec<_>>()
    };
    let (positives, negatives) = (of(true), of(false));
    let mut won = 0.0;
    for p in &positives {
        for n in &negatives {
            won += if p > n { 1.0 } else { f64::from(u8::from(p == n)) / 2.0 };
        }
    }
    let pairs = positives.len() * negatives.len();
    (pairs > 0).then(|| won / pairs as f64)
}

proptest! {
    #![proptest_config(common::cases(200))]

    #[test]
    fn roc_auc_counts_pairs(rows in prop::collection::vec((-3i32..4, any::<bool>()), 0..40)) {
        let (scores, positive): (Vec<f64>, Vec<bool>) =
            rows.into_iter().map(|(score, p)| (f64::from(score) / 4.0, p)).unzip();
        // Both are quotients of the same small integers (halves in one), so they are equal exactly.
        prop_assert_eq!(roc_auc(&scores, &positive), auc_by_pairs(&scores, &positive));
    }

    #[test]
    fn roc_auc_depends_on_the_order_alone(
        rows in prop::collection::vec((-5.0f64..5.0, any::<bool>()), 2..40)
    ) {
        let (scores, positive): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
        let auc = roc_auc(&scores, &positive);
        let (scaled, reversed): (Vec<f64>, Vec<f64>) =
            scores.iter().map(|z| (8.0 * z, -z)).unzip();
        prop_assert_eq!(auc, roc_auc(&scaled, &positive));
        if let Some(auc) = auc {
            let other = roc_auc(&reversed, &positive).unwrap();
            assert_abs_diff_eq!(other, 1.0 - auc, epsilon = 1e-15);
        }
    }

    #[test]
    fn rand_index_ignores_names_and_sides(
        labels in prop::collection::vec((0u32..4, 0u32..5), 0..60),
        names in Just([90u32, 3, 17, 40, 0]).prop_shuffle(),
    ) {
        let (a, b): (Vec<u32>, Vec<u32>) = labels.into_iter().unzip();
        let renamed: Vec<u32> = b.iter().map(|&label| names[label as usize]).collect();
        let index = adjusted_rand_index(&a, &b);
        assert_abs_diff_eq!(adjusted_rand_index(&a, &renamed), index, epsilon = 1e-12);
        assert_abs_diff_eq!(adjusted_rand_index(&renamed, &a), index, epsilon = 1e-12);
        assert_abs_diff_eq!(adjusted_rand_index(&b, &renamed), 1.0, epsilon = 1e-12);
        prop_assert!(index <= 1.0 + 1e-12);
    }
}

#[test]
fn roc_auc_by_hand() {
    // Positives 0.8 and 0.4, negatives 0.6 and 0.2: 0.8 beats both, 0.4 beats one of two. 3 of 4.
    let positive = [true, false, true, false];
    assert_eq!(roc_auc(&[0.8, 0.6, 0.4, 0.2], &positive), Some(0.75));
    assert_eq!(roc_auc(&[-0.8, -0.6, -0.4, -0.2], &positive), Some(0.25));
    // All tied: every pair counts half. Zeros of either sign tie.
    assert_eq!(roc_auc(&[0.0, -0.0, 0.0, -0.0], &positive), Some(0.5));
    assert_eq!(roc_auc(&[1e4, -1e4, 1e4, -1e4], &positive), Some(1.0));
}

#[test]
fn roc_auc_needs_both_classes() {
    assert_eq!(roc_auc(&[0.1, 0.2], &[true, true]), None);
    assert_eq!(roc_auc(&[0.1, 0.2], &[false, false]), None);
    assert_eq!(roc_auc(&[], &[]), None);
}

#[test]
fn log_loss_by_hand() {
    // Logit ln 3 is probability 3/4, logit -ln 3 is 1/4. The true labels have probabilities 3/4, 1/4 and
    // 1 - 1/4 = 3/4: the mean of -ln is (2 ln(4/3) + ln 4) / 3.
    let z = 3f64.ln();
    let expected = (2.0 * (4f64 / 3.0).ln() + 4f64.ln()) / 3.0;
    let loss = log_loss(&[z, z, -z], &[true, false, false]);
    assert_relative_eq!(loss, expected, max_relative = 1e-15);
    // Undecided: ln 2.
    assert_relative_eq!(log_loss(&[0.0], &[true]), 2f64.ln(), max_relative = 1e-15);
    assert_eq!(log_loss(&[], &[]), 0.0);
}

#[test]
fn cross_entropy_by_hand() {
    // Logits ln 1, ln 2, ln 5 are probabilities 1/8, 2/8, 5/8; the other row is shifted by 7, which changes
    // nothing. Labels 2 and 0: (ln(8/5) + ln 8) / 2.
    let row = [1f64.ln(), 2f64.ln(), 5f64.ln()];
    let logits = [row, row.map(|z| z + 7.0)].concat();
    let expected = (1.6f64.ln() + 8f64.ln()) / 2.0;
    assert_relative_eq!(cross_entropy(&logits, 3, &[2, 0]), expected, max_relative = 1e-14);
    assert_eq!(cross_entropy(&[], 3, &[]), 0.0);
    // Two classes with logits (0, z) are a binary task with logit z.
    let both = cross_entropy(&[0.0, 0.7, 0.0, -1.2], 2, &[1, 1]);
    assert_relative_eq!(both, log_loss(&[0.7, -1.2], &[true, true]), max_relative = 1e-15);
}

#[test]
fn extreme_logits_stay_finite() {
    // -ln of a probability of e^-10000, and of one that rounds to 1.
    let wrong = log_loss(&[1e4, -1e4], &[false, true]);
    assert_relative_eq!(wrong, 1e4, max_relative = 1e-15);
    assert_eq!(log_loss(&[1e4, -1e4], &[true, false]), 0.0);
    let logits = [1e4, -1e4, 0.0, -1e4, -1e4, -1e4];
    // First row: 1e4 - (-1e4); second row: three equal logits, ln 3.
    let expected = (2e4 + 3f64.ln()) / 2.0;
    assert_relative_eq!(cross_entropy(&logits, 3, &[1, 2]), expected, max_relative = 1e-12);
    assert_eq!(cross_entropy(&logits[..3], 3, &[0]), 0.0);
}

#[test]
fn mse_and_accuracy_by_hand() {
    // Errors 1, -2, 0.5: (1 + 4 + 0.25) / 3.
    assert_abs_diff_eq!(mse(&[2.0, 1.0, 3.5], &[1.0, 3.0, 3.0]), 1.75, epsilon = 1e-15);
    assert_eq!(mse(&[], &[]), 0.0);
    assert_abs_diff_eq!(accuracy(&[1, 2, 3], &[1, 0, 3]), 2.0 / 3.0, epsilon = 1e-15);
    assert_eq!(accuracy::<u32>(&[], &[]), 0.0);
}

#[test]
fn rand_index_by_hand() {
    // a = {0,1,2} {3,4,5}, b = {0,1} {2,3} {4,5}. The table has rows (2,1,0) and (0,1,2): two pairs are together
    // in both. Pairs together in a: 3 + 3 = 6, in b: 3, of 15 in all. Expected by chance 6 * 3 / 15 = 1.2, at most
    // (6 + 3) / 2 = 4.5: (2 - 1.2) / (4.5 - 1.2) = 8/33.
    let index = adjusted_rand_index(&[0, 0, 0, 1, 1, 1], &[0, 0, 1, 1, 2, 2]);
    assert_relative_eq!(index, 8.0 / 33.0, max_relative = 1e-14);
    // Together in one means apart in the other: none together, chance 2 * 2 / 6 = 2/3, at most 2:
    // (0 - 2/3) / (2 - 2/3) = -1/2.
    assert_relative_eq!(adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]), -0.5);
}

#[test]
fn rand_index_of_trivial_partitions() {
    assert_eq!(adjusted_rand_index(&[], &[]), 1.0);
    assert_eq!(adjusted_rand_index(&[4], &[9]), 1.0);
    assert_eq!(adjusted_rand_index(&[1, 1, 1], &[5, 5, 5]), 1.0);
    assert_eq!(adjusted_rand_index(&[1, 2, 3], &[7, 8, 9]), 1.0);
    assert_eq!(adjusted_rand_index(&[1, 1, 1], &[7, 8, 9]), 0.0);
}

#[test]
fn rand_index_of_independent_partitions_is_near_zero() {
    let mut rng = common::rng(1, 0);
    let rows: usize = 20_000;
    let mut draw = |n| (0..rows).map(|_| rng.random_range(0..n)).collect::<Vec<u32>>();
    let (a, b) = (draw(4), draw(6));
    // Its standard deviation under independence is of the order 1/rows.
    assert_abs_diff_eq!(adjusted_rand_index(&a, &b), 0.0, epsilon = 1e-3);
    assert_eq!(adjusted_rand_index(&a, &a), 1.0);
}

/// Predicts its inputs: the first column, the next three, the last.
struct Echo;

impl Module for Echo {
    fn visit(&self, _f: &mut Visit<'_>) {}
    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}
}

impl Model for Echo {
    fn forward<'t>(&self, tape: &'t Tape, _pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let x = inputs.dense.as_ref().expect("dense inputs");
        let columns = |from: usize, width: usize| {
            let picked = (0..x.rows()).flat_map(|row| x.row(row)[from..from + width].to_vec());
            tape.constant(Tensor::new([x.rows(), width], picked.collect()))
        };
        [columns(0, 1), columns(1, 3), columns(4, 1)].into_iter().collect()
    }
}

fn echoed() -> common::Memory {
    let tasks = vec![
        common::task("b", TaskKind::binary()),
        common::task("m", TaskKind::multiclass(3)),
        common::task("r", TaskKind::regression()),
    ];
    let rows: [[Real; 5]; 3] =
        [[2.0, 0.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 4.0, 0.0, 9.0], [-2.0, 0.0, 0.0, 4.0, 3.0]];
    common::Memory {
        input: InputSpec::dense(5),
        tasks,
        inputs: Inputs::dense(Tensor::new([3, 5], rows.concat())),
        targets: vec![
            Target::binary(vec![1.0, 1.0, 0.0]),
            Target::classes(vec![0, 1, 1]),
            Target::regression(vec![2.0, 0.0, 1.0], vec![true, false, true]),
        ],
    }
}

#[test]
fn evaluation_by_hand() {
    let evaluation = evaluate(&Echo, &echoed(), &[1.0, 10.0, 100.0], 2);
    // Logits 2, -1, -2 with labels 1, 1, 0: softplus of -2, 1, -2. Predicted 1, 0, 0.
    let softplus = |z: f64| z.exp().ln_1p();
    let binary = (2.0 * softplus(-2.0) + softplus(1.0)) / 3.0;
    // Rows (0,0,0), (0,4,0), (0,0,4) with labels 0, 1, 1. The first row's largest logit is the first of equals.
    let log_sum = (2.0 + 4f64.exp()).ln();
    let multiclass = (3f64.ln() + (log_sum - 4.0) + log_sum) / 3.0;
    // Errors -1 and 2; the second row does not count.
    let regression = (1.0 + 4.0) / 2.0;

    let names = |of: &TaskMetrics| -> Vec<String> {
        of.measurements.iter().map(|measured| measured.name.clone()).collect()
    };
    let [of_binary, of_multiclass, of_regression] = &evaluation.tasks[..] else { panic!() };
    assert_eq!(names(of_binary), ["loss", "auc", "accuracy"]);
    assert_relative_eq!(of_binary.loss(), binary, max_relative = 1e-14);
    assert_eq!(of_binary.value("auc"), Some(1.0));
    assert_relative_eq!(of_binary.value("accuracy").unwrap(), 2.0 / 3.0);
    assert_eq!(names(of_multiclass), ["loss", "accuracy"]);
    assert_relative_eq!(of_multiclass.loss(), multiclass, max_relative = 1e-14);
    assert_relative_eq!(of_multiclass.value("accuracy").unwrap(), 2.0 / 3.0);
    assert_eq!(names(of_regression), ["loss", "mse"]);
    assert_eq!((of_regression.loss(), of_regression.value("mse")), (regression, Some(regression)));
    let expected = binary + 10.0 * multiclass + 100.0 * regression;
    assert_relative_eq!(evaluation.loss, expected, max_relative = 1e-14);
    assert_eq!((evaluation.routing, evaluation.main_experts.len()), (None, 0));

    let losses = [softplus(-2.0), softplus(1.0), softplus(-2.0)];
    assert_eq!((of_binary.rows, of_binary.interval("auc")), (3, None), "an area of 1 has no width");
    let [[low, high], [expected_low, expected_high]] =
        [of_binary.interval("loss"), intervals::mean(&losses)].map(Option::unwrap);
    assert_relative_eq!(low, expected_low, max_relative = 1e-12);
    assert_relative_eq!(high, expected_high, max_relative = 1e-12);
    for of_task in [of_binary, of_multiclass] {
        let interval = intervals::share(2.0 / 3.0, 3);
        assert_eq!((of_task.rows, of_task.interval("accuracy")), (3, interval));
    }
    let of_errors = intervals::mean(&[1.0, 4.0]);
    assert_eq!((of_regression.rows, of_regression.interval("loss")), (2, of_errors));
    assert_eq!(of_regression.interval("mse"), of_errors);
}

#[test]
fn more_metrics_are_measured_by_the_tasks_that_have_them() {
    let asked: Vec<String> = ["f1", "rmse"].map(String::from).into();
    let plain = evaluate(&Echo, &echoed(), &[1.0, 10.0, 100.0], 2);
    let more = evaluate_with(&Echo, &echoed(), &[1.0, 10.0, 100.0], 2, &asked).unwrap();
    assert_eq!(more.loss, plain.loss);
    // One of two positives found and nothing else: precision 1, recall 1/2.
    assert_relative_eq!(more.tasks[0].value("f1").unwrap(), 2.0 / 3.0);
    assert_eq!((more.tasks[2].value("f1"), more.tasks[0].value("rmse")), (None, None));
    assert_eq!(more.tasks[2].value("rmse"), Some(2.5f64.sqrt()));
    for (more, plain) in more.tasks.iter().zip(&plain.tasks) {
        assert!(more.measurements.starts_with(&plain.measurements));
    }
    let unknown = vec!["f2".to_owned()];
    let error = evaluate_with(&Echo, &echoed(), &[1.0; 3], 2, &unknown).unwrap_err().to_string();
    assert!(error.starts_with("there is no metric \"f2\", did you mean \"f1\"?"), "{error}");
    assert!(error.ends_with("task r (regression) has loss, mse, rmse"), "{error}");
}

#[test]
fn evaluation_does_not_depend_on_the_batch_size() {
    let source = common::dense(3, 50, 4);
    let model = common::build(&common::description(&source, "top-k"), 3);
    let whole = evaluate(&model, &source, &[1.0; 3], 50);
    for batch_rows in [1, 7, 64] {
        assert_eq!(evaluate(&model, &source, &[1.0; 3], batch_rows), whole, "{batch_rows} rows");
    }
    // No rows: nothing to go wrong.
    assert_eq!(evaluate(&model, &common::dense(3, 0, 4), &[1.0; 3], 8).loss, 0.0);
}

#[test]
fn evaluation_drops_nothing() {
    let source = common::dense(5, 20, 4);
    let plain = common::description(&source, "top-k");
    let dropping = plain.clone().with_expert_dropout(0.5);
    let evaluated = |description| evaluate(&common::build(description, 1), &source, &[1.0; 3], 20);
    assert_eq!(evaluated(&plain), evaluated(&dropping));
}

#[test]
fn the_main_expert_has_the_largest_weight() {
    let source = common::dense(4, 20, 4);
    let model = common::build(&common::description(&source, "top-k"), 4);
    let evaluation = evaluate(&model, &source, &[1.0; 3], 6);
    let batch: Batch = common::first_rows(&source, 20);
    let tape = Tape::inference();
    let output = common::forward(&model, &tape, &batch, moe_core::Mode::Infer);
    for ((_, _, routing), main) in output.gates().zip(&evaluation.main_experts) {
        let gate = routing.to_dense();
        for (row, &expert) in main.iter().enumerate() {
            let weights = gate.row(row);
            assert!(weights.iter().all(|&w| w <= weights[expert as usize]), "row {row}");
        }
    }
    let stats = evaluation.routing.unwrap();
    assert_eq!(stats.experts_per_row(), 2.0);
    assert_eq!(stats.load().iter().sum::<u64>(), 20 * 2 * 3);
}
