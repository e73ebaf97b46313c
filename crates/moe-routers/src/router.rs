use moe_core::tape::Var;
use moe_core::{Visit, VisitMut};

use crate::observed::Observed;
use crate::properties::Properties;
use crate::route_context::RouteContext;
use crate::routing::Routing;
use crate::sum_of_parts::SumOfParts;

/// Decides which experts each row goes to, and with what weights.
///
/// # Contract
/// * `route` is a function of its arguments and the router's state. Random draws come from
///   [`RouteContext::philox`], keyed by the row's id, never from a generator that the router owns.
/// * A weight that is exactly zero is not among the pairs, so that its expert is not computed. (A router with a
///   fixed number of experts per row keeps its pairs even if a weight underflows.)
/// * In [`Mode::Infer`](moe_core::Mode::Infer) a routing depends on the rows, their keys and the router's state alone.
/// * The planted groups of rows ([`Pass::groups`](moe_core::Pass)) do not matter, unless the router declares that it reads
///   them ([`Properties::reads_groups`]).
/// * `visit` and `visit_mut` report the same names in the same order.
///
/// [`conformance`](crate::conformance) checks all of this for any router.
pub trait Router: Send + Sync {
    /// Number of experts (N).
    fn num_experts(&self) -> usize;

    /// Routes B rows.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the routing is for B rows and N experts.
    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t>;

    /// The gate as a sum of parts. `None`, the default, if it is not one.
    fn as_parts(&self) -> Option<&dyn SumOfParts> {
        None
    }

    /// Promises that others may rely on. The default promises only that rows are routed independently.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Reports every parameter and buffer by name.
    fn visit(&self, _f: &mut Visit<'_>) {}

    /// [`Router::visit`], writable.
    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}

    /// Called after each training step with what the routing of that step observed, for routers that adjust themselves
    /// without a gradient.
    fn after_step(&mut self, _observed: &Observed) {}
}
