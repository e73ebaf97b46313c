use moe_core::batch::TaskSpec;
use moe_core::kernel::for_each2;
use moe_core::random::chacha;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor};

use crate::layers::layer::Layer;
use crate::layers::mlp::{Mlp, MlpOptions};

/// Working memory of a head.
#[derive(Debug, Default)]
pub(crate) struct HeadScratch {
    /// `[B, O]`: the input of the head.
    pub(crate) mixed: Tensor,
    /// Outputs of its hidden layers.
    pub(crate) hidden: [Tensor; 2],
}

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
    pass: &Pass<'_>,
    inputs: &[Var<'t>],
) -> Vec<Var<'t>> {
    assert_eq!(heads.len(), inputs.len(), "one head per input");
    heads.iter().zip(inputs).map(|(head, &x)| head.forward(pass, x)).collect()
}

/// Calls `infer(task, memory, output)` for the head of every task, all in one parallel region if there are many rows.
pub(crate) fn infer_heads(
    heads: &[Mlp],
    rows: usize,
    scratch: &mut Vec<HeadScratch>,
    out: &mut Vec<Tensor>,
    infer: impl Fn(usize, &mut HeadScratch, &mut Tensor) + Sync,
) {
    scratch.resize_with(heads.len(), HeadScratch::default);
    out.resize_with(heads.len(), Tensor::default);
    let most_per_row = heads.iter().map(Mlp::multiply_adds).max().unwrap_or(0);
    for_each2((rows, most_per_row), scratch, out, infer);
}
