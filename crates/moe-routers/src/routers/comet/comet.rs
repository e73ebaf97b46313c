use moe_core::random::chacha;
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor, named_state};

use crate::gate::gate_linear::GateLinear;
use crate::gate::part_losses::{EntropyForm, entropy};
use crate::gate::smooth_step::SmoothStep;
use crate::parts::Parts;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::Choice;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routers::comet::leaf_softmax::{LeafRule, leaf_softmax};
use crate::routers::comet::soft_trees::SoftTrees;
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::Routing;
use crate::sum_of_parts::SumOfParts;

/// Constants of a [`Comet`] gate, which differ between the authors' two code bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CometVariant {
    /// The gate of COMET's own experiments: a leaf counts while its probability p is not zero, with ln(p + 1e-8); the
    /// entropy is Σ -p ln(p + 1e-6).
    Comet,
    /// The gate of COMET-BERT: splits have no bias; a leaf counts from p = 1e-5 on, with ln(p + 1e-6); the entropy is
    /// Σ -(q + 1e-6) ln(q + 1e-6) with q = max(p, 1e-6).
    Bert,
}

impl Choice for CometVariant {
    const WORDS: &'static [(&'static str, Self)] =
        &[("comet", CometVariant::Comet), ("bert", CometVariant::Bert)];
}

/// Settings of a [`Comet`] gate.
#[derive(Clone, Copy, Debug)]
pub struct CometOptions {
    /// Width over which a split is soft (γ). The smaller it is, the sooner a split sends a row one way only.
    pub gamma: Real,
    /// Coefficient of the entropy of the leaf probabilities, which drives splits to decide.
    pub entropy: Real,
    /// Constants of the authors' code.
    pub variant: CometVariant,
}

impl Default for CometOptions {
    /// γ = 1 and an entropy coefficient of 0.1, which are in the grids of all the paper's data sets but one.
    fn default() -> Self {
        CometOptions { gamma: 1.0, entropy: 0.1, variant: CometVariant::Comet }
    }
}

impl CometOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = CometOptions::default();
        CometOptions {
            gamma: options.real(
                "gamma",
                defaults.gamma,
                1e-6..=1e6,
                "width over which a split is soft",
            ),
            entropy: options.coefficient(
                "entropy",
                defaults.entropy,
                "coefficient of the entropy of the leaf probabilities",
            ),
            variant: options.choice(
                "variant",
                defaults.variant,
                "constants of the authors' gate for COMET or for COMET-BERT",
            ),
        }
    }
}

/// The differentiable sparse gate of soft decision trees (COMET: Ibrahim and others, KDD 2023).
///
/// Each of K trees has one leaf per expert. The probability with which a row reaches a leaf is the product of the
/// smooth-steps along its path, and exactly zero if a saturated split on the path sends the row the other way. The
/// weights are one softmax over the reached leaves of all trees, of leaf logit plus logarithm of that probability; an
/// expert gets the sum over the trees.
///
/// A row goes to any number of experts up to N. Once every split on its paths is saturated, it reaches one leaf of each
/// tree and goes to at most K experts. Training and inference differ only in the entropy term.
///
/// A weight jumps from zero to about 1e-8 of the others where its leaf probability becomes positive, as in the authors'
/// code. Their division by the row sum is omitted, since a softmax sums to one. (They need it for permutations that are
/// not doubly stochastic.)
#[derive(Debug)]
pub struct Comet {
    /// `[D, K(N-1)]`, tree by tree, splits in heap order.
    split: GateLinear,
    /// `[D, KN]`, tree by tree, leaves from left to right.
    leaf: GateLinear,
    trees: SoftTrees,
    options: CometOptions,
}

impl Comet {
    /// A gate with initial weights: splits from U(±γ/100), so that they start undecided, and leaves from U(±0.05).
    ///
    /// # Panics
    /// If there are no trees or no experts, γ is not positive and finite, or the entropy coefficient is negative.
    pub fn new(spec: &GateSpec, options: CometOptions) -> Self {
        let GateSpec { inputs, experts, k, .. } = *spec;
        assert!(k > 0 && experts > 0, "{k} trees over {experts} experts");
        assert!(options.entropy >= 0.0, "entropy coefficient {}", options.entropy);
        let step = SmoothStep::new(options.gamma);
        let rng = |purpose| chacha(spec.seed, purpose, spec.gate as u64);
        let bound = f64::from(options.gamma) / 100.0;
        let splits = k * (experts - 1);
        let split = GateLinear::uniform(inputs, splits, bound, &mut rng("init.comet.split"));
        let split = match options.variant {
            CometVariant::Comet => split,
            CometVariant::Bert => split.without_bias(),
        };
        let leaf = GateLinear::uniform(inputs, k * experts, 0.05, &mut rng("init.comet.leaf"));
        Comet { split, leaf, trees: SoftTrees { trees: k, leaves: experts, step }, options }
    }

    fn constants(&self) -> (LeafRule, EntropyForm) {
        match self.options.variant {
            CometVariant::Comet => (LeafRule { least: 0.0, epsilon: 1e-8 }, EntropyForm::Shifted),
            CometVariant::Bert => (LeafRule { least: 1e-5, epsilon: 1e-6 }, EntropyForm::Floored),
        }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "comet",
            "soft decision trees that learn to decide: the leaves that K trees still reach",
            "Ibrahim and others: COMET, learning cardinality constrained mixture of experts with trees and \
             local search, KDD 2023",
        )
        .uses_k();
        RouterEntry::with_options(info, CometOptions::read, Comet::new)
    }
}

impl SumOfParts for Comet {
    /// The weights that each tree gives, and in training the entropy term.
    fn route_parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Parts<'t> {
        let (rule, form) = self.constants();
        let probabilities = self.trees.leaf_probabilities(self.split.row_sparse_logits(x));
        let weights = leaf_softmax(self.leaf.logits(x), probabilities, rule);
        let regularised = cx.pass.is_training() && self.options.entropy > 0.0;
        let loss = regularised.then(|| entropy(probabilities, form, self.options.entropy));
        Parts { weights, aux_losses: loss.into_iter().collect(), renormalise: true }
    }

    fn walk_trees(&self, x: &Tensor) -> Option<TreeWalk> {
        let SoftTrees { trees, leaves, .. } = self.trees;
        let splits = leaves - 1;
        let tape = Tape::inference();
        let logits = self.split.logits(tape.constant(x.clone())).value();
        let mut nodes = Tensor::zeros([x.rows(), trees, 2 * leaves - 1]);
        for (tree, nodes) in nodes.as_mut_slice().chunks_exact_mut(2 * leaves - 1).enumerate() {
            self.trees.walk(&logits.as_slice()[tree * splits..(tree + 1) * splits], nodes);
        }
        Some(TreeWalk { nodes, experts: vec![(0..leaves as u32).collect(); trees] })
    }
}

impl Router for Comet {
    fn num_experts(&self) -> usize {
        self.trees.leaves
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        self.route_parts(cx, x).into_routing()
    }

    fn as_parts(&self) -> Option<&dyn SumOfParts> {
        Some(self)
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::AtMost(self.num_experts()), TotalWeight::One)
    }

    named_state!("split" => child split, "leaf" => child leaf);
}
