//! COMET's MovieLens model: a training step with each router, the gates' share of it, and inference.

use std::hint::black_box;

use benches::data::{INPUTS, OUTPUTS, ROWS, rng, uniform};
use benches::movielens::{self, K};
use moe_core::Pass;
use moe_core::batch::{Batch, Inputs};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::tape::Tape;
use moe_nn::{
    Mixture, Model, ModelScratch, Module, Optimizer, OptimizerOptions, Predictions, StepContext,
    StepReport, train_step,
};
use moe_routers::aux_loss::total_loss;
use moe_routers::{GateSet, Value};
use serde_json::json;

use crate::report::{Report, rounded, time_fields, with};
use crate::timing::{Case, Rounds};

/// Number of experts (N).
const EXPERTS: usize = 16;
/// Number of different batches, taken in turn, so that no step finds its own rows in the caches.
const BATCHES: u64 = 16;

/// Name, router and its parameters.
type Variant = (&'static str, &'static str, Vec<(String, Value)>);

fn variants() -> Vec<Variant> {
    let defaults = [
        "top-k",
        "comet",
        "moesart",
        "dselect-k",
        "hash",
        "noisy-top-k",
        "switch",
        "v-moe",
        "x-moe",
        "expert-choice",
        "softmax",
    ];
    let mut all: Vec<Variant> = defaults.map(|router| (router, router, vec![])).into();
    all.push((SATURATED, "comet", vec![]));
    all.push(("comet+-learning", "comet+", movielens::learning()));
    all.push(("comet+-rounded", "comet+", movielens::rounded()));
    all
}

/// Names of all variants.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    variants().into_iter().map(|(name, ..)| name)
}

const SATURATED: &str = "comet-saturated";

/// A model that takes a step at each call.
pub(crate) struct Training {
    pub(crate) model: Mixture,
    optimizer: Optimizer,
    tape: Tape,
    step: u64,
}

impl Training {
    pub(crate) fn new((name, router, parameters): &Variant) -> Self {
        let mut model = movielens::model(router, EXPERTS, parameters);
        if *name == SATURATED {
            movielens::saturate(|f| model.visit_mut(f));
        }
        // With a step size of 0 every round routes alike.
        let options = OptimizerOptions { learning_rate: 0.0, ..OptimizerOptions::default() };
        Training { model, optimizer: Optimizer::new(options), tape: Tape::new(), step: 0 }
    }

    pub(crate) fn step(&mut self, batches: &[Batch]) -> StepReport {
        let tasks = movielens::tasks();
        let task_weights = &[0.5, 0.5];
        let at = StepContext { seed: 1, step: self.step, epoch: 0, tasks: &tasks, task_weights };
        let batch = &batches[self.step as usize % batches.len()];
        let parts = std::slice::from_ref(batch);
        self.step += 1;
        train_step(&mut self.tape, &mut self.model, &mut self.optimizer, &mut (), &at, parts)
            .expect("loss and gradients are finite")
    }

    /// Mean number of slots per row over all batches.
    fn slots_per_row(&mut self, batches: &[Batch]) -> f64 {
        let slots: usize = (0..batches.len())
            .map(|_| {
                let gates = self.step(batches).decisions.remove(0);
                let gates: Vec<&Assignments> = gates.iter().map(|gate| &gate.assignments).collect();
                ExpertPlan::new(&gates).slots()
            })
            .sum();
        slots as f64 / (batches.len() * ROWS) as f64
    }
}

/// Floating-point operations of the experts and heads for `rows` rows in one forward pass; the gates are not counted.
fn flops(rows: usize, slots_per_row: f64) -> f64 {
    (2 * rows * INPUTS * OUTPUTS) as f64 * (slots_per_row + movielens::tasks().len() as f64)
}

/// Floating-point operations of a training step: the forward pass, and as much again for each of two gradients.
fn step_flops(slots_per_row: f64) -> f64 {
    3.0 * flops(ROWS, slots_per_row)
}

/// Measures a training step with every router.
pub(crate) fn steps(report: &Report, rounds: Rounds, wanted: impl Fn(&str) -> bool) {
    let batches: Vec<Batch> = (0..BATCHES).map(movielens::batch).collect();
    let mut found = Vec::new();
    // A few models at a time: parameters and moments of each take 30 MB.
    let mut variants = variants();
    variants.retain(|(name, ..)| wanted(name));
    for variants in variants.chunks(4) {
        let mut trainings: Vec<_> = variants.iter().map(Training::new).collect();
        let mut gates: Vec<_> = variants.iter().map(GatesAlone::new).collect();
        let slots: Vec<_> = trainings.iter_mut().map(|t| t.slots_per_row(&batches)).collect();
        let mut cases: Vec<Case<'_>> = Vec::new();
        for (training, slots) in trainings.iter_mut().zip(&slots) {
            let batches = &batches;
            cases.push(Case::new(step_flops(*slots), move || drop(training.step(batches))));
        }
        cases.extend(gates.iter_mut().map(|gates| Case::new(0.0, || gates.run())));
        let mut times = rounds.time(&mut cases).into_iter();
        let (steps, gates): (Vec<_>, Vec<_>) =
            (times.by_ref().take(variants.len()).collect(), times.collect());
        for (i, (name, ..)) in variants.iter().enumerate() {
            found.push((*name, slots[i], steps[i], gates[i]));
        }
    }
    for (name, slots, step, gates) in found {
        let fields = json!({
            "batch": ROWS, "experts": EXPERTS, "k": K, "variant": name,
            "slots_per_row": rounded(slots), "steps_per_s": rounded(1e3 / step.median),
            "gates_ms": rounded(gates.median), "gates_share": rounded(gates.median / step.median),
        });
        report.line("movielens_step", with(fields, time_fields(step)));
    }
}

/// The gates of a model without its experts, forward and backward, on dense rows.
struct GatesAlone {
    gates: Box<dyn GateSet>,
    tape: Tape,
    batch: Batch,
}

impl GatesAlone {
    fn new((name, router, parameters): &Variant) -> Self {
        let mut gates = movielens::gates(router, EXPERTS, 2, parameters);
        if *name == SATURATED {
            movielens::saturate(|f| gates.visit_mut(f));
        }
        let x = uniform([ROWS, INPUTS], &mut rng("peers"));
        let batch = Batch { inputs: Inputs::dense(x), ..movielens::batch(0) };
        GatesAlone { gates, tape: Tape::new(), batch }
    }

    fn run(&mut self) {
        let x = self.batch.inputs.dense.as_ref().expect("set by `new`");
        let pass = Pass::training(&self.batch, 1, 0, 0);
        let routings = self.gates.route(&pass, self.tape.variable(x.clone()));
        let losses = routings.iter().map(|r| total_loss(r.weights.sum(), &r.aux_losses));
        let loss = losses.reduce(|a, b| a + b).expect("there is a gate");
        black_box(self.tape.backward(loss));
        drop(routings);
        self.tape.clear();
    }
}

/// Measures predictions for a batch and for one row.
pub(crate) fn inference(report: &Report, rounds: Rounds, wanted: impl Fn(&str) -> bool) {
    for router in ["top-k", "comet", "moesart", "softmax"].into_iter().filter(|name| wanted(name)) {
        let predictor = movielens::predictor(router, EXPERTS);
        let batches: Vec<Batch> = (0..BATCHES).map(movielens::batch).collect();
        for rows in [ROWS, 1] {
            let parts: Vec<Batch> =
                batches.iter().map(|batch| movielens::first_rows(batch, rows)).collect();
            let slots = slots_at_inference(predictor.model(), &parts);
            let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
            let mut at = 0;
            let case = Case::new(flops(rows, slots), || {
                let part = &parts[at % parts.len()];
                at += 1;
                predictor
                    .predict(&part.inputs, &part.keys, &mut out, &mut scratch)
                    .expect("the inputs are those of the model");
                black_box(&out);
            });
            let times = rounds.time(&mut [case]);
            let fields = json!({
                "experts": EXPERTS, "variant": format!("{router}/b{rows}"), "slots_per_row": rounded(slots),
            });
            report.line("movielens_infer", with(fields, time_fields(times[0])));
        }
    }
}

fn slots_at_inference(model: &dyn Model, batches: &[Batch]) -> f64 {
    let (mut slots, mut rows) = (0, 0);
    for batch in batches {
        let tape = Tape::inference();
        let output = model.run(&tape, &Pass::inference(batch), &batch.inputs);
        let gates: Vec<&Assignments> = output.gates().map(|(_, _, r)| &r.assignments).collect();
        slots += ExpertPlan::new(&gates).slots();
        rows += batch.rows();
    }
    slots as f64 / rows as f64
}
