//! COMET's MovieLens model, and batches of synthetic ids for it.

use moe_core::batch::{Batch, IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::rand::Rng;
use moe_core::{StateMut, VisitMut};

use moe_nn::{Mixture, MixtureDescription, Predictor};
use moe_routers::{Registry, Value};
use moe_search::with_search;

use crate::data::{OUTPUTS, ROWS, ids, rng, uniform};

/// K.
pub const K: usize = 2;
/// Name and vocabulary of each column of ids.
const COLUMNS: [(&str, usize); 2] = [("user", 6040), ("movie", 3952)];

fn input() -> InputSpec {
    let column = |(name, vocabulary): (&str, usize)| IdColumn { name: name.into(), vocabulary };
    InputSpec::Ids { columns: COLUMNS.map(column).to_vec() }
}

/// The two tasks.
pub fn tasks() -> Vec<TaskSpec> {
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    vec![task("watch", TaskKind::Binary), task("rating", TaskKind::Regression)]
}

/// `experts` experts from 256 to 256 with dropout, a gate and a head for each task: 2.47 million numbers with 16 experts.
///
/// # Panics
/// If the router is unknown or does not have these parameters.
pub fn model(router: &str, experts: usize, parameters: &[(String, Value)]) -> Mixture {
    let description = MixtureDescription {
        input: input(),
        tasks: tasks(),
        embedding_width: 128,
        experts,
        k: K,
        expert_hidden_widths: vec![],
        expert_width: OUTPUTS,
        expert_dropout: 0.5,
        head_widths: vec![256],
        router: router.into(),
        router_parameters: parameters.iter().cloned().collect(),
        relabelled: None,
    };
    description.build(&with_search(Registry::standard()), 1).expect("the router is known")
}

/// The same with a router's default parameters, for use.
///
/// # Panics
/// If the router is unknown.
pub fn predictor(router: &str, experts: usize) -> Predictor {
    Predictor::of(Box::new(model(router, experts, &[])), input(), tasks())
}

/// The first rows of a batch, without targets.
///
/// # Panics
/// If there are fewer.
pub fn first_rows(batch: &Batch, rows: usize) -> Batch {
    let Inputs::Ids(columns) = &batch.inputs else { unreachable!("the model is given ids") };
    Batch {
        row_ids: batch.row_ids[..rows].to_vec(),
        keys: batch.keys[..rows].to_vec(),
        inputs: Inputs::Ids(columns.iter().map(|ids| ids[..rows].to_vec()).collect()),
        targets: vec![],
    }
}

/// [`ROWS`] rows, others for another `number`.
pub fn batch(number: u64) -> Batch {
    let mut rng = rng(&format!("movielens.{number}"));
    let columns = COLUMNS.map(|(_, vocabulary)| ids(vocabulary, ROWS, &mut rng)).to_vec();
    let watched: Vec<bool> = (0..ROWS).map(|_| rng.random()).collect();
    Batch {
        row_ids: (0..ROWS as u64).map(|row| number * ROWS as u64 + row).collect(),
        keys: columns[0].iter().map(|&user| user.into()).collect(),
        inputs: Inputs::Ids(columns),
        targets: vec![
            Target::Binary(
                watched.iter().map(|&watched| if watched { 1.0 } else { 0.0 }).collect(),
            ),
            Target::Regression {
                values: uniform([ROWS], &mut rng).as_slice().to_vec(),
                present: watched,
            },
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
