use moe_core::tape::Var;
use moe_core::{Pass, Tensor, named_state};

use crate::gate_set::{GateSet, GatesOfParts, TrainingLength};
use crate::observed::Observed;
use crate::properties::Properties;
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::Routings;
use crate::wrap::relabelling::{Relabelling, Share};

/// Gates with permuted expert indices, as a search for a permutation leaves them. The weights are exactly those of the
/// gates.
pub struct Relabelled {
    gates: Box<dyn GateSet>,
    relabelling: Relabelling,
}

impl Relabelled {
    /// The gates with these permutations, [`share.count`](Share::count) of them: expert e of a gate becomes expert
    /// `permutation[e]`.
    ///
    /// # Panics
    /// If there is another number of permutations, or one is not a permutation of the N experts.
    pub fn new(gates: Box<dyn GateSet>, share: Share, permutations: Vec<Vec<u32>>) -> Self {
        let mut relabelled = Self::identity(gates, share);
        relabelled.relabelling.set(permutations);
        relabelled
    }

    /// The gates with identity permutations, until others are loaded.
    pub fn identity(gates: Box<dyn GateSet>, share: Share) -> Self {
        let relabelling = Relabelling::identity(share, gates.num_gates(), gates.num_experts());
        Relabelled { gates, relabelling }
    }
}

impl GateSet for Relabelled {
    fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    fn num_experts(&self) -> usize {
        self.gates.num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        self.relabelling.route(&*self.gates, pass, x)
    }

    /// None: the parts are permuted already, and another permutation acts on their sums.
    fn as_parts(&self) -> Option<&dyn GatesOfParts> {
        None
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.relabelling.walk_trees(&*self.gates, x)
    }

    fn properties(&self) -> Vec<Properties> {
        self.relabelling.properties(&*self.gates)
    }

    named_state!(flat gates, flat relabelling);

    fn begin_training(&mut self, length: TrainingLength) {
        self.gates.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        self.gates.after_step(&Observed::inner_of(observed));
    }
}

impl std::fmt::Debug for Relabelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gates, rows) = (self.gates.num_gates(), self.relabelling.permutations());
        write!(f, "{gates} gates with experts permuted by {rows:?}")
    }
}
