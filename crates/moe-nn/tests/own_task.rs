//! A kind of task that the crates do not know, several labels per row, trains, evaluates, is saved and predicts.

mod common;

use common::{DOUBLE, Memory};
use moe_core::batch::{BatchSource, InputSpec, Inputs, Target, TaskKind};
use moe_core::tape::{Tape, Var};
use moe_core::task::{Estimate, Field, Metric, Task, TaskKinds, TaskRows, metrics};
use moe_core::{Mode, Real, random};
use moe_nn::{
    BiasDescription, MixtureDescription, ModelDescription, ModelScratch, Models, Predictions,
    Predictor, TrainOptions, Weights, evaluate, evaluate_with, train,
};
use serde::{Deserialize, Serialize};

/// Any number of labels at a time: the mean binary cross-entropy of one logit per label.
#[derive(Debug, Serialize, Deserialize)]
struct MultiLabel {
    labels: usize,
}

impl MultiLabel {
    fn kind(labels: usize) -> TaskKind {
        TaskKind::new(MultiLabel { labels })
    }

    /// Predicted and actual labels of all rows.
    fn labels(rows: &TaskRows) -> (Vec<bool>, Vec<bool>) {
        let predicted = rows.predictions().iter().map(|&logit| logit > 0.0).collect();
        (predicted, rows.values().iter().map(|&value| value > 0.5).collect())
    }
}

impl Task for MultiLabel {
    fn id(&self) -> &str {
        "multi-label"
    }

    fn outputs(&self) -> usize {
        self.labels
    }

    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
        prediction.bce_with_logits(&target.values, &target.present)
    }

    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        let losses = metrics::log_losses(rows.predictions(), &Self::labels(rows).1);
        let rows = losses.chunks_exact(self.labels);
        rows.map(|row| row.iter().sum::<f64>() / self.labels as f64).collect()
    }

    fn metrics(&self) -> Vec<Metric<'_>> {
        vec![
            Metric::new("micro-f1", |rows| {
                let (predicted, actual) = Self::labels(rows);
                metrics::f1(&predicted, &actual)
            }),
            Metric::on_request("exact", |rows| {
                let (predicted, actual) = Self::labels(rows);
                let rows = predicted.chunks(self.labels).zip(actual.chunks(self.labels));
                let exact = rows.clone().filter(|(predicted, actual)| predicted == actual).count();
                Estimate::share(exact as f64 / rows.len().max(1) as f64, rows.len())
            }),
        ]
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::probability().per_class()]
    }

    fn probabilities(&self, outputs: &mut [Real]) {
        TaskKind::binary().probabilities(outputs);
    }

    fn classes(&self) -> usize {
        self.labels
    }
}

fn kinds() -> TaskKinds {
    TaskKinds::standard().with::<MultiLabel>("multi-label")
}

/// Three labels: the signs of the first three of four numbers. Every fifth row has no target.
fn source(seed: u64, rows: usize) -> Memory {
    let x = random::uniform([rows, 4], 1.0, &mut common::rng(seed, 0));
    let signs = (0..rows).flat_map(|row| x.row(row)[..3].to_vec());
    let values = signs.map(|x| if x > 0.0 { 1.0 } else { 0.0 }).collect();
    let present = (0..rows).map(|row| row % 5 != 4).collect();
    Memory {
        input: InputSpec::dense(4),
        tasks: vec![common::task("signs", MultiLabel::kind(3))],
        inputs: Inputs::dense(x),
        targets: vec![Target::values(values, 3).with_present(present)],
    }
}

fn options() -> TrainOptions {
    TrainOptions { epochs: 30, task_weights: vec![1.0], ..common::options(1) }
}

fn description(source: &Memory) -> MixtureDescription {
    common::description(source, "top-k")
}

#[test]
fn it_trains_evaluates_and_predicts() {
    let (parts, test) = ([source(1, 400), source(2, 100)], source(3, 200));
    let mut model = common::build(&description(&parts[0]), 1);
    let before = evaluate(&model, &test, &[1.0], 64);
    train(&mut model, &parts[0], &parts[1], &options(), &mut ()).unwrap();
    let asked = ["exact".to_owned()];
    let after = evaluate_with(&model, &test, &[1.0], 64, &asked).unwrap();
    assert!(after.loss < 0.3 * before.loss, "{} {}", before.loss, after.loss);
    let measured = &after.tasks[0];
    let names: Vec<&str> = measured.measurements.iter().map(|m| &*m.name).collect();
    assert_eq!((measured.rows, names), (160, vec!["loss", "micro-f1", "exact"]));
    assert!(measured.value("micro-f1").unwrap() > 0.9, "{measured:?}");
    let [low, high] = measured.interval("exact").unwrap();
    assert!((low..high).contains(&measured.value("exact").unwrap()));
    assert!(measured.interval("loss").is_some() && measured.interval("micro-f1").is_none());

    let rows = test.batch(&[0, 1, 2]);
    let predictor = Predictor::of(Box::new(model), test.input.clone(), test.tasks.clone());
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    predictor.predict(&rows.inputs, &rows.keys, &mut out, &mut scratch).unwrap();
    let mut shown = Vec::new();
    out.probabilities(0, &mut shown);
    assert_eq!(shown.len(), 9);
    for (shown, logit) in shown.iter().zip(out.raw(0)) {
        assert!((shown - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
    }
}

/// Rows without a target leave every gradient as if they were not there.
#[test]
fn rows_without_a_target_do_not_train() {
    let source = source(4, 50);
    let model = common::build(&description(&source), 2);
    let gradients = |rows: &[u32], spoil: bool| {
        let mut batch = source.batch(rows);
        let target = &mut batch.targets[0];
        for row in (0..rows.len()).filter(|&row| spoil && !target.present[row]) {
            target.values[3 * row..][..3].fill(Real::NAN);
        }
        let tape = Tape::new();
        let output = common::forward(&model, &tape, &batch, Mode::Train);
        let loss = source.tasks[0].kind.loss(output.predictions[0], &batch.targets[0]);
        common::by_name(&model, &tape.backward(loss))
    };
    let all: Vec<u32> = (0..50).collect();
    let kept: Vec<u32> = (0..50).filter(|row| row % 5 != 4).collect();
    let (with, without) = (gradients(&all, true), gradients(&kept, false));
    assert_eq!(with.len(), without.len());
    let allowed = if DOUBLE { 1e-14 } else { 1e-6 };
    for (name, gradient) in with {
        let (gradient, expected) = (gradient.unwrap(), without[&name].clone().unwrap());
        for (a, b) in gradient.as_slice().iter().zip(expected.as_slice()) {
            assert!((a - b).abs() <= allowed, "{name}: {a} {b}");
        }
    }
    // A negative control: other rows have other gradients.
    assert_ne!(gradients(&kept, false), gradients(&kept[..39], false));
}

#[test]
fn its_description_is_read_again_by_a_program_that_knows_the_kind() {
    let source = source(5, 20);
    let mixture = description(&source);
    let described: &dyn ModelDescription = &mixture;
    let written = described.to_json();
    let task = serde_json::json!([{"name": "signs", "kind": "multi-label", "labels": 3}]);
    assert_eq!(written["tasks"], task);

    let error = Models::standard().read(&written).unwrap_err().to_string();
    assert!(error.starts_with("task signs: there is no kind \"multi-label\""), "{error}");
    let models = Models::standard().with_task_kinds(kinds());
    let read = models.read(&written).unwrap();
    assert_eq!(read.tasks(), source.tasks);
    let model = models.build(&*read, 1).unwrap();
    let own = common::build(&description(&source), 1);
    assert_eq!(common::bits(&*model), common::bits(&own));
    assert!(Predictor::new(&*read, &Weights::of(&own), &models).is_ok());
}

#[test]
fn bias_says_that_it_has_no_closed_form_for_it() {
    let ids = common::ids(1, 10);
    let tasks = vec![ids.tasks[0].clone(), common::task("signs", MultiLabel::kind(3))];
    let error = BiasDescription { input: ids.input, tasks, ridge: 1.0 }.build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "task signs: bias has no closed form for the kind \"multi-label\"; it has one for binary, multiclass and \
         regression"
    );
}
