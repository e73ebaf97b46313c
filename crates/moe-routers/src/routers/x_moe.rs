use moe_core::dispatch::Assignments;
use moe_core::random::{chacha, uniform};
use moe_core::tape::Var;
use moe_core::{Parameter, Real, Tensor, named_state};

use crate::aux_loss::load_balance_top1;
use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::{largest_of_softmax, largest_softmax};
use crate::gate::unit_rows::{norm, unit_rows};
use crate::observed::Observed;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::Choice;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// Formula of the logits of an [`XMoe`] gate, with h the projected row and e_j the embedding of expert j.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XMoeLogits {
    /// `s cos(h, e_j)`, h = x W + b, with a learnt s of at most 100 (Chi and others, 2022, where 1/s is the
    /// temperature; as in Tutel).
    Cosine,
    /// `h · e_j / |e_j|`, h = x W, as in the authors' torchscale: h keeps its length, and there is no temperature.
    /// After each training step the embeddings are scaled to length 1.5, which only affects the size of their steps.
    UnitEmbedding,
}

impl Choice for XMoeLogits {
    const WORDS: &'static [(&'static str, Self)] =
        &[("cosine", XMoeLogits::Cosine), ("unit-embedding", XMoeLogits::UnitEmbedding)];
}

/// The experts of an [`XMoe`] gate and their weights, with p the softmax of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Every expert, weighted by p.
    Dense,
    /// The K largest, weighted by p.
    TopK,
    /// The K largest, weighted by p over its sum. With K = 1 the gate gets no gradient from the task.
    TopKNormalised,
}

impl Choice for Combine {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("dense", Combine::Dense),
        ("top-k", Combine::TopK),
        ("top-k-normalised", Combine::TopKNormalised),
    ];
}

/// Settings of an [`XMoe`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct XMoeOptions {
    /// Formula of the logits.
    pub logits: XMoeLogits,
    /// Experts and weights.
    pub combine: Combine,
    /// Width of the projected rows (P).
    pub projection: usize,
    /// Initial divisor of the cosines; at least 0.01.
    pub temperature: Real,
    /// Coefficient of [`load_balance_top1`]; 0 turns the loss off.
    pub gshard: Real,
    /// Other losses.
    pub aux: AuxOptions,
}

/// Cosine logits in 16 dimensions, the K largest, and the load-balancing loss with 0.01.
impl Default for XMoeOptions {
    fn default() -> Self {
        XMoeOptions {
            logits: XMoeLogits::Cosine,
            combine: Combine::TopK,
            projection: 16,
            temperature: 0.5,
            gshard: 0.01,
            aux: AuxOptions::default(),
        }
    }
}

impl XMoeOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = XMoeOptions::default();
        XMoeOptions {
            logits: options.choice(
                "logits",
                defaults.logits,
                "cosines over a learnt temperature, or products of rows with embeddings of length 1",
            ),
            combine: options.choice(
                "combine",
                defaults.combine,
                "weights: all probabilities, the K largest, or the K largest over their sum",
            ),
            projection: options.count(
                "projection",
                defaults.projection,
                1..=65536,
                "width of the projected rows",
            ),
            temperature: options.real(
                "temperature",
                defaults.temperature,
                0.01..=1e3,
                "initial divisor of the cosines",
            ),
            gshard: options.gshard(defaults.gshard),
            aux: defaults.aux.read(options, &AuxOptions::ALL),
        }
    }
}

/// The gate of X-MoE: the softmax of cosines between the row, projected to P dimensions, and an embedding of each
/// expert (Chi and others, On the representation collapse of sparse mixture of experts, NeurIPS 2022).
///
/// W starts as PyTorch's linear layers, U(±1/√D), with b = 0; embeddings start uniform, of length about 1. The capacity
/// of torchscale is that of [`Capacity`](crate::Capacity). Its option to normalise weights after rows are dropped is
/// [`Combine::TopK`] with `renormalise`; to normalise them before, use [`Combine::TopKNormalised`].
#[derive(Debug)]
pub struct XMoe {
    /// `[D, P]`
    projection: GateLinear,
    /// `[N, P]`
    embedding: Parameter,
    /// `[1]`: ln s, with cosine logits.
    log_scale: Option<Parameter>,
    k: usize,
    options: XMoeOptions,
}

/// ln 100 in single precision, as in Tutel.
const MAX_LOG_SCALE: Real = 4.605_170_2_f32 as Real;

/// Length of the embeddings in torchscale.
const EMBEDDING_LENGTH: Real = 1.5;

impl XMoe {
    /// A gate with initial weights.
    ///
    /// # Panics
    /// If K is not in 1..=N, P is 0, or the temperature is below 0.01.
    pub fn new(spec: &GateSpec, options: XMoeOptions) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        let XMoeOptions { projection: width, temperature, .. } = options;
        assert!((1..=experts).contains(&k), "the {k} largest of {experts} experts");
        assert!(width > 0 && temperature >= 0.01, "x-moe: P = {width}, temperature {temperature}");
        let mut rng = chacha(spec.seed, "init.gate.embedding", spec.gate as u64);
        let embedding = uniform([experts, width], (3.0 / width as f64).sqrt(), &mut rng);
        let projection = GateLinear::torch(&GateSpec { experts: width, ..*spec });
        let mut gate =
            XMoe { projection, embedding: Parameter::new(embedding), log_scale: None, k, options };
        match options.logits {
            XMoeLogits::Cosine => {
                let log_scale = Tensor::full([1], -temperature.ln());
                gate.log_scale = Some(Parameter::new(log_scale));
            }
            XMoeLogits::UnitEmbedding => {
                gate.projection = gate.projection.without_bias();
                gate.scale_embedding();
            }
        }
        gate
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "x-moe",
            "the K largest softmax probabilities of cosines between projected rows and expert embeddings",
            "Chi and others: On the representation collapse of sparse mixture of experts, NeurIPS 2022",
        )
        .uses_k();
        RouterEntry::with_options(info, XMoeOptions::read, XMoe::new).with_capacity()
    }

    /// The gate logits.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, N]`
    pub fn logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let h = self.projection.logits(x);
        let embedding = unit_rows(tape.parameter(&self.embedding));
        match &self.log_scale {
            Some(log_scale) => {
                let scale = tape.parameter(log_scale).clamp(Real::NEG_INFINITY, MAX_LOG_SCALE);
                unit_rows(h).matmul_with(embedding, false, true) * scale.exp()
            }
            None => h.matmul_with(embedding, false, true),
        }
    }

    /// Scales every embedding to its length in torchscale.
    fn scale_embedding(&mut self) {
        let embedding = self.embedding.value_mut();
        let width = embedding.cols();
        for row in embedding.as_mut_slice().chunks_exact_mut(width) {
            let norm = norm(row);
            if norm > 0.0 {
                row.iter_mut().for_each(|v| *v *= EMBEDDING_LENGTH / norm);
            }
        }
    }
}

impl Router for XMoe {
    fn num_experts(&self) -> usize {
        self.embedding.value().rows()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let options = &self.options;
        let logits = self.logits(x);
        let p = logits.softmax();
        let mut routing = match options.combine {
            Combine::Dense => {
                let assignments = Assignments::dense(p.shape()[0], self.num_experts());
                let weights = p.gather_assigned(&assignments);
                Routing::new(assignments, weights)
            }
            Combine::TopK => largest_of_softmax(logits, p, self.k),
            // The softmax over the chosen logits is p over its sum.
            Combine::TopKNormalised => largest_softmax(logits, self.k),
        };
        if cx.pass.is_training() {
            routing = options.aux.add(routing, logits, Some(p), self.k);
            if options.gshard > 0.0 {
                routing = routing.with_aux_loss(load_balance_top1(p, options.gshard));
            }
        }
        routing
    }

    fn properties(&self) -> Properties {
        let n = self.num_experts();
        let experts = if self.options.combine == Combine::Dense { n } else { self.k };
        let is_whole = experts == n || self.options.combine == Combine::TopKNormalised;
        let total = if is_whole { TotalWeight::One } else { TotalWeight::AtMostOne };
        Properties::new(Cardinality::Exactly(experts), total)
    }

    named_state!(
        "projection" => child projection,
        "embedding" => parameter embedding,
        "log-scale" => optional log_scale,
    );

    fn after_step(&mut self, _observed: &Observed) {
        if self.options.logits == XMoeLogits::UnitEmbedding && !self.embedding.is_frozen() {
            self.scale_embedding();
        }
    }
}
