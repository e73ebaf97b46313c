//! Several MoE layers in a model: their names, their draws, their rows, and what is refused.

mod common;

use std::collections::BTreeMap;

use common::{Memory, dense, options};
use moe_core::batch::Inputs;
use moe_core::random::chacha;
use moe_core::tape::{Tape, Var, Vars};
use moe_core::{Mode, Pass, Tensor, TokenRows, named_state};
use moe_nn::{
    ExpertBank, Forward, Layer, LayerExperts, LayerGates, Linear, MlpOptions, Model, Module,
    MoeLayer, RoutingRecord, evaluate, train,
};
use moe_routers::{GateSet, GateSpec, Registry, Value};

const WIDTH: usize = 4;

fn gates(router: &str, gate: usize, parameters: &BTreeMap<String, Value>) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs: WIDTH, experts: 3, k: 1, seed: 1, gate };
    Registry::standard().get(router).unwrap().build(&spec, 1, parameters).unwrap()
}

fn bank() -> Box<ExpertBank> {
    let mut rng = chacha(1, "init.experts", 0);
    Box::new(ExpertBank::new(3, WIDTH, WIDTH, &MlpOptions::default(), &mut rng))
}

fn layer(name: &str, router: &str) -> MoeLayer {
    MoeLayer::new(name, gates(router, 0, &BTreeMap::new()), bank())
}

/// Layers one after the other, and a head per task.
struct Stack {
    layers: Vec<Box<dyn Layer>>,
    heads: Vec<Linear>,
    lists_gates: bool,
}

impl Stack {
    fn new(source: &Memory, layers: Vec<Box<dyn Layer>>) -> Self {
        let head = |outputs| Linear::new(WIDTH, outputs, &mut chacha(1, "init.heads", 0));
        let heads = source.tasks.iter().map(|task| head(task.kind.outputs())).collect();
        Stack { layers, heads, lists_gates: true }
    }
}

impl Model for Stack {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let x = tape.constant(inputs.dense_rows().unwrap());
        let x = self.layers.forward(pass, x);
        self.heads.iter().map(|head| head.forward(pass, x)).collect()
    }
}

impl Module for Stack {
    named_state!("layers" => child layers, "heads" => child heads);
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        if self.lists_gates { self.layers.gates_mut() } else { Vec::new() }
    }
}

fn two_layers(source: &Memory, router: &str) -> Stack {
    let layers =
        ["layers.0", "layers.1"].map(|name| Box::new(layer(name, router)) as Box<dyn Layer>);
    Stack::new(source, layers.into())
}

#[test]
fn each_layer_is_known_by_its_name() {
    let (source, val) = (dense(1, 60, WIDTH), dense(2, 20, WIDTH));
    let mut model = two_layers(&source, "expert-choice");
    let history = train(&mut model, &source, &val, &options(1), &mut ()).unwrap();
    for record in &history.epochs {
        let names: Vec<_> =
            record.gates.iter().map(moe_routers::telemetry::GateSummary::label).collect();
        assert_eq!(names, ["layers.0 gate 0", "layers.1 gate 0"]);
        assert!(record.gates.iter().all(|gate| gate.changed.is_some() == (record.epoch > 1)));
        assert!(record.gates.iter().all(|gate| gate.weight_difference.is_some()));
    }
    let evaluation = evaluate(&model, &val, &options(1).task_weights, 7);
    let layers: Vec<_> = evaluation.gates.iter().map(|gate| gate.layer.as_str()).collect();
    assert_eq!(layers, ["layers.0", "layers.1"]);
    // Each layer got its own observations: the learnt thresholds differ.
    let mut thresholds = Vec::new();
    model.visit(&mut |name, state| {
        if matches!(state, moe_core::StateRef::Buffer(_)) {
            thresholds.push((name.to_owned(), state.tensor().clone()));
        }
    });
    assert!(thresholds[0].0.starts_with("layers.0.gates."), "{}", thresholds[0].0);
    assert!(thresholds.last().unwrap().0.starts_with("layers.1.gates."));
    assert_ne!(thresholds[0].1, thresholds.last().unwrap().1);
}

#[test]
fn auxiliary_losses_carry_the_name_of_their_layer() {
    let source = dense(1, 30, WIDTH);
    let parameters = BTreeMap::from([("load-balance".to_string(), Value::Real(0.1))]);
    let layer = |name| MoeLayer::new(name, gates("top-k", 0, &parameters), bank());
    let layers: Vec<Box<dyn Layer>> =
        vec![Box::new(layer("layers.0")), Box::new(layer("layers.1"))];
    let mut model = Stack::new(&source, layers);
    let history = train(&mut model, &source, &source, &options(1), &mut ()).unwrap();
    let terms: Vec<_> =
        history.epochs[0].train_terms.iter().map(|(name, _)| name.as_str()).collect();
    let of_gates = &terms[source.tasks.len()..];
    assert_eq!(of_gates, ["layers.0 gate 0 load-balance", "layers.1 gate 0 load-balance"]);
}

/// The weights of both layers of the same gate for the same rows.
fn weights_of(model: &Stack, source: &Memory, mode: Mode) -> [Tensor; 2] {
    let batch = common::first_rows(source, 30);
    let tape = Tape::inference();
    let output = model.run(&tape, &common::pass(&batch, mode), &batch.inputs);
    let mut weights = output.gates().map(|(_, _, routing)| routing.to_dense());
    [weights.next().unwrap(), weights.next().unwrap()]
}

#[test]
fn layers_draw_different_numbers() {
    // The second layer sees the rows of the first one, and has the same gate.
    struct Twice(MoeLayer, MoeLayer);
    impl Module for Twice {
        named_state!("0" => child 0, "1" => child 1);
    }
    impl Layer for Twice {
        fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
            self.0.forward(pass, x) + self.1.forward(pass, x)
        }
    }
    let source = dense(1, 30, WIDTH);
    let twice = Twice(layer("layers.0.0", "noisy-top-k"), layer("layers.0.1", "noisy-top-k"));
    let model = Stack::new(&source, vec![Box::new(twice)]);
    let [first, second] = weights_of(&model, &source, Mode::Train);
    assert_ne!(first, second);
    // A negative control: nothing is drawn at inference.
    let [first, second] = weights_of(&model, &source, Mode::Infer);
    assert_eq!(first, second);
}

#[test]
#[should_panic(expected = "the model does not list MoE layer layers.0")]
fn a_layer_that_the_model_does_not_list_is_refused_in_training() {
    let source = dense(1, 30, WIDTH);
    let mut model = Stack { lists_gates: false, ..two_layers(&source, "top-k") };
    let _ = train(&mut model, &source, &source, &options(1), &mut ());
}

#[test]
#[should_panic(expected = "two MoE layers are named layers.0")]
fn two_layers_of_one_name_are_refused() {
    let source = dense(1, 30, WIDTH);
    let layers: Vec<Box<dyn Layer>> =
        vec![Box::new(layer("layers.0", "top-k")), Box::new(layer("layers.0", "top-k"))];
    let batch = common::first_rows(&source, 3);
    let _ = Stack::new(&source, layers).run(&Tape::new(), &Pass::inference(&batch), &batch.inputs);
}

#[test]
#[should_panic(expected = "MoE layer layer has 2 gates, not one")]
fn a_layer_with_several_gates_has_no_single_output() {
    let spec = GateSpec { inputs: WIDTH, experts: 3, k: 1, seed: 1, gate: 0 };
    let registry = Registry::standard();
    let gates = registry.get("top-k").unwrap().build(&spec, 2, &BTreeMap::new()).unwrap();
    let tape = Tape::inference();
    let pass = Forward::unrecorded(Pass::of_keys(&[0]));
    MoeLayer::new("layer", gates, bank()).forward(&pass, tape.constant(Tensor::zeros([1, WIDTH])));
}

fn inside_experts(parameters: &BTreeMap<String, Value>) -> MoeLayer {
    let inner = |gate| {
        let layer = MoeLayer::new("inner", gates("top-k", gate, parameters), bank());
        Box::new(layer) as Box<dyn Layer>
    };
    let experts = LayerExperts::new((0..3).map(inner).collect(), WIDTH);
    MoeLayer::new("outer", gates("top-k", 0, &BTreeMap::new()), Box::new(experts))
}

fn forward_in_training(layer: &MoeLayer) -> Vec<String> {
    let (tape, routings, keys) = (Tape::new(), RoutingRecord::default(), [1, 2, 3, 4]);
    let pass = Pass { mode: Mode::Train, ..Pass::of_keys(&keys) };
    let x = tape.constant(Tensor::from_fn([4, WIDTH], |i| i as moe_core::Real - 7.0));
    layer.forward(&Forward::new(pass, &routings), x);
    routings.into_layers().iter().map(|layer| layer.layer.to_string()).collect()
}

#[test]
fn layers_inside_experts_are_computed_and_not_recorded() {
    assert_eq!(forward_in_training(&inside_experts(&BTreeMap::new())), ["outer"]);
}

#[test]
#[should_panic(expected = "auxiliary losses of MoE layer inner would be lost")]
fn auxiliary_losses_inside_experts_are_refused() {
    let parameters = BTreeMap::from([("load-balance".to_string(), Value::Real(0.1))]);
    forward_in_training(&inside_experts(&parameters));
}

#[test]
fn a_token_is_a_row_of_its_own_whatever_its_sentence() {
    let layer = layer("encoder.0.moe", "noisy-top-k");
    // Two sentences; the second also alone, and each token of a sentence in training draws its own noise.
    let value = |row: usize, col: usize| (row * 3 + col) as moe_core::Real / 7.0 - 1.0;
    let route = |row_ids: &[u64], tokens: &[u32], offsets: &[u32], first: usize| {
        let (tape, routings) = (Tape::inference(), RoutingRecord::default());
        let sentences = Pass { mode: Mode::Train, row_ids, ..Pass::of_keys(row_ids) };
        let rows = TokenRows::new(&sentences, tokens, offsets);
        let pass = Forward::new(sentences, &routings);
        let x = Tensor::from_fn([tokens.len(), WIDTH], |i| value(first + i / WIDTH, i % WIDTH));
        layer.forward(&pass.of_rows(rows.pass(&sentences)), tape.constant(x));
        let layers = routings.into_layers();
        (layers[0].gates[0].to_dense(), layers[0].batch_rows.clone().unwrap())
    };
    let (both, batch_rows) = route(&[8, 9], &[5, 5, 5, 6, 7], &[0, 3, 5], 0);
    assert_eq!(batch_rows, [0, 0, 0, 1, 1]);
    let (alone, batch_rows) = route(&[9], &[6, 7], &[0, 2], 3);
    assert_eq!(batch_rows, [0, 0]);
    for row in 0..2 {
        assert_eq!(both.row(3 + row), alone.row(row));
    }
    let (elsewhere, _) = route(&[10], &[6, 7], &[0, 2], 3);
    assert_ne!(elsewhere, alone, "the draws of another sentence");
}

#[test]
#[should_panic(expected = "no parameter of MoE layer encoder.3.moe begins with its name")]
fn a_name_that_is_not_that_of_the_parameters_is_refused_in_training() {
    let source = dense(1, 30, WIDTH);
    let mut model = Stack::new(&source, vec![Box::new(layer("encoder.3.moe", "top-k"))]);
    let _ = train(&mut model, &source, &source, &options(1), &mut ());
}
