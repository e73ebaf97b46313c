//! COMET's MovieLens model, and batches of synthetic ids for it.

use moe_core::batch::{Batch, IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::rand::Rng;
use moe_core::{StateMut, VisitMut};

use moe_nn::{Mixture, MixtureDescription, Predictor};
use moe_routers::{GateSet, GateSpec, Registry, Value};
use moe_search::with_search;

use crate::data::{INPUTS, OUTPUTS, ROWS, ids, rng, uniform};

/// Experts per row (K).
pub const K: usize = 2;
/// Name and vocabulary of each column of ids.
const COLUMNS: [(&str, usize); 2] = [("user", 6040), ("movie", 3952)];

fn input() -> InputSpec {
    let column = |(name, vocabulary): (&str, usize)| IdColumn { name: name.into(), vocabulary };
    InputSpec::ids(COLUMNS.map(column).to_vec())
}

/// The two tasks.
pub fn tasks() -> Vec<TaskSpec> {
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    vec![task("watch", TaskKind::binary()), task("rating", TaskKind::regression())]
}

/// The model with `experts` experts of 256 inputs and outputs with dropout, and a gate and a head per task: 2.47 million
/// parameters with 16 experts.
///
/// # Panics
/// If the router is unknown or does not have these parameters.
pub fn model(router: &str, experts: usize, parameters: &[(String, Value)]) -> Mixture {
    let description = MixtureDescription::new(input(), tasks())
        .with_embedding_width(128)
        .with_experts(experts)
        .with_k(K)
        .with_expert_hidden_widths(&[])
        .with_expert_width(OUTPUTS)
        .with_expert_dropout(0.5)
        .with_head_widths(&[256])
        .with_router(router)
        .with_router_parameters(parameters.iter().cloned().collect());
    description.build(&with_search(Registry::standard()), 1).expect("the router is known")
}

/// `gates` gates of a router alone, for rows of [`INPUTS`] numbers.
///
/// # Panics
/// If the router is unknown or does not have these parameters.
pub fn gates(
    router: &str,
    experts: usize,
    gates: usize,
    parameters: &[(String, Value)],
) -> Box<dyn GateSet> {
    let registry = with_search(Registry::standard());
    let entry = registry.get(router).expect("the router is registered");
    let spec = GateSpec { inputs: INPUTS, experts, k: K, seed: 1, gate: 0 };
    let parameters = parameters.iter().cloned().collect();
    entry.build(&spec, gates, &parameters).expect("the parameters are allowed")
}

/// Parameters of a router with a permutation search (R+) in its learning phase: with the most iterations of the
/// schedule and almost every expert for every row.
pub fn learning() -> Vec<(String, Value)> {
    let option = |name: &str, value| (name.to_string(), Value::Int(value));
    vec![option("search-steps", 1 << 24), option("search-first-iterations", 150)]
}

/// Parameters of a router with a permutation search (R+) whose permutation is rounded after one step.
pub fn rounded() -> Vec<(String, Value)> {
    vec![("search-steps".to_string(), Value::Int(1))]
}

/// The model of [`model`] with the router's default parameters, ready for inference.
///
/// # Panics
/// If the router is unknown.
pub fn predictor(router: &str, experts: usize) -> Predictor {
    Predictor::of(Box::new(model(router, experts, &[])), input(), tasks())
}

/// The first rows of a batch, without targets.
///
/// # Panics
/// If the batch has fewer rows.
pub fn first_rows(batch: &Batch, rows: usize) -> Batch {
    let columns = batch.inputs.ids.iter();
    Batch {
        row_ids: batch.row_ids[..rows].to_vec(),
        keys: batch.keys[..rows].to_vec(),
        groups: None,
        inputs: Inputs::ids(columns.map(|ids| ids[..rows].to_vec()).collect()),
        targets: vec![],
    }
}

/// A batch of [`ROWS`] random rows, different ones for each `number`.
pub fn batch(number: u64) -> Batch {
    let mut rng = rng(&format!("movielens.{number}"));
    let columns = COLUMNS.map(|(_, vocabulary)| ids(vocabulary, ROWS, &mut rng)).to_vec();
    let watched: Vec<bool> = (0..ROWS).map(|_| rng.random()).collect();
    Batch {
        row_ids: (0..ROWS as u64).map(|row| number * ROWS as u64 + row).collect(),
        keys: columns[0].iter().map(|&user| user.into()).collect(),
        groups: None,
        inputs: Inputs::ids(columns),
        targets: vec![
            Target::binary(
                watched.iter().map(|&watched| if watched { 1.0 } else { 0.0 }).collect(),
            ),
            Target::regression(uniform([ROWS], &mut rng).as_slice().to_vec(), watched),
        ],
    }
}

/// Makes every split of COMET gates so steep that each row goes to one leaf of each tree.
pub fn saturate(visit_mut: impl FnOnce(&mut VisitMut<'_>)) {
    visit_mut(&mut |name, state| {
        if let (true, StateMut::Parameter(split)) = (name.contains("split"), state) {
            let value = split.value_mut();
            *value = value.map(|w| w * 1e6);
        }
    });
}
