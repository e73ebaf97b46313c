use moe_core::Tensor;
use moe_core::tape::Var;

use crate::parts::Parts;
use crate::route_context::RouteContext;
use crate::routers::comet::tree_walk::TreeWalk;

/// A gate that is a sum of K parts, such as COMET's trees or DSelect-k's selectors. A permutation of the experts can
/// act on each part by itself.
///
/// [`Router::route`](crate::Router::route) of such a gate is [`Parts::into_routing`] of its parts.
pub trait SumOfParts {
    /// The parts, before they are added up.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the parts are `[B, K, N]`.
    fn route_parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Parts<'t>;

    /// The probabilities of all nodes in inference, for a gate whose parts are soft trees. `None`, the default, for any
    /// other gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn walk_trees(&self, _x: &Tensor) -> Option<TreeWalk> {
        None
    }
}
