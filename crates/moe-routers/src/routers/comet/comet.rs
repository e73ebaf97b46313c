use moe_core::random::chacha;
use moe_core::tape::Var;
use moe_core::{Real, Tensor, Visit, VisitMut, named, named_mut};

use crate::gate::gate_linear::GateLinear;
use crate::gate::part_losses::{EntropyForm, entropy};
use crate::gate::smooth_step::SmoothStep;
use crate::parts::infer_sum;
use crate::parts::{Parts, PartsBuf};
use crate::registry::parameters::ParameterSpec;
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Cardinality, Properties, RouteContext, Router, TotalWeight};
use crate::routers::comet::leaf_softmax::{LeafRule, leaf_softmax};
use crate::routers::comet::soft_trees::SoftTrees;
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// The constants of COMET differ between the authors' two code bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CometVariant {
    /// The gate of COMET's own experiments: a leaf counts while its probability p is not zero, with ln(p + 1e-8); the
    /// entropy is Σ -p ln(p + 1e-6).
    Comet,
    /// The gate of COMET-BERT: splits have no bias; a leaf counts from p = 1e-5 on, with ln(p + 1e-6); the entropy is
    /// Σ -(q + 1e-6) ln(q + 1e-6) with q = max(p, 1e-6).
    Bert,
}

/// What a COMET gate can be told.
#[derive(Clone, Copy, Debug)]
pub struct CometOptions {
    /// γ: the width over which a split is soft. The smaller, the sooner a split sends a row one way only.
    pub gamma: Real,
    /// Coefficient of the entropy of the leaf probabilities, which drives splits to decide.
    pub entropy: Real,
    /// Which constants.
    pub variant: CometVariant,
}

impl Default for CometOptions {
    /// γ = 1 and an entropy coefficient of 0.1, which stand in the grids of all the paper's data sets but one.
    fn default() -> Self {
        CometOptions { gamma: 1.0, entropy: 0.1, variant: CometVariant::Comet }
    }
}

/// The differentiable sparse gate of soft decision trees (COMET: Ibrahim and others, KDD 2023).
///
/// K trees have one leaf per expert each. A row reaches a leaf of a tree with the product of the smooth-steps on the
/// way, which is exactly zero once a split on the way is saturated. One softmax over the reached leaves of all trees, of
/// leaf logit plus logarithm of that probability, gives the weights; an expert gets the sum over the trees.
///
/// A row goes to any number of experts, at most N. Once every split on its ways is saturated each tree has one leaf
/// left, and the row goes to at most K. Training and inference differ in the entropy term alone.
///
/// The weights jump where a leaf probability leaves zero, from nothing to about 1e-8 of the others, as in the authors'
/// code. Their division by the row sum is left out: a softmax sums to one. (They need it for permutations that are not
/// doubly stochastic.)
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
    /// A gate with fresh weights: splits from U(±γ/100), so that they start undecided, leaves from U(±0.05).
    ///
    /// # Panics
    /// If there is no tree or expert, γ is not positive and finite, or the entropy coefficient is negative.
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

    /// The weights that each tree gives, and the entropy term in training.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the parts are `[B, K, N]`.
    pub fn parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Parts<'t> {
        let (rule, form) = self.constants();
        let probabilities = self.trees.leaf_probabilities(self.split.row_sparse_logits(x));
        let weights = leaf_softmax(self.leaf.logits(x), probabilities, rule);
        let regularised = cx.pass.is_training() && self.options.entropy > 0.0;
        let loss = regularised.then(|| entropy(probabilities, form, self.options.entropy));
        Parts { weights, aux_losses: loss.into_iter().collect(), renormalise: true }
    }

    fn constants(&self) -> (LeafRule, EntropyForm) {
        match self.options.variant {
            CometVariant::Comet => (LeafRule { least: 0.0, epsilon: 1e-8 }, EntropyForm::Shifted),
            CometVariant::Bert => (LeafRule { least: 1e-5, epsilon: 1e-6 }, EntropyForm::Floored),
        }
    }

    pub(crate) fn entry() -> RouterEntry {
        let defaults = CometOptions::default();
        let info = RouterInfo::new(
            "comet",
            "soft decision trees that learn to decide: the leaves that K trees still reach",
            "Ibrahim and others: COMET, learning cardinality constrained mixture of experts with trees and \
             local search, KDD 2023",
        )
        .uses_k()
        .with(ParameterSpec::real(
            "gamma",
            f64::from(defaults.gamma),
            1e-6..=1e6,
            "width over which a split is soft",
        ))
        .with(ParameterSpec::real(
            "entropy",
            f64::from(defaults.entropy),
            0.0..=1e6,
            "coefficient of the entropy of the leaf probabilities",
        ))
        .with(ParameterSpec::one_of(
            "variant",
            "comet",
            &["comet", "bert"],
            "constants of the authors' gate for COMET or for COMET-BERT",
        ));
        RouterEntry::per_gate(info, |spec, parameters| {
            let options = CometOptions {
                gamma: parameters.real("gamma") as Real,
                entropy: parameters.real("entropy") as Real,
                variant: match parameters.text("variant") {
                    "bert" => CometVariant::Bert,
                    _ => CometVariant::Comet,
                },
            };
            Box::new(Comet::new(spec, options))
        })
    }
}

impl Router for Comet {
    fn num_experts(&self) -> usize {
        self.trees.leaves
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        self.parts(cx, x).into_routing()
    }

    fn route_parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Option<Parts<'t>> {
        Some(self.parts(cx, x))
    }

    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        infer_sum(self, x, keys, out, scratch);
    }

    fn infer_parts(
        &self,
        x: &Tensor,
        _: &[u64],
        out: &mut PartsBuf,
        scratch: &mut Scratch,
    ) -> bool {
        let SoftTrees { trees, leaves, .. } = self.trees;
        let (splits, cols) = (trees * (leaves - 1), trees * leaves);
        let (rule, _) = self.constants();
        let Scratch { logits, hidden: split_logits, line, order: live, .. } = scratch;
        self.split.logits_into(x, split_logits);
        self.leaf.logits_into(x, logits);
        line.resize(2 * cols, 0.0);
        live.resize(cols, 0);
        let weights = out.resize(x.rows(), trees, leaves);
        for (row, weights) in weights.chunks_exact_mut(cols).enumerate() {
            let split_logits = &split_logits[row * splits..(row + 1) * splits];
            for (tree, leaf) in weights.chunks_exact_mut(leaves).enumerate() {
                let of_tree = tree * (leaves - 1)..(tree + 1) * (leaves - 1);
                self.trees.reach(&split_logits[of_tree], &mut line[..2 * leaves - 1], leaf);
            }
            rule.weigh(&logits[row * cols..(row + 1) * cols], weights, live, line);
        }
        true
    }

    fn walk_trees(&self, x: &Tensor) -> Option<TreeWalk> {
        let SoftTrees { trees, leaves, .. } = self.trees;
        let splits = leaves - 1;
        let mut logits = Vec::new();
        self.split.logits_into(x, &mut logits);
        let mut nodes = Tensor::zeros([x.rows(), trees, 2 * leaves - 1]);
        for (tree, nodes) in nodes.as_mut_slice().chunks_exact_mut(2 * leaves - 1).enumerate() {
            self.trees.walk(&logits[tree * splits..(tree + 1) * splits], nodes);
        }
        Some(TreeWalk { nodes, experts: vec![(0..leaves as u32).collect(); trees] })
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: Cardinality::AtMost(self.num_experts()),
            total_weight: TotalWeight::One,
            ..Properties::default()
        }
    }

    fn visit(&self, f: &mut Visit<'_>) {
        named("split", f, |f| self.split.visit(f));
        named("leaf", f, |f| self.leaf.visit(f));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        named_mut("split", f, |f| self.split.visit_mut(f));
        named_mut("leaf", f, |f| self.leaf.visit_mut(f));
    }
}
