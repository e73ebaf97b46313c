//! The K largest gate logits of every row and their weights.

use moe_core::tape::Var;

use crate::gate::top_k::top_k_assignments;
use crate::routing::Routing;

/// The K largest logits of every row, weighted by their softmax.
///
/// # Shapes
/// `logits` `[B, N]`
pub(crate) fn largest_softmax(logits: Var<'_>, k: usize) -> Routing<'_> {
    let assignments = top_k_assignments(&logits.value(), k);
    let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
    Routing::new(assignments, weights)
}

/// The K largest logits of every row, weighted by their probabilities `p`, the softmax of the whole row.
///
/// # Shapes
/// `logits`, `p` `[B, N]`
pub(crate) fn largest_of_softmax<'t>(logits: Var<'t>, p: Var<'t>, k: usize) -> Routing<'t> {
    let assignments = top_k_assignments(&logits.value(), k);
    let weights = p.gather_assigned(&assignments);
    Routing::new(assignments, weights)
}
