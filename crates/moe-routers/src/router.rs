use moe_core::random::Philox;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut};

use crate::parts::{Parts, PartsBuf};
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::{Observed, Routing};
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// Decides which experts each row goes to, and with what weights.
///
/// # Contract
/// * `route` is a function of its arguments and the router's state: random draws come from
///   [`RouteContext::philox`], keyed by the row's id, never from a generator of its own.
/// * A weight that is exactly zero is not among the pairs, so that its expert is not computed. (A router with a
///   fixed number of experts per row keeps its pairs even if a weight underflows.)
/// * In [`Mode::Infer`](moe_core::Mode::Infer) a routing depends on the rows, their keys and the router's state alone.
/// * `visit` and `visit_mut` report the same names in the same order.
///
/// [`conformance`](crate::conformance) checks all of this for any router.
pub trait Router: Send + Sync {
    /// N.
    fn num_experts(&self) -> usize;

    /// Routes B rows.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the routing is for B rows and N experts.
    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t>;

    /// The parts that [`Router::route`] adds up, before they are: for what acts on each of them. `None`, the default, if
    /// the gate is not a sum of parts.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the parts are `[B, K, N]`.
    fn route_parts<'t>(&self, _cx: &RouteContext<'_>, _x: Var<'t>) -> Option<Parts<'t>> {
        None
    }

    /// Routes B rows for use: the numbers of [`Router::route`] in [`Mode::Infer`](moe_core::Mode::Infer), without a tape.
    ///
    /// The routers of this crate allocate nothing once `out` and `scratch` have grown to the size of the batch (a
    /// product that is large enough for several threads may, where the calling thread is none of rayon's: a place in
    /// its queue). The default goes through `route`.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys; `out` is for B rows and N experts.
    ///
    /// # Panics
    /// As `route`.
    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        scratch.with_tape(|tape| {
            let cx = RouteContext { pass: Pass::of_keys(keys), gate: 0 };
            out.copy_from(&self.route(&cx, tape.constant(x.clone())));
        });
    }

    /// The numbers of [`Router::route_parts`] in [`Mode::Infer`](moe_core::Mode::Infer), without a tape; whether there are
    /// any. A router that is no sum of parts leaves `out` as it is. The default goes through `route_parts`.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys
    ///
    /// # Panics
    /// As `route_parts`.
    fn infer_parts(
        &self,
        x: &Tensor,
        keys: &[u64],
        out: &mut PartsBuf,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.with_tape(|tape| {
            let cx = RouteContext { pass: Pass::of_keys(keys), gate: 0 };
            let parts = self.route_parts(&cx, tape.constant(x.clone()));
            parts.map(|parts| out.copy_from(&parts)).is_some()
        })
    }

    /// For a gate that decides by soft trees, how far rows come in them, in [`Mode::Infer`](moe_core::Mode::Infer): to
    /// look at. `None`, the default, for any other gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn walk_trees(&self, _x: &Tensor) -> Option<TreeWalk> {
        None
    }

    /// What a user may rely on. The default promises nothing but that rows are routed independently.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Reports every parameter and buffer by name.
    fn visit(&self, _f: &mut Visit<'_>) {}

    /// [`Router::visit`], writable.
    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}

    /// Called after each training step with what the routing of that step observed: for routers that adjust
    /// themselves without a gradient.
    fn after_step(&mut self, _observed: &Observed) {}
}

/// What a router needs besides its input.
#[derive(Clone, Copy, Debug)]
pub struct RouteContext<'a> {
    /// Mode, step, row ids and keys.
    pub pass: Pass<'a>,
    /// Which gate of the layer this is; gates draw different random numbers.
    pub gate: usize,
}

impl RouteContext<'_> {
    /// The random function of this gate for `purpose` at this step; use row ids and experts as its counter.
    pub fn philox(&self, purpose: &str) -> Philox {
        self.pass.philox(&format!("router.{}.{purpose}", self.gate))
    }
}

/// What a router promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// Whether the routing of a row depends on that row alone.
    pub row_wise: bool,
    /// Experts per row.
    pub cardinality: Cardinality,
    /// Sum of a row's weights.
    pub total_weight: TotalWeight,
    /// Whether the gradient is that of the output.
    pub gradient: GradientKind,
}

impl Default for Properties {
    fn default() -> Self {
        Properties {
            row_wise: true,
            cardinality: Cardinality::Any,
            total_weight: TotalWeight::Any,
            gradient: GradientKind::Exact,
        }
    }
}

/// Number of experts per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// So many for every row.
    Exactly(usize),
    /// Never more.
    AtMost(usize),
    /// No promise.
    Any,
}

/// Sum of the weights of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalWeight {
    /// 1 for every row.
    One,
    /// Between 0 and 1.
    AtMostOne,
    /// No promise.
    Any,
}

/// Kind of a router's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientKind {
    /// The derivative of the weights, for the chosen experts held fixed.
    Exact,
    /// An estimator; finite differences do not apply.
    Estimated,
}
