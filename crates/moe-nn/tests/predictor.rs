//! Inference: the bits of a pass that is recorded, for one row or many, and the inputs it refuses.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Memory, description, in_pool, options, rng, tensor_bits};
use moe_core::batch::{Batch, BatchSource, InputRow, Inputs, TaskKind};
use moe_core::random::{chacha, uniform};
use moe_core::tape::{Tape, Vars};
use moe_core::{Mode, Real, StateMut, Tensor, Visit, VisitMut};
use moe_nn::{
    Activation, ColumnEncoder, ExpertBank, Experts, Forward, InputError, Layer, LayerExperts,
    LayerGates, Mixture, MixtureDescription, Mlp, MlpOptions, Model, ModelScratch, Models, Module,
    MoeLayer, Overrides, Predictions, Predictor, RunDir, RunInfo, TrainState, Weights, evaluate,
    metrics,
};
use moe_routers::{GateSpec, Registry, RouterEntry, Value};

/// Moves the parameters away from zero biases and from splits that are all soft.
fn shift(module: &mut dyn Module) {
    let mut rng = chacha(2, "parameters", 0);
    module.visit_mut(&mut |_, state| {
        if let StateMut::Parameter(parameter) = state {
            let value = parameter.value_mut();
            value.add_assign(&uniform(*value.shape(), 0.2, &mut rng));
        }
    });
}

fn predictor(source: &Memory, mut model: Box<dyn Model>) -> Predictor {
    shift(&mut *model);
    Predictor::of(model, source.input.clone(), source.tasks.clone())
}

fn build(source: &Memory, description: &MixtureDescription) -> Predictor {
    predictor(source, common::build_any(description, 1))
}

type Memories = (Predictions, ModelScratch);

fn bits(values: &[Real]) -> Vec<u64> {
    values.iter().map(|&v| f64::from(v).to_bits()).collect()
}

fn predict(predictor: &Predictor, batch: &Batch, (out, scratch): &mut Memories) -> Vec<Vec<u64>> {
    predictor.predict(&batch.inputs, &batch.keys, out, scratch).unwrap();
    assert_eq!((out.num_tasks(), out.rows()), (predictor.tasks().len(), batch.rows()));
    (0..out.num_tasks()).map(|task| bits(out.raw(task))).collect()
}

/// The first row of a batch, by itself.
fn predict_row(predictor: &Predictor, batch: &Batch, (out, scratch): &mut Memories) -> Vec<u64> {
    let Inputs { ids, tokens, .. } = &batch.inputs;
    let (ids, dense) = (ids.iter().map(|ids| ids[0]), batch.inputs.dense_rows());
    let row = InputRow {
        ids: &ids.collect::<Vec<_>>(),
        dense: dense.as_ref().map_or(&[], |x| x.row(0)),
        tokens: tokens.as_ref().map_or(&[], |tokens| tokens.of_row(0)),
    };
    predictor.predict_row(&row, batch.keys[0], out, scratch).unwrap();
    (0..out.num_tasks()).flat_map(|task| bits(out.raw(task))).collect()
}

/// Checks that each batch of `source` has the bits of a tape that records, and that batches of 1, 7 and `rows` rows agree if rows are
/// independent.
#[track_caller]
fn check(predictor: &Predictor, source: &Memory, row_wise: bool, memory: &mut Memories) {
    let rows: Vec<u32> = (0..source.rows() as u32).collect();
    let mut whole: Option<Vec<Vec<u64>>> = None;
    for size in [rows.len(), 7, 1] {
        let mut joined = vec![Vec::new(); source.tasks.len()];
        for rows in rows.chunks(size) {
            let batch = source.batch(rows);
            let found = predict(predictor, &batch, memory);
            let tape = Tape::new();
            let recorded = common::forward(predictor.model(), &tape, &batch, Mode::Infer);
            let recorded = recorded.predictions.iter().map(|p| tensor_bits(&p.value()));
            assert!(recorded.eq(found.iter().cloned()), "{size} rows: {rows:?}");
            if size == 1 {
                assert_eq!(predict_row(predictor, &batch, memory), found.concat());
            }
            joined.iter_mut().zip(found).for_each(|(joined, found)| joined.extend(found));
        }
        let whole = whole.get_or_insert_with(|| joined.clone());
        assert!(!row_wise || *whole == joined, "batches of {size}");
    }
}

/// Rows of ids and numbers.
fn mixed(rows: usize) -> Memory {
    let (ids, dense) = (common::ids(3, rows), common::dense(3, rows, 4));
    Memory {
        input: ids.input.clone().with_dense([4]),
        inputs: ids.inputs.clone().with_dense(dense.inputs.dense.expect("numbers")),
        ..ids
    }
}

/// Every router of the registry that needs to know nothing of rows but their inputs and keys.
fn routers() -> Vec<RouterEntry> {
    let entries = Registry::standard().entries().to_vec();
    entries.into_iter().filter(|entry| !entry.info().reads_groups).collect()
}

/// By default and with a capacity at inference.
#[test]
fn every_router_predicts_the_recorded_bits_in_any_batch() {
    let mut memory = Memories::default();
    for entry in routers() {
        let info = entry.info();
        let capacity = info.parameters.iter().find(|p| p.name == "inference-capacity-factor");
        let limits = [0.0, 0.7].map(|limit| (limit, limit == 0.0 || capacity.is_some()));
        for (limit, _) in limits.into_iter().filter(|(_, has)| *has) {
            for source in [common::ids(1, 60), common::dense(1, 60, 8), mixed(60)] {
                let mut description = description(&source, &info.id);
                if limit > 0.0 {
                    let name = "inference-capacity-factor".to_string();
                    description.router_parameters.insert(name, Value::Real(limit));
                }
                let spec = GateSpec { inputs: 8, experts: 4, k: 2, seed: 1, gate: 0 };
                let gates = entry.build(&spec, 3, &description.router_parameters).unwrap();
                let row_wise = gates.properties().iter().all(|gate| gate.row_wise);
                check(&build(&source, &description), &source, row_wise, &mut memory);
            }
        }
    }
}

#[test]
fn batches_for_several_threads_have_the_same_bits() {
    let source = common::ids(4, 512);
    for router in ["top-k", "comet", "softmax"] {
        let description = description(&source, router)
            .with_embedding_width(40)
            .with_experts(16)
            .with_expert_width(72)
            .with_expert_hidden_widths(&[50])
            .with_head_widths(&[64]);
        let predictor = build(&source, &description);
        for threads in [1, 3] {
            in_pool(threads, || check(&predictor, &source, true, &mut Memories::default()));
        }
    }
}

#[test]
fn models_without_a_mixture_predict_the_recorded_bits() {
    let source = common::ids(2, 40);
    for baseline in ["shared-bottom", "single", "bias"] {
        let description = description(&source, baseline);
        check(&build(&source, &description), &source, true, &mut Memories::default());
    }
}

/// A mixture of these experts over rows of eight numbers.
fn mixture_of(experts: Box<dyn Experts>, head: &MlpOptions, source: &Memory) -> Box<dyn Model> {
    let spec = GateSpec { inputs: 8, experts: experts.num_experts(), k: 2, seed: 1, gate: 0 };
    let entry = Registry::standard();
    let entry = entry.get("top-k").unwrap();
    let gates = entry.build(&spec, source.tasks.len(), &BTreeMap::new()).unwrap();
    let outputs = experts.outputs();
    let head = |outputs_of_task| Mlp::new(outputs, outputs_of_task, head, &mut rng(6, 0));
    let heads = source.tasks.iter().map(|task| head(task.kind.outputs())).collect();
    let encoder = Box::new(ColumnEncoder::new(&source.input, 0, &mut rng(7, 0)));
    Box::new(Mixture::new(encoder, MoeLayer::new("layer", gates, experts), heads))
}

#[test]
fn every_activation_predicts_the_recorded_bits() {
    let source = common::dense(5, 30, 8);
    for activation in [
        Activation::Identity,
        Activation::Gelu,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Softplus,
        Activation::Tanh,
    ] {
        let options = MlpOptions {
            hidden: vec![6, 5],
            activation,
            dropout: 0.4,
            output_activation: activation,
            output_dropout: 0.3,
            ..MlpOptions::default()
        };
        let bank = ExpertBank::new(5, 8, 7, &options, &mut rng(5, 0));
        let model = mixture_of(Box::new(bank), &options, &source);
        check(&predictor(&source, model), &source, true, &mut Memories::default());
    }
}

#[test]
fn experts_made_of_layers_predict_the_recorded_bits() {
    let source = common::dense(5, 30, 8);
    let options = MlpOptions { hidden: vec![6], dropout: 0.4, ..MlpOptions::default() };
    let layer = |i| -> Box<dyn Layer> { Box::new(Mlp::new(8, 7, &options, &mut rng(i, 0))) };
    let experts = LayerExperts::new((0..5).map(layer).collect(), 7);
    let model = mixture_of(Box::new(experts), &options, &source);
    check(&predictor(&source, model), &source, true, &mut Memories::default());
}

#[test]
fn inference_keeps_the_outputs_of_layers_and_the_weights_of_routings_only() {
    let source = common::ids(3, 20);
    for entry in routers() {
        let model = common::build(&description(&source, &entry.info().id), 1);
        let (tape, batch) = (Tape::inference(), common::first_rows(&source, 20));
        let output = common::forward(&model, &tape, &batch, Mode::Infer);
        let (tasks, gates) = (output.predictions.len(), output.gates().count());
        // The encoded rows; of each gate the weights and the mixed outputs; the predictions.
        assert_eq!(tape.num_values(), 1 + 2 * gates + tasks, "{}", entry.info().id);
    }
}

/// A model whose last bit depends on whether its tape records.
struct LastBit(Mixture);

impl Module for LastBit {
    fn visit(&self, f: &mut Visit<'_>) {
        self.0.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.0.visit_mut(f);
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.0.gates_mut()
    }
}

impl Model for LastBit {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let mut predictions = self.0.forward(tape, pass, inputs);
        if tape.is_recording() {
            let last = predictions.last_mut().unwrap();
            *last = last.scale(1.0 + Real::EPSILON);
        }
        predictions
    }
}

#[test]
#[should_panic(expected = "20 rows")]
fn another_last_bit_is_seen() {
    let source = common::ids(1, 20);
    let model = common::build(&description(&source, "comet"), 1);
    check(&predictor(&source, Box::new(LastBit(model))), &source, true, &mut Memories::default());
}

/// Losses of the raw predictions, and the probabilities.
#[test]
fn predictions_are_those_that_evaluation_sees() {
    let source = common::ids(7, 50);
    let predictor = build(&source, &description(&source, "comet"));
    let evaluation = evaluate(predictor.model(), &source, &[1.0, 0.5, 2.0], 16);
    let (mut out, mut scratch) = Memories::default();
    let batch = common::first_rows(&source, 50);
    predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch).unwrap();
    let raw = |task| -> Vec<f64> { out.raw(task).iter().map(|&v| f64::from(v)).collect() };
    let [yes, classes, values] = &batch.targets[..] else { unreachable!("the three kinds") };
    let present = &values.present;
    let yes: Vec<bool> = yes.values.iter().map(|&yes| yes == 1.0).collect();
    let (binary, auc) = (&evaluation.tasks[0], metrics::roc_auc(&raw(0), &yes));
    assert_eq!(metrics::log_loss(&raw(0), &yes), binary.loss());
    assert_eq!((auc, auc.is_some()), (binary.value("auc"), true));
    let loss = metrics::cross_entropy(&raw(1), 3, &classes.classes);
    assert_eq!(loss, evaluation.tasks[1].loss());
    let kept = |values: Vec<f64>| -> Vec<f64> {
        let kept = values.into_iter().zip(present).filter(|(_, present)| **present);
        kept.map(|(value, _)| value).collect()
    };
    let values = kept(values.values.iter().map(|&v| f64::from(v)).collect());
    let loss = metrics::mse(&kept(raw(2)), &values);
    assert_eq!(loss, evaluation.tasks[2].loss());

    let mut shown = vec![9.0; 3];
    out.probabilities(0, &mut shown);
    for (p, z) in shown.iter().zip(raw(0)) {
        assert!((f64::from(*p) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);
    }
    out.probabilities(1, &mut shown);
    assert_eq!(shown.len(), 150);
    for (p, z) in shown.chunks(3).zip(raw(1).chunks(3)) {
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let near = |(p, z): (&Real, &f64)| (f64::from(*p) - z.exp() / total).abs() < 1e-6;
        assert!(p.iter().zip(z).all(near));
    }
    out.probabilities(2, &mut shown);
    assert_eq!(shown, out.raw(2));
}

#[test]
fn threads_share_it() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    fn sent<T: Send + std::fmt::Debug>() {}
    shared::<Predictor>();
    shared::<Predictions>();
    sent::<ModelScratch>();

    let source = common::ids(1, 30);
    let predictor = build(&source, &description(&source, "moesart"));
    let batch = common::first_rows(&source, 30);
    let expected = predict(&predictor, &batch, &mut Memories::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut memory = Memories::default();
                for _ in 0..20 {
                    assert_eq!(predict(&predictor, &batch, &mut memory), expected);
                }
            });
        }
    });
}

/// Predictors of every kind of input, in turns with one memory.
#[test]
fn one_memory_serves_any_predictor() {
    let mut memory = Memories::default();
    let sources = [common::ids(1, 9), common::dense(1, 5, 8), mixed(7)];
    let of = |source: &Memory| build(source, &description(source, "comet"));
    let predictors: Vec<_> = sources.iter().map(of).collect();
    for _ in 0..2 {
        for (source, predictor) in sources.iter().zip(&predictors) {
            check(predictor, source, true, &mut memory);
        }
    }
}

#[test]
fn inputs_that_the_model_cannot_take_are_refused() {
    let source = mixed(4);
    let predictor = build(&source, &description(&source, "top-k"));
    let (mut out, mut scratch) = Memories::default();
    let inputs = |ids: &[&[u32]], shape: [usize; 2]| {
        let ids = Inputs::ids(ids.iter().map(|ids| ids.to_vec()).collect());
        ids.with_dense(Tensor::zeros(shape))
    };
    let mut refused = |inputs: Inputs, says: &str| {
        let error = predictor.predict(&inputs, &[1, 2], &mut out, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), says);
    };
    refused(Inputs::dense(Tensor::zeros([2, 4])), "the model takes ids and numbers, not numbers");
    refused(inputs(&[&[1, 2]], [2, 4]), "the model takes 2 columns of ids, not 1");
    refused(inputs(&[&[1, 2], &[1, 2]], [2, 3]), "the model takes 4 numbers per row, not 3");
    refused(inputs(&[&[1, 2], &[1, 2]], [1, 4]), "numbers: 1 rows, but there are 2 keys");
    refused(inputs(&[&[1, 2], &[1]], [2, 4]), "item: 1 rows, but there are 2 keys");
    refused(inputs(&[&[1, 12], &[1, 2]], [2, 4]), "row 1: user 12 is not below 12");
    let mut row = |ids: &[u32], numbers: &[Real]| {
        let row = InputRow { dense: numbers, ..InputRow::ids(ids) };
        predictor.predict_row(&row, 0, &mut out, &mut scratch)
    };
    assert_eq!(row(&[1], &[0.0; 4]), Err(InputError::Columns { needed: 2, found: 1 }));
    assert_eq!(row(&[1, 2], &[0.0]), Err(InputError::Width { needed: 4, found: 1 }));
    assert!(matches!(row(&[1, 9], &[0.0; 4]), Err(InputError::Id { row: 0, id: 9, .. })));
    assert_eq!(row(&[1, 2], &[0.0; 4]), Ok(()));
    assert_eq!(out.rows(), 1);
}

/// Overriding K gives the model with that K and the same weights; impossible overrides are refused.
#[test]
fn another_k_or_capacity() {
    let source = common::ids(3, 30);
    let batch = common::first_rows(&source, 30);
    let of = |router: &str, k| description(&source, router).with_k(k);
    let models = Models::standard();
    let weights = |model: &MixtureDescription| Weights::of(&*models.build(model, 5).unwrap());
    let mut memory = Memories::default();
    let top_k = of("top-k", 2);
    let with = |model: &MixtureDescription, overrides| {
        Predictor::with_overrides(model, &weights(model), &overrides, &models)
    };
    let k = |k| Overrides { k: Some(k), ..Overrides::default() };
    let capacity =
        |factor| Overrides { inference_capacity_factor: Some(factor), ..Overrides::default() };
    let mut all = Vec::new();
    for (overrides, own) in [(k(1), of("top-k", 1)), (k(3), of("top-k", 3)), (k(2), top_k.clone())]
    {
        let expected = Predictor::new(&own, &weights(&top_k), &models).unwrap();
        let predictor = with(&top_k, overrides).unwrap();
        all.push(predict(&predictor, &batch, &mut memory));
        assert_eq!(all.last(), Some(&predict(&expected, &batch, &mut memory)));
    }
    let tight = predict(&with(&top_k, capacity(0.2)).unwrap(), &batch, &mut memory);
    assert!(all[0] != all[1] && all[0] != all[2] && tight != all[2]);
    for (router, overrides, says) in [
        ("top-k", k(5), "router top-k: k = 5 is not allowed with 4 experts; k must be from 1 to 4"),
        ("softmax", k(1), "router softmax does not use K, so it cannot be overridden"),
        ("comet", k(1), "K is part of the weights of router comet (K = 2) and cannot be changed: "),
        ("comet", capacity(1.0), "router comet has no parameter inference-capacity-factor"),
        ("top-k", capacity(-1.0), "router top-k: inference-capacity-factor = -1 is not allowed"),
    ] {
        let error = with(&of(router, 2), overrides).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

/// A run of one model, finished, with every file that a run can have.
fn run(path: &Path, source: &Memory, model: serde_json::Value) -> Box<dyn Model> {
    let mut model_of = common::build_any(&description(source, "comet"), 1);
    shift(&mut *model_of);
    let state = TrainState::new(&*model_of, options(1).optimizer);
    let info = RunInfo {
        config: Some("[train]\n".into()),
        features: Some("{}".into()),
        model,
        ..RunInfo::default()
    };
    let mut dir = RunDir::create(path, info, &state).unwrap();
    dir.set_card("# A model\n").unwrap();
    dir.finish().unwrap();
    model_of
}

fn described(source: &Memory, router: &str) -> serde_json::Value {
    Models::standard().describe(description(source, router)).unwrap().to_json()
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let mut files: Vec<_> = entries.map(read).collect();
    files.sort();
    files
}

#[test]
fn a_run_is_loaded_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let source = common::ids(1, 25);
    let model = run(&path, &source, described(&source, "comet"));
    // Additional files of a run in progress.
    fs::write(path.join("last-7.safetensors.9-0.partial"), "half").unwrap();
    let mut lines = fs::OpenOptions::new().append(true).open(path.join("metrics.jsonl")).unwrap();
    std::io::Write::write_all(&mut lines, b"{\"epoch\":1").unwrap();
    let before = files(&path);
    let predictor = Predictor::load(&path, &Models::standard()).unwrap();
    assert_eq!(files(&path), before);
    assert_eq!((predictor.input(), predictor.tasks()), (&source.input, &source.tasks[..]));
    assert_eq!(Weights::of(predictor.model()), Weights::of(&*model));
    check(&predictor, &source, true, &mut Memories::default());
}

#[test]
fn a_run_with_a_file_missing_cut_or_changed_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let source = common::ids(1, 25);
    run(&path, &source, described(&source, "comet"));
    let files = files(&path);
    assert_eq!(files.len(), 8, "{files:?}");
    let is_read = |name: &str| {
        let read = ["best", "config", "features", "manifest"];
        read.iter().any(|role| name.starts_with(role))
    };
    for (name, content) in files {
        let file = path.join(&name);
        let mut changed = content.clone();
        let damages: [Option<Vec<u8>>; 3] = [
            None,
            (!content.is_empty()).then(|| content[..content.len() - 2].to_vec()),
            (!content.is_empty()).then(|| {
                changed[content.len() / 2] ^= 0x80;
                changed
            }),
        ];
        for (i, damaged) in damages.into_iter().enumerate() {
            match damaged {
                None if i > 0 => continue,
                None => fs::remove_file(&file).unwrap(),
                Some(damaged) => fs::write(&file, damaged).unwrap(),
            }
            let loaded = Predictor::load(&path, &Models::standard());
            if is_read(&name) {
                let error = loaded.unwrap_err().to_string();
                assert!(error.contains(&name), "{name}, damage {i}: {error}");
            } else {
                loaded.unwrap();
            }
            fs::write(&file, &content).unwrap();
        }
    }
    Predictor::load(&path, &Models::standard()).unwrap();
}

#[test]
fn a_run_whose_model_cannot_be_built_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let source = common::ids(1, 25);
    let refused = |name: &str, model, says: &str| {
        let path = place.path().join(name);
        run(&path, &source, model);
        let error = Predictor::load(&path, &Models::standard()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(says), "{error}");
    };
    refused("nothing", serde_json::Value::Null, "manifest.json: does not describe a model");
    let mut unknown = described(&source, "comet");
    unknown["router"] = "commet".into();
    refused("unknown", unknown, "commet");
    refused("other", described(&source, "top-k"), "layer.gates.");
    let classes = TaskKind::multiclass(4);
    let mut wider = Memory { ..common::ids(1, 25) };
    wider.tasks[1].kind = classes;
    refused("wider", described(&wider, "comet"), "tensor \"heads.1.");
}
