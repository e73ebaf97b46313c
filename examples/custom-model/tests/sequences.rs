//! A domain that the crates do not know: sequences of tokens, an encoder with two MoE layers that route each token, and
//! a kind of task of its own. It trains, resumes to the bit, evaluates, is saved, read and served, and its layers are
//! known by name.

use std::sync::Arc;

use moe_core::batch::{Batch, BatchSource, InputSpec, Inputs, Target, TaskKind, TaskSpec, Tokens};
use moe_core::rand::Rng;
use moe_core::random::chacha;
use moe_core::tape::{Tape, Var, Vars};
use moe_core::task::{Field, Metric, Task, TaskKinds, TaskRows};
use moe_core::{Pass, Real, Tensor, TokenRows, named_state};
use moe_nn::{
    Embedding, Encoder, EpochRecord, ExpertBank, Forward, Layer, LayerGates, Linear, MlpOptions,
    Model, ModelDescription, ModelEntry, ModelError, ModelScratch, Models, Module, MoeLayer,
    Observer, Predictions, Predictor, RunDir, RunInfo, TrainOptions, TrainState, Weights,
    continue_training, evaluate,
};
use moe_routers::{GateSpec, Registry, RouterInfo};
use serde::{Deserialize, Serialize};

const VOCABULARY: usize = 12;
const LONGEST: usize = 7;
const WIDTH: usize = 8;
const CLASSES: usize = 3;

/// Distillation: a row has a probability of each class.
#[derive(Debug, Serialize, Deserialize)]
struct Distil {
    classes: usize,
}

impl Task for Distil {
    fn id(&self) -> &str {
        "distil"
    }
    fn outputs(&self) -> usize {
        self.classes
    }
    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
        let rows = target.values.len() / self.classes;
        let teacher = Tensor::new([rows, self.classes], target.values.clone());
        let products = prediction.log_softmax() * prediction.tape().constant(teacher);
        products.sum().scale(-1.0 / rows.max(1) as Real)
    }
    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        let logits = rows.predictions().chunks_exact(self.classes);
        let rows = logits.zip(rows.values().chunks_exact(self.classes));
        rows.map(|(z, p)| {
            let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = z.iter().map(|z| (z - most).exp()).sum();
            z.iter().zip(p).map(|(z, p)| -p * (z - most - sum.ln())).sum()
        })
        .collect()
    }
    fn metrics(&self) -> Vec<Metric<'_>> {
        Vec::new()
    }
    fn fields(&self) -> Vec<Field> {
        vec![Field::one("logit").per_class()]
    }
    fn classes(&self) -> usize {
        self.classes
    }
}

/// Sequences of tokens; the probability of class c is the share of tokens with the remainder c modulo 3.
struct Sentences {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    rows: Vec<Vec<u32>>,
}

impl Sentences {
    fn new(seed: u64, rows: usize) -> Self {
        let mut rng = chacha(seed, "sentences", 0);
        let row = |_| {
            let length = rng.random_range(1..=LONGEST);
            (0..length).map(|_| rng.random_range(0..VOCABULARY as u32)).collect()
        };
        let kind = TaskKind::new(Distil { classes: CLASSES });
        Sentences {
            input: InputSpec::tokens(VOCABULARY, LONGEST),
            tasks: vec![TaskSpec { name: "remainder".into(), kind }],
            rows: (0..rows).map(row).collect(),
        }
    }
}

impl BatchSource for Sentences {
    fn rows(&self) -> usize {
        self.rows.len()
    }
    fn input(&self) -> &InputSpec {
        &self.input
    }
    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }
    fn batch(&self, rows: &[u32]) -> Batch {
        let picked: Vec<&Vec<u32>> = rows.iter().map(|&row| &self.rows[row as usize]).collect();
        let mut teacher = vec![0.0; picked.len() * CLASSES];
        for (row, tokens) in picked.iter().enumerate() {
            for token in *tokens {
                teacher[row * CLASSES + *token as usize % CLASSES] += 1.0 / tokens.len() as Real;
            }
        }
        Batch {
            row_ids: rows.iter().map(|&row| row.into()).collect(),
            keys: rows.iter().map(|&row| row.into()).collect(),
            groups: None,
            inputs: Inputs::tokens(Tokens::from_rows(picked)),
            targets: vec![Target::values(teacher, CLASSES)],
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ReaderDescription {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    routers: [String; 2],
}

fn description() -> ReaderDescription {
    let Sentences { input, tasks, .. } = Sentences::new(1, 1);
    ReaderDescription { input, tasks, routers: ["noisy-top-k".into(), "comet+".into()] }
}

impl ReaderDescription {
    fn block(&self, index: usize, routers: &Registry, seed: u64) -> Result<Block, ModelError> {
        let gate = GateSpec { inputs: WIDTH, experts: 4, k: 2, seed, gate: index };
        let router = routers.get(&self.routers[index])?;
        let gates = router.build(&gate, 1, &Default::default())?;
        let mut rng = chacha(seed, "init.experts", index as u64);
        let options = MlpOptions { dropout: 0.1, hidden: vec![WIDTH], ..MlpOptions::default() };
        let bank = ExpertBank::new(4, WIDTH, WIDTH, &options, &mut rng);
        let name = format!("encoder.{index}.moe");
        Ok(Block { moe: MoeLayer::new(&name, gates, Box::new(bank)) })
    }
}

impl ModelDescription for ReaderDescription {
    fn kind(&self) -> &str {
        "reader"
    }
    fn fields(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap()
    }
    fn input(&self) -> &InputSpec {
        &self.input
    }
    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }
    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        &mut self.tasks
    }
    fn validate(&self, routers: &Registry) -> Result<(), ModelError> {
        (0..2).try_for_each(|index| self.block(index, routers, 0).map(drop))
    }
    fn build_model(&self, routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        let mut rng = chacha(seed, "init.reader", 0);
        let words = Embedding::new(VOCABULARY, WIDTH, &mut rng);
        let blocks = (0..2).map(|index| self.block(index, routers, seed));
        let encoder = Words { words, blocks: blocks.collect::<Result<_, _>>()? };
        let head = Linear::new(WIDTH, CLASSES, &mut rng);
        Ok(Box::new(Reader { encoder: Box::new(encoder), head }))
    }
}

/// A block of the encoder: each token is a row of the layer.
#[derive(Debug)]
struct Block {
    moe: MoeLayer,
}

impl Layer for Block {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        x + self.moe.forward(pass, x)
    }
}

impl Module for Block {
    named_state!("moe" => child moe);
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.moe.gates_mut()
    }
}

#[derive(Debug)]
struct Words {
    words: Embedding,
    blocks: Vec<Block>,
}

impl Encoder for Words {
    fn outputs(&self) -> usize {
        WIDTH
    }
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Var<'t> {
        let tokens = inputs.tokens.as_ref().expect("rows of tokens");
        let rows = TokenRows::new(pass, tokens.ids(), tokens.offsets());
        let of_tokens = pass.of_rows(rows.pass(pass));
        let x = self.words.forward(tape, tokens.ids());
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&of_tokens, x));
        // The mean of the tokens of each row.
        let mut shares = Tensor::zeros([tokens.rows(), tokens.ids().len()]);
        for (row, ends) in tokens.offsets().windows(2).enumerate() {
            let (first, end) = (ends[0] as usize, ends[1] as usize);
            let row = row * tokens.ids().len();
            shares.as_mut_slice()[row + first..row + end].fill(1.0 / (end - first) as Real);
        }
        tape.constant(shares).matmul(x)
    }
}

impl Module for Words {
    named_state!("words" => child words, flat blocks);
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.blocks.gates_mut()
    }
}

struct Reader {
    encoder: Box<dyn Encoder>,
    head: Linear,
}

impl Model for Reader {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        [self.head.forward(pass, self.encoder.forward(tape, pass, inputs))].into_iter().collect()
    }
}

impl Module for Reader {
    named_state!("encoder" => child encoder, "head" => child head);
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.encoder.gates_mut()
    }
}

fn models() -> Models {
    let kinds = TaskKinds::standard().with::<Distil>("distil");
    let mut models =
        Models::from(moe_search::with_search(Registry::standard())).with_task_kinds(kinds);
    let info = RouterInfo::new("reader", "tokens through two MoE layers", "this test");
    models.register(ModelEntry::new(info, "reader", |_, _| Ok(description()))).unwrap();
    models
}

fn options(epochs: usize) -> TrainOptions {
    TrainOptions { seed: 3, batch_rows: 32, epochs, patience: epochs, ..TrainOptions::default() }
}

fn bits(module: &(impl Module + ?Sized)) -> Vec<u64> {
    let mut bits = Vec::new();
    module.visit(&mut |_, state| {
        bits.extend(state.tensor().as_slice().iter().map(|&value| f64::from(value).to_bits()));
    });
    bits
}

/// Stops training after an epoch.
struct Cut(usize);

impl Observer for Cut {
    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        if record.epoch == self.0 { Err("cut".into()) } else { Ok(()) }
    }
}

#[test]
fn it_trains_resumes_to_the_bit_is_evaluated_and_served() {
    let (train, val) = (Sentences::new(1, 300), Sentences::new(2, 80));
    let (models, place) = (models(), tempfile::tempdir().unwrap());
    let described: Arc<dyn ModelDescription> = Arc::new(description());
    let start = || models.build(&*described, 5).unwrap();
    let run = |name: &str, observer: &mut dyn Observer| {
        let path = place.path().join(name);
        let mut model = start();
        let (mut dir, state) = if RunDir::is_run(&path) {
            RunDir::open(&path).unwrap()
        } else {
            let state = TrainState::new(&*model, options(8).optimizer);
            let info = RunInfo { model: described.to_json(), seed: 5, ..RunInfo::default() };
            (RunDir::create(&path, info, &state).unwrap(), state)
        };
        let both = &mut (&mut dir, observer);
        let history = continue_training(&mut *model, state, &train, &val, &options(8), both);
        dir.finish().unwrap();
        (model, history)
    };
    let (whole, history) = run("whole", &mut ());
    let history = history.unwrap();
    assert!(run("cut", &mut Cut(3)).1.is_err());
    let (resumed, again) = run("cut", &mut ());
    assert_eq!(bits(&*resumed), bits(&*whole));
    for (a, b) in again.unwrap().epochs.iter().zip(&history.epochs) {
        assert_eq!((a.train_loss, a.val_loss, &a.gates), (b.train_loss, b.val_loss, &b.gates));
    }

    let before = evaluate(&*start(), &val, &[1.0], 32).loss;
    let evaluation = evaluate(&*whole, &val, &[1.0], 32);
    assert!(evaluation.loss < before - 0.02, "{before} {}", evaluation.loss);
    let tokens: usize = val.rows.iter().map(Vec::len).sum();
    for (index, gate) in evaluation.gates.iter().enumerate() {
        assert_eq!(gate.label(), format!("encoder.{index}.moe gate 0"));
        assert_eq!(gate.rows, tokens as u64, "each token is a row");
    }

    let predictor = Predictor::load(&place.path().join("whole"), &models).unwrap();
    let batch = val.batch(&(0..80).collect::<Vec<_>>());
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch).unwrap();
    let tape = Tape::inference();
    let on_tape = whole.run(&tape, &Pass::inference(&batch), &batch.inputs).predictions[0].value();
    assert_eq!(out.raw(0), on_tape.as_slice());
    assert_eq!(Weights::of(predictor.model()), Weights::of(&*whole));
}

#[test]
fn its_layers_are_inspected_by_name() {
    let models = models();
    let mut model = models.build(&description(), 5).unwrap();
    let source = Sentences::new(4, 20);
    let batch = source.batch(&(0..20).collect::<Vec<_>>());
    let tape = Tape::inference();
    let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
    let layers: Vec<&str> = output.layers.iter().map(|layer| &*layer.layer).collect();
    assert_eq!(layers, ["encoder.0.moe", "encoder.1.moe"]);
    for layer in &output.layers {
        let of_rows = layer.batch_rows.as_ref().unwrap();
        let found = (0..20).map(|row| of_rows.iter().filter(|&&of| of == row).count());
        assert_eq!(found.collect::<Vec<_>>(), source.rows.iter().map(Vec::len).collect::<Vec<_>>());
    }
    let second = output.layers[1].input.value();
    let layers: Vec<String> = layers.into_iter().map(str::to_owned).collect();
    drop(output);
    let gates = model.gates_mut();
    assert_eq!(gates.iter().map(|layer| layer.layer).collect::<Vec<_>>(), layers);
    assert!(gates[0].gates.walk_trees(&second).is_none());
    assert_eq!(gates[1].gates.walk_trees(&second).unwrap().len(), 1, "COMET has trees");
    for layer in layers {
        let mut found = false;
        model.visit(&mut |name, _| found |= name.starts_with(&format!("{layer}.experts.")));
        assert!(found, "{layer}");
    }
}
