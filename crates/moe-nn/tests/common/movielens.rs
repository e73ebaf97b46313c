//! The MovieLens model with the weights and batches of `recorded/movielens_steps.py`, which says how they are made.

use moe_core::batch::{IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::random::{Philox, unit};
use moe_core::{Real, Tensor};
use moe_nn::{Mixture, MixtureDescription, Module};
use moe_routers::Registry;

pub(crate) const SEED: u64 = 38;
pub(crate) const BATCH: u64 = 128;

pub(crate) fn word(purpose: &str, index: usize) -> u32 {
    Philox::new(SEED, purpose, 0).row_block(index as u64 / 4, 0, 0)[index % 4]
}

/// The first value of a parameter.
pub(crate) fn initial(name: &str, tensor: &Tensor) -> Tensor {
    let scale = if name.starts_with("encoder") || name.ends_with("bias") {
        0.05
    } else if name.contains("gates") {
        1.0
    } else {
        let [.., fan_in, fan_out] = tensor.shape()[..] else { unreachable!("matrices") };
        (6.0 / (fan_in + fan_out) as f64).sqrt()
    };
    let purpose = format!("init.{name}");
    Tensor::from_fn(*tensor.shape(), |i| {
        (scale * (2.0 * f64::from(unit(word(&purpose, i))) - 1.0)) as Real
    })
}

/// The model with K experts per row, from these weights.
pub(crate) fn model(k: usize, dropout: Real) -> Mixture {
    let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    let description = MixtureDescription::new(
        InputSpec::ids(vec![column("user", 6040), column("movie", 3952)]),
        vec![task("watch", TaskKind::binary()), task("rating", TaskKind::regression())],
    )
    .with_embedding_width(128)
    .with_experts(16)
    .with_k(k)
    .with_expert_hidden_widths(&[])
    .with_expert_width(256)
    .with_expert_dropout(dropout)
    .with_head_widths(&[256])
    .with_router("top-k");
    let mut model = description.build(&Registry::standard(), SEED).unwrap();
    model.visit_mut(&mut |name, mut state| {
        let tensor = initial(name, state.tensor_mut());
        *state.tensor_mut() = tensor;
    });
    model
}

/// Inputs, targets and row ids of a step.
pub(crate) fn batch(step: u64) -> (Vec<u64>, Inputs, [Target; 2]) {
    let row_ids: Vec<u64> = (step * BATCH..(step + 1) * BATCH).collect();
    let philox = Philox::new(SEED, "rows", 0);
    let words: Vec<[u32; 4]> = row_ids.iter().map(|&id| philox.row_block(id, 0, 0)).collect();
    let users = words.iter().map(|w| w[0] % 6040).collect();
    let movies = words.iter().map(|w| w[1] % 3952).collect();
    let watch: Vec<Real> = words.iter().map(|w| (w[2] & 1) as Real).collect();
    let values = words.iter().map(|w| (1 + w[3] % 5) as Real).collect();
    let present = watch.iter().map(|&w| w == 1.0).collect();
    let targets = [Target::binary(watch), Target::regression(values, present)];
    (row_ids, Inputs::ids(vec![users, movies]), targets)
}
