//! Kinds of tasks: in files, with rows that have no target, and their metrics by name.

mod common;

use common::{assert_close, cases, rng, spread};
use moe_core::rand::Rng;
use moe_core::tape::Tape;
use moe_core::task::{
    Estimate, Field, FieldValue, Target, Task, TaskError, TaskKind, TaskKinds, TaskMetrics,
    TaskRows, TaskSpec, UnknownMetric, metrics,
};
use moe_core::{Real, Tensor};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

fn task(name: &str, kind: TaskKind) -> TaskSpec {
    TaskSpec { name: name.into(), kind }
}

fn kinds() -> [TaskKind; 3] {
    [TaskKind::binary(), TaskKind::multiclass(300), TaskKind::regression()]
}

/// A target of each of [`kinds`] for `rows` rows.
fn targets(rows: usize, seed: u64) -> [Target; 3] {
    let mut rng = rng(seed, 3);
    [
        Target::binary((0..rows).map(|_| Real::from(u8::from(rng.random::<bool>()))).collect()),
        Target::classes((0..rows).map(|_| rng.random_range(0..300)).collect()),
        Target::regression(spread([rows], &mut rng).as_slice().to_vec(), vec![true; rows]),
    ]
}

/// These rows of a target of one number or class per row.
fn pick(target: &Target, rows: &[usize]) -> Target {
    Target {
        values: rows.iter().flat_map(|&row| target.values_of(row).to_vec()).collect(),
        classes: rows.iter().flat_map(|&row| target.classes_of(row).to_vec()).collect(),
        present: rows.iter().map(|&row| target.present[row]).collect(),
    }
}

fn all_metrics(kind: &TaskKind, predictions: &Tensor, target: &Target) -> TaskMetrics {
    let mut rows = TaskRows::default();
    rows.add(predictions.as_slice(), target);
    TaskMetrics::of(&**kind, &rows, &kind.metric_names())
}

proptest! {
    #![proptest_config(cases(64))]

    /// Loss, gradient and every metric are those of the rows that are present, whatever is in the others.
    #[test]
    fn absent_rows_have_no_influence(
        flags in prop::collection::vec(any::<bool>(), 1..12),
        seed: u64,
    ) {
        let (here, gone): (Vec<usize>, Vec<usize>) = (0..flags.len()).partition(|&row| flags[row]);
        for (kind, target) in kinds().iter().zip(targets(flags.len(), seed)) {
            let outputs = kind.outputs();
            let mut predictions = spread([flags.len(), outputs], &mut rng(seed, 4));
            let kept = here.iter().flat_map(|&row| predictions.row(row).to_vec()).collect();
            let kept = Tensor::new([here.len(), outputs], kept);
            let alone = pick(&target, &here);
            let mut target = target.with_present(flags.clone());
            for &row in &gone {
                predictions.as_mut_slice()[row * outputs..][..outputs].fill(Real::NAN);
                target.values.get_mut(row).into_iter().for_each(|value| *value = Real::NAN);
                target.classes.get_mut(row).into_iter().for_each(|class| *class = u32::MAX);
            }
            prop_assert_eq!(
                all_metrics(kind, &predictions, &target),
                all_metrics(kind, &kept, &alone)
            );
            let run = |predictions: &Tensor, target: &Target| {
                let tape = Tape::new();
                let x = tape.variable(predictions.clone());
                let loss = kind.loss(x, target);
                (loss.value(), tape.backward(loss).wrt(x).unwrap())
            };
            let (masked, alone) = (run(&predictions, &target), run(&kept, &alone));
            assert_close(&masked.0, &alone.0, 32.0 * Real::EPSILON, kind.id());
            for (place, &row) in here.iter().enumerate() {
                prop_assert_eq!(masked.1.row(row), alone.1.row(place));
            }
            prop_assert!(gone.iter().all(|&row| masked.1.row(row).iter().all(|&g| g == 0.0)));
        }
    }

    /// The loss that training minimises is the mean of the losses that evaluation reports.
    #[test]
    fn losses_of_rows_have_the_loss_as_their_mean(rows in 1usize..9, seed: u64) {
        for (kind, target) in kinds().iter().zip(targets(rows, seed)) {
            let predictions = spread([rows, kind.outputs()], &mut rng(seed, 4));
            let measured = all_metrics(kind, &predictions, &target);
            let tape = Tape::inference();
            let loss = kind.loss(tape.constant(predictions), &target).value();
            let expected = Tensor::scalar(measured.loss() as Real);
            assert_close(&loss, &expected, 64.0 * Real::EPSILON, kind.id());
        }
    }
}

/// The negative control of the property: a row that is present has influence on loss and metrics.
#[test]
fn a_present_row_has_influence() {
    let target = Target::binary(vec![1.0, 0.0]);
    let measured = |second: Real, target: &Target| {
        all_metrics(&TaskKind::binary(), &Tensor::new([2, 1], vec![1.0, second]), target)
    };
    assert_ne!(measured(-1.0, &target), measured(3.0, &target));
    let masked = target.with_present(vec![true, false]);
    assert_eq!(measured(-1.0, &masked), measured(3.0, &masked));
    assert_eq!(measured(-1.0, &masked).rows, 1);
}

#[test]
fn without_a_target_there_is_no_score() {
    for (kind, target) in kinds().iter().zip(targets(2, 1)) {
        let target = target.with_present(vec![false; 2]);
        let measured = all_metrics(kind, &Tensor::zeros([2, kind.outputs()]), &target);
        // The task adds nothing to the loss of all tasks.
        assert_eq!((measured.rows, measured.loss().to_bits()), (0, 0.0_f64.to_bits()));
        assert_eq!(measured.measurements.len(), kind.metric_names().len());
        assert!(measured.measurements.iter().all(|m| m.estimate == Estimate::UNDEFINED));
    }
}

#[test]
fn the_mean_of_nothing_is_zero_without_a_sign() {
    assert_eq!(metrics::mean(&[]).to_bits(), 0);
    assert_eq!(metrics::mse(&[], &[]).to_bits(), 0);
}

/// Every function of `metrics` that judges predictions can be asked for, by hand: logits 2, -1, -2, 3 of 1, 1, 0, 0.
#[test]
fn every_metric_can_be_asked_for() {
    let logits = Tensor::new([4, 1], vec![2.0, -1.0, -2.0, 3.0]);
    let measured =
        all_metrics(&TaskKind::binary(), &logits, &Target::binary(vec![1.0, 1.0, 0.0, 0.0]));
    let names: Vec<&str> = measured.measurements.iter().map(|m| &*m.name).collect();
    assert_eq!(names, ["loss", "auc", "accuracy", "f1", "macro-f1", "mcc", "log-loss"]);
    let value = |name| measured.value(name).unwrap();
    // Two of four pairs in order; one of each kind of hit and miss.
    assert_eq!((value("auc"), value("accuracy"), value("f1")), (0.5, 0.5, 0.5));
    assert_eq!((value("macro-f1"), value("mcc")), (0.5, 0.0));
    assert_eq!(value("log-loss"), measured.loss());
    assert_eq!(measured.interval("log-loss"), measured.interval("loss"));
    assert!(measured.interval("auc").is_some() && measured.interval("f1").is_none());

    // Predicted 0, 1, 1 of 0, 1, 0.
    let logits = Tensor::new([3, 2], vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    let kind = TaskKind::multiclass(2);
    let measured = all_metrics(&kind, &logits, &Target::classes(vec![0, 1, 0]));
    let names: Vec<&str> = measured.measurements.iter().map(|m| &*m.name).collect();
    assert_eq!(names, ["loss", "accuracy", "macro-f1", "mcc", "rand-index", "cross-entropy"]);
    let value = |name| measured.value(name).unwrap();
    assert_eq!((value("accuracy"), value("macro-f1"), value("mcc")), (2.0 / 3.0, 2.0 / 3.0, 0.5));
    let index = metrics::adjusted_rand_index(&[0, 1, 1], &[0, 1, 0]);
    assert_eq!(value("rand-index"), index);

    // Errors 3 and 4: 12.5.
    let kind = TaskKind::regression();
    let target = Target::regression(vec![0.0; 2], vec![true; 2]);
    let measured = all_metrics(&kind, &Tensor::new([2, 1], vec![3.0, 4.0]), &target);
    assert_eq!((measured.loss(), measured.value("mse")), (12.5, Some(12.5)));
    assert_eq!(measured.value("rmse"), Some(12.5f64.sqrt()));
    let [_, high] = measured.interval("mse").unwrap();
    assert_eq!(measured.interval("rmse").unwrap()[1], high.sqrt());
}

#[test]
fn default_metrics_are_few_and_a_name_is_measured_once() {
    let rows = TaskRows::default();
    let names = |kind: &TaskKind, asked: &[&str]| -> Vec<String> {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let measured = TaskMetrics::of(&**kind, &rows, &asked);
        measured.measurements.into_iter().map(|measured| measured.name).collect()
    };
    let [binary, multiclass, regression] = &kinds();
    assert_eq!(names(binary, &[]), ["loss", "auc", "accuracy"]);
    assert_eq!(names(multiclass, &[]), ["loss", "accuracy"]);
    assert_eq!(names(regression, &[]), ["loss", "mse"]);
    assert_eq!(names(regression, &["rmse", "loss", "rmse", "f1"]), ["loss", "mse", "rmse"]);
    assert_eq!(kinds().map(|kind| kind.main_metric()), ["auc", "accuracy", "mse"]);
}

#[test]
fn a_metric_that_no_task_has_is_refused_with_those_that_there_are() {
    let tasks = [task("watch", TaskKind::binary()), task("rating", TaskKind::regression())];
    let check = |name: &str| UnknownMetric::check(&tasks, &[name.to_owned()]);
    assert_eq!((check("rmse"), check("auc")), (Ok(()), Ok(())));
    assert_eq!(
        check("rmes").unwrap_err().to_string(),
        "there is no metric \"rmes\", did you mean \"rmse\"?; task watch (binary) has loss, auc, accuracy, f1, \
         macro-f1, mcc, log-loss; task rating (regression) has loss, mse, rmse"
    );
}

#[test]
fn predictions_are_shown_by_their_fields() {
    let [binary, _, regression] = &kinds();
    let multiclass = TaskKind::multiclass(3);
    let shown = |kind: &TaskKind, mut outputs: Vec<Real>| {
        kind.probabilities(&mut outputs);
        let mut values = Vec::new();
        kind.field_values(&outputs, &mut |value| values.push(value));
        values
    };
    assert_eq!(binary.fields(), [Field::probability()]);
    assert_eq!(shown(binary, vec![0.0]), [FieldValue::Number(0.5)]);
    assert_eq!(regression.fields(), [Field::one("value")]);
    assert_eq!(shown(regression, vec![-3.0]), [FieldValue::Number(-3.0)]);
    assert_eq!(multiclass.fields(), [Field::one("class"), Field::probability().per_class()]);
    // The first of equals.
    let values = shown(&multiclass, vec![-1e4, 1.0, 1.0]);
    let [zero, half] = [0.0, 0.5].map(FieldValue::Number);
    assert_eq!(values, [FieldValue::Class(1), zero, half, half]);
    assert_eq!(multiclass.summary(), "multiclass, 3 classes");
    let names = [0, 1].map(|class| binary.class_name(class));
    assert_eq!((names, multiclass.class_name(1)), (["no".into(), "yes".into()], "1".into()));
    assert_eq!(binary.class_of(&Target::binary(vec![0.0, 1.0]), 1), Some(1));
    assert_eq!(multiclass.class_of(&Target::classes(vec![70_000]), 0), Some(70_000));
    assert_eq!(regression.class_of(&Target::binary(vec![0.0]), 0), None);
}

#[test]
fn task_specs_are_written_as_in_results_and_read_again() {
    let table = [
        (TaskKind::binary(), json!({"name": "t", "kind": "binary"})),
        (TaskKind::multiclass(3), json!({"name": "t", "kind": "multiclass", "classes": 3})),
        (TaskKind::regression(), json!({"name": "t", "kind": "regression"})),
    ];
    for (kind, written) in table {
        let spec = task("t", kind);
        assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        let read: TaskSpec = serde_json::from_value(written).unwrap();
        assert!(read.kind.is_resolved());
        assert_eq!(read, spec);
    }
    let text = serde_json::to_string(&task("t", TaskKind::multiclass(3))).unwrap();
    assert_eq!(text, r#"{"name":"t","kind":"multiclass","classes":3}"#);
    assert_ne!(TaskKind::multiclass(3), TaskKind::multiclass(4));
    for (wrong, says) in [
        (
            json!({"name": "t", "kind": "multiclass"}),
            "task t: kind multiclass: missing field `classes`",
        ),
        (json!({"name": "t", "kind": "binary", "classes": 2}), "unknown field `classes`"),
        (json!({"name": "t"}), "missing field `kind`"),
    ] {
        let error = serde_json::from_value::<TaskSpec>(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A start and an end in a text.
#[derive(Debug, Serialize, Deserialize)]
struct Span {
    longest: usize,
}

impl Task for Span {
    fn id(&self) -> &str {
        "span"
    }

    fn outputs(&self) -> usize {
        2 * self.longest
    }

    fn loss<'t>(
        &self,
        prediction: moe_core::tape::Var<'t>,
        target: &Target,
    ) -> moe_core::tape::Var<'t> {
        let rows = target.rows();
        let logits = prediction.reshape([2 * rows, self.longest]);
        let present: Vec<bool> = target.present.iter().flat_map(|&flag| [flag; 2]).collect();
        logits.cross_entropy(&target.classes, &present).scale(2.0)
    }

    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        let ends = metrics::cross_entropies(rows.predictions(), self.longest, rows.classes());
        ends.chunks(2).map(|ends| ends.iter().sum()).collect()
    }

    fn metrics(&self) -> Vec<moe_core::task::Metric<'_>> {
        vec![]
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::one("start"), Field::one("end")]
    }
}

#[test]
fn a_kind_that_is_not_known_keeps_what_was_read_until_it_is_resolved() {
    let written = json!({"name": "answer", "kind": "span", "longest": 5});
    let read: TaskSpec = serde_json::from_value(written.clone()).unwrap();
    assert!(!read.kind.is_resolved());
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    let standard = TaskKinds::standard();
    let error = standard.resolve(std::slice::from_ref(&read)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "task answer: there is no kind \"span\"; the kinds are binary, multiclass, regression"
    );
    let near = task("t", TaskKind::binary());
    assert_eq!(standard.resolve(std::slice::from_ref(&near)), Ok(vec![near]));
    let slip = serde_json::from_value(json!({"name": "t", "kind": "multi-class"})).unwrap();
    let error = standard.resolve(&[slip]).unwrap_err().to_string();
    assert!(error.contains("did you mean \"multiclass\"?"), "{error}");

    let kinds = standard.with::<Span>("span");
    let resolved = kinds.resolve(&[read]).unwrap().remove(0);
    assert!(resolved.kind.is_resolved());
    assert_eq!((resolved.kind.outputs(), resolved.kind.main_metric()), (10, "loss".into()));
    assert_eq!(serde_json::to_value(&resolved).unwrap(), written);
    let bad = serde_json::from_value(json!({"name": "answer", "kind": "span"})).unwrap();
    let error = kinds.resolve(&[bad]).unwrap_err();
    assert!(matches!(error, TaskError::Parameters { .. }));
    assert_eq!(error.to_string(), "task answer: kind span: missing field `longest`");

    // Two classes per row, one row without a target: ln 5 twice.
    let target =
        Target { classes: vec![0, 4, 9, 9], present: vec![true, false], ..Target::default() };
    let measured = all_metrics(&resolved.kind, &Tensor::zeros([2, 10]), &target);
    let tape = Tape::inference();
    let loss = resolved.kind.loss(tape.constant(Tensor::zeros([2, 10])), &target).value();
    assert_close(&loss, &Tensor::scalar(2.0 * (5.0 as Real).ln()), 8.0 * Real::EPSILON, "span");
    assert!((measured.loss() - 2.0 * 5f64.ln()).abs() < 1e-12);
}

#[test]
#[should_panic(expected = "the kind of task \"span\" is used before TaskKinds::resolve")]
fn a_kind_that_is_not_resolved_has_no_outputs() {
    let read: TaskSpec = serde_json::from_value(json!({"name": "t", "kind": "span"})).unwrap();
    read.kind.outputs();
}

#[test]
#[should_panic(expected = "the kind span has named parameters, not Ok(Null)")]
fn a_kind_without_named_parameters_is_refused() {
    /// Written as null.
    #[derive(Debug, Serialize)]
    struct Nothing;
    impl Task for Nothing {
        fn id(&self) -> &str {
            "span"
        }
        fn outputs(&self) -> usize {
            1
        }
        fn loss<'t>(
            &self,
            prediction: moe_core::tape::Var<'t>,
            _: &Target,
        ) -> moe_core::tape::Var<'t> {
            prediction.sum()
        }
        fn losses(&self, _: &TaskRows) -> Vec<f64> {
            vec![]
        }
        fn metrics(&self) -> Vec<moe_core::task::Metric<'_>> {
            vec![]
        }
        fn fields(&self) -> Vec<Field> {
            vec![]
        }
    }
    TaskKind::new(Nothing);
}
