use moe_core::batch::TaskSpec;
use moe_core::random::chacha;
use moe_core::tape::{Var, Vars};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::layers::mlp::{Mlp, MlpOptions};

/// A head for each task, with the initial weights of `seed`.
pub(crate) fn heads(tasks: &[TaskSpec], inputs: usize, hidden: &[usize], seed: u64) -> Vec<Mlp> {
    let options = MlpOptions { hidden: hidden.into(), ..MlpOptions::default() };
    let heads = tasks.iter().enumerate().map(|(i, task)| {
        let mut rng = chacha(seed, "init.head", i as u64);
        Mlp::new(inputs, task.kind.outputs(), &options, &mut rng)
    });
    heads.collect()
}

/// Applies the head of every task to its input.
///
/// # Panics
/// If there is not one head per input.
pub(crate) fn forward_heads<'t>(
    heads: &[Mlp],
    pass: &Forward<'_, 't>,
    inputs: &[Var<'t>],
) -> Vars<'t> {
    assert_eq!(heads.len(), inputs.len(), "one head per input");
    let pass = **pass;
    let Some(first) = inputs.first() else { return Vars::new() };
    let most_per_row = heads.iter().map(Mlp::multiply_adds).max().unwrap_or(0);
    first.tape().map_each(inputs, most_per_row, |task, x| {
        heads[task].forward(&Forward::unrecorded(pass), x)
    })
}
