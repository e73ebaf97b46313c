use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Buffer, Tensor};

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
/// gates of a layer. Every row has one expert, whatever K is: a row has one group. Nothing is learnt, and the rows themselves do
/// not matter. The groups are needed in training and at inference, so a model with this gate is evaluated on data that
/// have them, and cannot serve rows from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Oracle {
    experts: usize,
}

impl Oracle {
    /// A gate for the number of experts in `spec`.
    ///
    /// # Panics
    /// If there are no experts.
    pub fn new(spec: &GateSpec) -> Self {
        assert!(spec.experts > 0, "oracle: no experts");
        Oracle { experts: spec.experts }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "oracle",
            "one expert with weight 1, by the planted group of the row, which the data must have",
            "none: the fixed point of a router that knows the planted groups",
        );
        RouterEntry::per_gate(info.reads_groups(), |spec, _| Box::new(Oracle::new(spec)))
    }
}

impl Router for Oracle {
    fn num_experts(&self) -> usize {
        self.experts
    }

    /// # Panics
    /// If the pass does not have a group for every row. Training, evaluation and prediction with saved models refuse rows
    /// without groups before.
    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let rows = x.shape()[0];
        let groups = cx.pass.groups.expect("oracle: the rows have no planted groups");
        assert_eq!(groups.len(), rows, "oracle: one group per row");
        let mut experts = Buffer::unspecified(rows);
        for (expert, &group) in experts.iter_mut().zip(groups) {
            *expert = group % self.experts as u32;
        }
        let assignments = Assignments::fixed_from_buffer(self.experts, 1, experts);
        Routing::new(assignments, x.tape().constant(Tensor::full([rows], 1.0)))
    }

    fn properties(&self) -> Properties {
        let properties = Properties::new(Cardinality::Exactly(1), TotalWeight::One);
        Properties { reads_groups: true, ..properties }
    }
}
