use moe_core::rand::Rng;
use moe_core::random::{chacha, permutation};
use moe_core::tape::Var;
use moe_core::{Real, Tensor, named_state};

use crate::gate::from_first::{from_first, read_k_experts};
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::parameters::Choice;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// How a [`HashRouter`] assigns its buckets to experts before training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTable {
    /// Each bucket to an expert drawn independently: "Hash-r" of COMET's experiments.
    Random,
    /// Buckets in random order, to each expert the same number of them or one more.
    Balanced,
}

impl Choice for HashTable {
    const WORDS: &'static [(&'static str, Self)] =
        &[("random", HashTable::Random), ("balanced", HashTable::Balanced)];
}

/// A fixed gate: one expert with weight 1 for every row, by the row's key alone
/// (Roller and others, Hash layers, 2021; users assigned to experts at random, as in COMET's experiments).
///
/// A table gives each of its buckets an expert. It is drawn from the seed of the run, is the same for all gates of a
/// layer, and is saved with the model as the buffer `table`. A key takes bucket `key mod buckets`, so small keys (user
/// ids, for example) do not share buckets if the table is at least as long as there are keys. Every row has one expert,
/// whatever K is, unless [`HashRouter::with_k`] says otherwise; nothing is learnt, and the rows themselves do not matter.
#[derive(Debug)]
pub struct HashRouter {
    experts: usize,
    /// Number of experts of a row.
    per_row: usize,
    /// `[buckets]`: index of an expert.
    table: Tensor,
}

impl HashRouter {
    /// A gate with an initial table.
    ///
    /// # Panics
    /// If there are no experts or no buckets.
    pub fn new(spec: &GateSpec, kind: HashTable, buckets: usize) -> Self {
        let experts = spec.experts;
        assert!(experts > 0 && buckets > 0, "{buckets} buckets for {experts} experts");
        const PURPOSE: &str = "init.hash";
        let table = match kind {
            HashTable::Random => {
                let mut rng = chacha(spec.seed, PURPOSE, 0);
                Tensor::from_fn([buckets], |_| rng.random_range(0..experts as u32) as Real)
            }
            HashTable::Balanced => {
                let order = permutation(buckets, spec.seed, PURPOSE, 0);
                Tensor::from_fn([buckets], |bucket| (order[bucket] as usize % experts) as Real)
            }
        };
        HashRouter { experts, per_row: 1, table }
    }

    /// The same gate with K experts for each row (N if that is fewer), for comparisons at equal K: the one of the table and those
    /// after it, with weight 1/K each.
    ///
    /// # Panics
    /// If K is 0.
    pub fn with_k(self, k: usize) -> Self {
        assert!(k > 0, "hash: no experts per row");
        HashRouter { per_row: k.min(self.experts), ..self }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "hash",
            "one expert with weight 1, by a fixed table over the rows' keys",
            "Roller and others: Hash layers for large sparse models, NeurIPS 2021",
        );
        RouterEntry::with_options(
            info,
            |options| {
                let kind = options.choice(
                    "table",
                    HashTable::Random,
                    "assignment of buckets to experts: each drawn independently, or equally many per expert",
                );
                let doc = "length of the table; larger keys are taken modulo this";
                let buckets = options.count("buckets", 16_384, 1..=1 << 24, doc);
                (kind, buckets, read_k_experts(options))
            },
            |spec, (kind, buckets, is_k)| {
                let gate = HashRouter::new(spec, kind, buckets);
                if is_k { gate.with_k(spec.k.max(1)) } else { gate }
            },
        )
    }

    /// The expert of a key. A table entry beyond the last expert counts as the last one.
    pub fn expert_of(&self, key: u64) -> u32 {
        let table = self.table.as_slice();
        let entry = table[(key % table.len() as u64) as usize];
        (entry as u32).min(self.experts as u32 - 1)
    }
}

impl Router for HashRouter {
    fn num_experts(&self) -> usize {
        self.experts
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let (rows, keys) = (x.shape()[0], cx.pass.keys);
        assert_eq!(keys.len(), rows, "hash: one key per row");
        let first = |row: usize| self.expert_of(keys[row]);
        from_first(x.tape(), self.experts, self.per_row, rows, first)
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(self.per_row), TotalWeight::One)
    }

    named_state!("table" => buffer table);
}
