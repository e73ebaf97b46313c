//! Routers for mixtures of experts.
//!
//! A [`Router`] makes a decision: from rows `x` `[B, D]` it computes a [`Routing`], the experts of every row and their
//! weights. It never touches an expert; moving rows to experts is the task of the layer (crate `moe-nn`). A [`GateSet`]
//! holds the gates of a layer, one per task. The [`Registry`] builds gate sets by name and accepts routers from other
//! crates. [`conformance`] checks any router, [`telemetry`] measures how gates route. Axis letters are those of
//! [`moe_core`].
//!
//! | id | router | source |
//! | --- | --- | --- |
//! | `softmax` | [`Softmax`]: every expert | Jacobs and others, 1991 |
//! | `top-k` | [`TopK`]: the K largest logits | Shazeer and others, 2017, without noise |
//! | `noisy-top-k` | [`NoisyTopK`]: the K largest logits after learnt noise | Shazeer and others, 2017 |
//! | `hash` | [`HashRouter`]: one expert, by the row's key | Roller and others, 2021 |
//! | `oracle` | [`Oracle`]: one expert, by the row's planted group | - |
//! | `static` | [`StaticGate`]: the same K experts for all rows | Hazimeh and others, 2021, static gating |
//! | `moesart` | [`Moesart`]: K experts drawn from the softmax, with adjusted weights | MOESART, 2024 |
//! | `dselect-k` | [`DSelectK`]: K binary codes of experts | Hazimeh and others, 2021 |
//! | `comet` | [`Comet`]: the leaves that K soft decision trees still reach | Ibrahim and others, 2023 |
//! | `switch` | [`Switch`]: the most probable expert, weighted by its probability | Fedus and others, 2022 |
//! | `v-moe` | [`VMoe`]: the K largest probabilities after noise | Riquelme and others, 2021 |
//! | `expert-choice` | [`ExpertChoice`]: each expert chooses its rows | Zhou and others, 2022 |
//! | `x-moe` | [`XMoe`]: the K largest probabilities of cosine logits | Chi and others, 2022 |
//!
//! [`RouterEntry::with_capacity`], which most of these are registered with, limits the number of rows of a batch that
//! an expert takes. [`Relabelled`] permutes the expert indices of gates, as a search for a permutation (crate
//! `moe-search`) leaves them.
//!
//! # Your own router
//! There is one required method besides the number of experts:
//! ```
//! use moe_core::dispatch::Assignments;
//! use moe_core::tape::{Tape, Var};
//! use moe_core::{Mode, Pass, Tensor};
//! use moe_routers::{RouteContext, Router, Routing};
//!
//! /// Row i goes to expert (key of row i) mod N.
//! struct ByKey(usize);
//!
//! impl Router for ByKey {
//!     fn num_experts(&self) -> usize {
//!         self.0
//!     }
//!     fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
//!         let experts = cx.pass.keys.iter().map(|key| (key % self.0 as u64) as u32).collect();
//!         let assignments = Assignments::fixed(self.0, 1, experts);
//!         let weights = x.tape().constant(Tensor::full([assignments.pairs()], 1.0));
//!         Routing::new(assignments, weights)
//!     }
//! }
//!
//! let tape = Tape::inference();
//! let x = tape.constant(Tensor::zeros([2, 4]));
//! let (row_ids, keys) = ([0, 1], [7, 9]);
//! let pass = Pass { mode: Mode::Infer, seed: 0, step: 0, epoch: 0, row_ids: &row_ids, keys: &keys, groups: None, batch_rows: None, experts: None };
//! let routing = ByKey(3).route(&RouteContext { pass, gate: 0 }, x);
//! assert_eq!(routing.to_dense().as_slice(), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
//! ```

pub mod aux_loss;
pub mod conformance;
mod gate;
mod gate_set;
mod given;
mod observed;
mod parts;
mod properties;
mod registry;
mod route_context;
mod router;
mod routers;
mod routing;
mod sum_of_parts;
pub mod telemetry;
mod wrap;

pub use aux_loss::aux_loss::AuxLoss;
pub use aux_loss::options::AuxOptions;
pub use gate::gate_linear::GateLinear;
pub use gate::smooth_step::{SmoothStep, Step};
pub use gate::top_k::{top_k_assignments, top_k_indices};
pub use gate_set::{GateSet, Gates, GatesOfParts, TrainingLength};
pub use given::GivenGates;
pub use observed::Observed;
pub use parts::{Parts, PartsOfGates};
pub use properties::{Cardinality, GradientKind, Properties, TotalWeight};
pub use registry::entry::{Folded, RouterEntry};
pub use registry::error::RegistryError;
pub use registry::info::{GateSpec, RouterInfo};
pub use registry::option_reader::OptionReader;
pub use registry::parameters::{Choice, ParameterSpec, Parameters, Range, Value};
pub use registry::registry::Registry;
pub use route_context::RouteContext;
pub use router::Router;
pub use routers::comet::comet::{Comet, CometOptions, CometVariant};
pub use routers::comet::tree_walk::TreeWalk;
pub use routers::dselect_k::dselect_k::{DSelectK, DSelectKOptions};
pub use routers::expert_choice::{ChoiceInference, ExpertChoice, ExpertChoiceOptions};
pub use routers::hash::{HashRouter, HashTable};
pub use routers::moesart::moesart::{Inference, Moesart, MoesartOptions};
pub use routers::moesart::sample::Drawn;
pub use routers::moesart::sampled_weights::Adjustment;
pub use routers::noisy_top_k::{NoisyTopK, NoisyTopKOptions};
pub use routers::oracle::Oracle;
pub use routers::softmax::Softmax;
pub use routers::static_gate::StaticGate;
pub use routers::switch::{Switch, SwitchOptions};
pub use routers::top_k::TopK;
pub use routers::v_moe::{VMoe, VMoeOptions};
pub use routers::x_moe::{Combine, XMoe, XMoeLogits, XMoeOptions};
pub use routing::{Routing, Routings};
pub use sum_of_parts::SumOfParts;
pub use telemetry::load::RoutingStats;
pub use wrap::capacity::{Capacity, CapacityOptions, expert_capacity, limit_rows};
pub use wrap::relabelled::Relabelled;
pub use wrap::relabelling::{Relabelling, Share, relabel_routing};
pub use wrap::serve::ServeOrder;
