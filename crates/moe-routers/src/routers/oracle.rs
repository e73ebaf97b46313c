use moe_core::tape::Var;

use crate::gate::from_first::{from_first, read_k_experts};
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// The gate that knows: one expert with weight 1 for every row, by the planted group of the row, such as the expert that it
/// was made for or the domain that it comes from.
///
/// It is the fixed point that learnt routers are measured by on data with planted groups, as [`HashRouter`](crate::HashRouter)
/// is on the other side: one sends rows at random, the other as they were planted. Rows of group g go to expert g mod N, in all
/// gates of a layer. Every row has one expert, whatever K is, unless [`Oracle::with_k`] says otherwise: a row has one group.
/// Nothing is learnt, and the rows themselves do not matter. The groups are needed in training and at inference, so a model with this gate is evaluated on data that
/// have them, and cannot serve rows from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Oracle {
    experts: usize,
    /// Number of experts of a row.
    per_row: usize,
}

impl Oracle {
    /// A gate for the number of experts in `spec`.
    ///
    /// # Panics
    /// If there are no experts.
    pub fn new(spec: &GateSpec) -> Self {
        assert!(spec.experts > 0, "oracle: no experts");
        Oracle { experts: spec.experts, per_row: 1 }
    }

    /// The same gate with K experts for each row (N if that is fewer), for comparisons at equal K: that of its group and those
    /// after it, with weight 1/K each. Every group has a set of its own if there are not more groups than experts; neighbours
    /// share experts.
    ///
    /// # Panics
    /// If K is 0.
    pub fn with_k(self, k: usize) -> Self {
        assert!(k > 0, "oracle: no experts per row");
        Oracle { per_row: k.min(self.experts), ..self }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "oracle",
            "one expert with weight 1, by the planted group of the row, which the data must have",
            "none: the fixed point of a router that knows the planted groups",
        );
        RouterEntry::with_options(info.reads_groups(), read_k_experts, |spec, is_k| {
            let gate = Oracle::new(spec);
            if is_k { gate.with_k(spec.k.max(1)) } else { gate }
        })
    }
}

impl Router for Oracle {
    fn num_experts(&self) -> usize {
        self.experts
    }

    /// # Panics
    /// If the pass does not have a group for every row. The trainer and the `Predictor` of `moe-nn` refuse rows without groups
    /// before.
    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let rows = x.shape()[0];
        let groups = cx.pass.groups.expect("oracle: the rows have no planted groups");
        assert_eq!(groups.len(), rows, "oracle: one group per row");
        let first = |row: usize| groups[row] % self.experts as u32;
        from_first(x.tape(), self.experts, self.per_row, rows, first)
    }

    fn properties(&self) -> Properties {
        let properties = Properties::new(Cardinality::Exactly(self.per_row), TotalWeight::One);
        Properties { reads_groups: true, ..properties }
    }
}
