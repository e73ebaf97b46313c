//! Experts in the wrong order for their gate: COMET with and without a search for a better order.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

mod planted;

use std::collections::BTreeMap;
use std::error::Error;

use moe_core::batch::{BatchSource, Inputs};
use moe_core::random::chacha;
use moe_core::tape::{Tape, Vars};
use moe_core::{Pass, Real, StateMut, Tensor, named_state};
use moe_nn::{
    ExpertBank, Forward, LayerGates, MlpOptions, Model, Module, MoeLayer, OptimizerOptions,
    TrainOptions, evaluate, train,
};
use moe_routers::{GateSet, GateSpec, Registry, Relabelled, Share};
use moe_search::{Learning, Schedule, SearchOptions, Searched, swap_search};

use planted::{EXPERTS, Planted, WIDTH};

const EPOCHS: usize = 40;
/// Number of epochs in which a permutation is learnt, or after which swaps are tried.
const LEARNING: usize = 10;
/// Number of times that the swap search may compute the loss of a mini-batch.
const SWAP_BUDGET: usize = 200;
const VARIANTS: [&str; 4] = ["comet", "comet+", "comet+ stochastic", "comet swaps"];

/// Gates over frozen experts, with the output of the mixture as the prediction.
struct Frozen(MoeLayer);

impl Frozen {
    fn new(gates: Box<dyn GateSet>, experts: &Tensor) -> Self {
        let (options, mut rng) = (MlpOptions::default(), chacha(1, "init.experts", 0));
        let bank = ExpertBank::new(EXPERTS, WIDTH, 1, &options, &mut rng);
        let mut model = Frozen(MoeLayer::new("layer", gates, Box::new(bank)));
        model.visit_mut(&mut |name, state| {
            if let (true, StateMut::Parameter(parameter)) =
                (name.starts_with("layer.experts."), state)
            {
                if name.ends_with("weight") {
                    *parameter.value_mut() = experts.clone();
                }
                parameter.set_frozen(true);
            }
        });
        model
    }
}

impl Model for Frozen {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let rows = inputs.dense_rows().expect("rows are dense");
        self.0.forward_gates(pass, tape.constant(rows))
    }
}

impl Module for Frozen {
    named_state!("layer" => child 0);

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.0.gates_mut()
    }
}

fn comet(seed: u64) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs: WIDTH, experts: EXPERTS, k: 2, seed, gate: 0 };
    let registry = Registry::standard();
    let entry = registry.get("comet").expect("it is registered");
    entry.build(&spec, 1, &BTreeMap::new()).expect("the defaults are allowed")
}

fn options(seed: u64, epochs: usize) -> TrainOptions {
    TrainOptions {
        seed,
        batch_rows: 100,
        epochs,
        patience: epochs,
        optimizer: OptimizerOptions { learning_rate: 1e-2, ..OptimizerOptions::default() },
        ..TrainOptions::default()
    }
}

/// The test loss of a variant.
fn run(variant: &str, seed: u64) -> Result<f64, Box<dyn Error>> {
    let data = Planted::new(seed);
    let searched = |schedule| {
        let learning = Learning::Epochs(LEARNING as f64);
        let options = SearchOptions { learning, schedule, ..SearchOptions::default() };
        Box::new(Searched::new(comet(seed), options, seed))
    };
    let gates: Box<dyn GateSet> = match variant {
        "comet+" => searched(Schedule::default()),
        "comet+ stochastic" => searched(Schedule::doubly_stochastic()),
        "comet swaps" => {
            let identity = (0..EXPERTS as u32).collect();
            Box::new(Relabelled::new(comet(seed), Share::All, vec![identity]))
        }
        _ => comet(seed),
    };
    let mut model = Frozen::new(gates, &data.experts);
    if variant == "comet swaps" {
        train(&mut model, &data.train, &data.val, &options(seed, LEARNING), &mut ())?;
        swap(&mut model, &data);
        train(
            &mut model,
            &data.train,
            &data.val,
            &options(seed + 1000, EPOCHS - LEARNING),
            &mut (),
        )?;
    } else {
        train(&mut model, &data.train, &data.val, &options(seed, EPOCHS), &mut ())?;
    }
    Ok(evaluate(&model, &data.test, &[1.0], 500).loss)
}

/// Permutes the experts to minimise the loss of a mini-batch.
fn swap(model: &mut Frozen, data: &Planted) {
    let batch = data.train.batch(&(0..256).collect::<Vec<_>>());
    let mut relabel = |labels: &[u32]| {
        model.visit_mut(&mut |name, mut state| {
            if name == "layer.gates.permutation.rounded" {
                let labels = labels.iter().map(|&label| label as Real).collect();
                *state.tensor_mut() = Tensor::new([1, EXPERTS], labels);
            }
        });
        let tape = Tape::inference();
        let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
        let kind = &data.train.tasks()[0].kind;
        f64::from(kind.loss(output.predictions[0], &batch.targets[0]).value().item())
    };
    let found = swap_search((0..EXPERTS as u32).collect(), SWAP_BUDGET, &mut relabel);
    relabel(&found.permutation);
}

/// Mean, and half the width of its 95 % confidence interval by Student's t.
fn mean_and_interval(values: &[f64]) -> (f64, f64) {
    /// The 97.5 % quantiles from one degree of freedom on.
    const T: [f64; 15] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131,
    ];
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let t = T.get(values.len().saturating_sub(2)).copied().unwrap_or(2.1);
    (mean, t * (squares / (n - 1.0).max(1.0) / n).sqrt())
}

fn main() -> Result<(), Box<dyn Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(10), |seeds| seeds.parse())?;
    println!("{:<18} {:>9}  {:>24}  better", "", "test loss", "minus comet [95 %]");
    let mut plain = Vec::new();
    for variant in VARIANTS {
        let losses: Vec<f64> =
            (1..=seeds).map(|seed| run(variant, seed)).collect::<Result<_, _>>()?;
        if variant == "comet" {
            plain = losses.clone();
        }
        let differences: Vec<f64> = losses.iter().zip(&plain).map(|(a, b)| a - b).collect();
        let (mean, half) = mean_and_interval(&differences);
        let interval = format!("{mean:+.4} [{:+.4}, {:+.4}]", mean - half, mean + half);
        let better = differences.iter().filter(|&&d| d < 0.0).count();
        let loss = mean_and_interval(&losses).0;
        println!("{variant:<18} {loss:>9.4}  {interval:>24}  {better} of {seeds}");
    }
    Ok(())
}
