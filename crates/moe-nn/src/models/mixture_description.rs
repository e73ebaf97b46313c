use std::collections::BTreeMap;
use std::sync::Arc;

use moe_core::Real;
use moe_core::batch::{InputSpec, TaskSpec};
use moe_core::random::chacha;
use moe_routers::{GateSpec, Parameters, Registry, RegistryError, Relabelled, Share, Value};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, OverrideError};
use crate::models::column_encoder::ColumnEncoder;
use crate::models::description::{Fold, ModelDescription, check_tasks, check_width, dense_weights};
use crate::models::expert_kind::{ExpertKind, MlpExperts};
use crate::models::heads::heads;
use crate::models::mixture::Mixture;
use crate::models::model::Model;
use crate::models::overrides::Overrides;
use crate::moe::moe_layer::MoeLayer;

/// Everything needed to build a [`Mixture`], except a seed.
///
/// ```
/// use moe_core::batch::{InputSpec, TaskKind, TaskSpec};
/// use moe_nn::MixtureDescription;
/// use moe_routers::Registry;
///
/// let tasks = vec![TaskSpec { name: "y".into(), kind: TaskKind::binary() }];
/// let description = MixtureDescription::new(InputSpec::dense(20), tasks)
///     .with_experts(8)
///     .with_k(2)
///     .with_router("comet");
/// let mixture = description.build(&Registry::standard(), 1)?;
/// # Ok::<(), moe_routers::RegistryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
#[non_exhaustive]
pub struct MixtureDescription {
    /// The inputs.
    pub input: InputSpec,
    /// The tasks; each has a gate and a head.
    pub tasks: Vec<TaskSpec>,
    /// Width of the embedding of each id column.
    pub embedding_width: usize,
    /// Number of experts (N).
    pub experts: usize,
    /// Number of experts per row (K), for routers that use it.
    pub k: usize,
    /// Kind and sizes of the experts.
    pub expert: ExpertKind,
    /// Widths of the hidden layers of each head.
    pub head_widths: Vec<usize>,
    /// Id of the router in the registry.
    pub router: String,
    /// Parameters of the router; those not named have their defaults.
    pub router_parameters: BTreeMap<String, Value>,
    /// Which gates share a permutation of the experts, if a search has found one ([`ModelDescription::fold`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relabelled: Option<Share>,
}

/// The saved form; runs of format 1 have the sizes of the experts beside the other fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    embedding_width: usize,
    experts: usize,
    k: usize,
    expert: Option<ExpertKind>,
    expert_hidden_widths: Option<Vec<usize>>,
    expert_width: Option<usize>,
    expert_dropout: Option<Real>,
    head_widths: Vec<usize>,
    router: String,
    #[serde(default)]
    router_parameters: BTreeMap<String, Value>,
    relabelled: Option<Share>,
}

impl TryFrom<Saved> for MixtureDescription {
    type Error = &'static str;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        let Saved { expert, expert_hidden_widths, expert_width, expert_dropout, .. } = saved;
        let expert = match (expert, expert_width, expert_dropout, expert_hidden_widths) {
            (Some(expert), None, None, None) => expert,
            (None, Some(width), Some(dropout), hidden_widths) => {
                let hidden_widths = hidden_widths.unwrap_or_default();
                ExpertKind::Mlp(MlpExperts { hidden_widths, width, dropout })
            }
            _ => return Err("needs either `expert` or `expert_width` and `expert_dropout`"),
        };
        Ok(MixtureDescription {
            input: saved.input,
            tasks: saved.tasks,
            embedding_width: saved.embedding_width,
            experts: saved.experts,
            k: saved.k,
            expert,
            head_widths: saved.head_widths,
            router: saved.router,
            router_parameters: saved.router_parameters,
            relabelled: saved.relabelled,
        })
    }
}

impl MixtureDescription {
    pub(crate) const KIND: &str = "mixture";

    /// A mixture for these inputs and tasks with the sizes of COMET's recommenders: 16 experts of width 256, two per row,
    /// with dropout 0.5, embeddings of width 128, heads with a hidden layer of 256, and the router `top-k`.
    pub fn new(input: InputSpec, tasks: Vec<TaskSpec>) -> Self {
        MixtureDescription {
            input,
            tasks,
            embedding_width: 128,
            experts: 16,
            k: 2,
            expert: ExpertKind::Mlp(MlpExperts {
                hidden_widths: Vec::new(),
                width: 256,
                dropout: 0.5,
            }),
            head_widths: vec![256],
            router: "top-k".into(),
            router_parameters: BTreeMap::new(),
            relabelled: None,
        }
    }

    /// With another width of the embedding of each id column.
    pub fn with_embedding_width(self, embedding_width: usize) -> Self {
        MixtureDescription { embedding_width, ..self }
    }

    /// With another number of experts (N).
    pub fn with_experts(self, experts: usize) -> Self {
        MixtureDescription { experts, ..self }
    }

    /// With another number of experts per row (K).
    pub fn with_k(self, k: usize) -> Self {
        MixtureDescription { k, ..self }
    }

    /// With experts of another kind or other sizes.
    pub fn with_expert(self, expert: ExpertKind) -> Self {
        MixtureDescription { expert, ..self }
    }

    /// With perceptrons of other hidden layers as experts.
    pub fn with_expert_hidden_widths(self, hidden_widths: &[usize]) -> Self {
        self.with_mlp(|mlp| MlpExperts { hidden_widths: hidden_widths.to_vec(), ..mlp })
    }

    /// With perceptrons of another output width as experts.
    pub fn with_expert_width(self, width: usize) -> Self {
        self.with_mlp(|mlp| MlpExperts { width, ..mlp })
    }

    /// With another dropout probability for the outputs of the experts, which are perceptrons.
    pub fn with_expert_dropout(self, dropout: Real) -> Self {
        self.with_mlp(|mlp| MlpExperts { dropout, ..mlp })
    }

    fn with_mlp(self, change: impl FnOnce(MlpExperts) -> MlpExperts) -> Self {
        let ExpertKind::Mlp(mlp) = self.expert;
        MixtureDescription { expert: ExpertKind::Mlp(change(mlp)), ..self }
    }

    /// With other widths of the hidden layers of each head.
    pub fn with_head_widths(self, head_widths: &[usize]) -> Self {
        MixtureDescription { head_widths: head_widths.to_vec(), ..self }
    }

    /// With another router, by its id, with its default parameters.
    pub fn with_router(self, id: &str) -> Self {
        MixtureDescription { router: id.into(), router_parameters: BTreeMap::new(), ..self }
    }

    /// With these parameters of the router, and the defaults of all others.
    pub fn with_router_parameters(self, router_parameters: BTreeMap<String, Value>) -> Self {
        MixtureDescription { router_parameters, ..self }
    }

    /// Width of an encoded row (D).
    fn encoded_width(&self) -> usize {
        ColumnEncoder::width_for(&self.input, self.embedding_width)
    }

    /// The gate 0 of the layer.
    fn gate_spec(&self, seed: u64) -> GateSpec {
        let MixtureDescription { experts, k, .. } = *self;
        GateSpec { inputs: self.encoded_width(), experts, k, seed, gate: 0 }
    }

    /// The parameters of the router with their defaults.
    fn parameters(&self, routers: &Registry) -> Result<Parameters, RegistryError> {
        routers.get(&self.router)?.info().parameters(&self.router_parameters)
    }

    /// The mixture with the initial weights of `seed`.
    ///
    /// # Errors
    /// If the router is unknown, or K or one of its parameters is not allowed.
    ///
    /// # Panics
    /// If a size is not allowed ([`ModelDescription::validate`]).
    pub fn build(&self, routers: &Registry, seed: u64) -> Result<Mixture, RegistryError> {
        let entry = routers.get(&self.router)?;
        let mut rng = chacha(seed, "init.encoder", 0);
        let encoder = ColumnEncoder::new(&self.input, self.embedding_width, &mut rng);
        let spec = self.gate_spec(seed);
        let mut gates = entry.build(&spec, self.tasks.len(), &self.router_parameters)?;
        if let Some(share) = self.relabelled {
            gates = Box::new(Relabelled::identity(gates, share));
        }
        let experts = self.expert.build(self.experts, spec.inputs, seed);
        let heads = heads(&self.tasks, self.expert.outputs(), &self.head_widths, seed);
        Ok(Mixture::new(Box::new(encoder), MoeLayer::new("layer", gates, experts), heads))
    }

    /// Sets another K, if the router can be used with it.
    fn set_k(&mut self, k: usize, routers: &Registry) -> Result<(), OverrideError> {
        let router = self.router.clone();
        let info = routers.get(&router)?.info();
        if !info.uses_k {
            return Err(OverrideError::NoK { router });
        }
        if info.fits_k(&self.parameters(routers)?) && k != self.k {
            return Err(OverrideError::Learnt { router, k: self.k });
        }
        self.k = k;
        match info.check(&self.gate_spec(0), &self.router_parameters) {
            Ok(_) => Ok(()),
            // The parameters belong to the trained model, so the error must not suggest changing one of them.
            Err(RegistryError::BadK { router, k, least, experts, .. }) => {
                Err(RegistryError::BadK { router, k, least, experts, switch: None }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The router parameter that limits the rows of an expert at inference.
const CAPACITY: &str = "inference-capacity-factor";

impl ModelDescription for MixtureDescription {
    fn kind(&self) -> &str {
        Self::KIND
    }

    fn fields(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a description has text keys")
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        &mut self.tasks
    }

    fn weights(&self, routers: &Registry) -> f64 {
        let embeddings = ColumnEncoder::weights_for(&self.input, self.embedding_width);
        let experts = self.experts as f64 * self.expert.weights(self.encoded_width());
        let heads = self.tasks.iter().map(|task| {
            dense_weights(self.expert.outputs(), &self.head_widths, task.kind.outputs())
        });
        let is_square = routers.get(&self.router).is_ok_and(|entry| entry.info().has_square_state);
        let gates =
            if is_square { self.tasks.len() as f64 * (self.experts as f64).powi(2) } else { 0.0 };
        embeddings + experts + gates + heads.sum::<f64>()
    }

    fn validate(&self, routers: &Registry) -> Result<(), ModelError> {
        check_tasks(&self.tasks)?;
        ColumnEncoder::check_spec(&self.input)?;
        if !self.input.columns.is_empty() {
            check_width("an embedding", self.embedding_width)?;
        }
        check_width("an encoded row", self.encoded_width())?;
        if self.experts == 0 {
            return Err(ModelError::Size {
                what: "the number of experts".into(),
                problem: "is 0".into(),
            });
        }
        self.expert.validate()?;
        self.head_widths
            .iter()
            .try_for_each(|&width| check_width("a hidden layer of a head", width))?;
        routers.get(&self.router)?.info().check(&self.gate_spec(0), &self.router_parameters)?;
        Ok(())
    }

    fn build_model(&self, routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(self.build(routers, seed)?))
    }

    fn fold(&self, routers: &Registry) -> Result<Option<Fold>, RegistryError> {
        let folded = routers.get(&self.router)?.fold(self.k, &self.router_parameters)?;
        Ok(folded.map(|folded| Fold {
            model: Arc::new(MixtureDescription {
                router: folded.router,
                router_parameters: folded.parameters,
                relabelled: Some(folded.share),
                ..self.clone()
            }),
            dropped: folded.dropped.iter().map(|name| format!("layer.gates.{name}")).collect(),
        }))
    }

    fn router(&self) -> Option<(&str, usize)> {
        Some((&self.router, self.k))
    }

    fn with_overrides(
        &self,
        overrides: &Overrides,
        routers: &Registry,
    ) -> Result<Option<Arc<dyn ModelDescription>>, OverrideError> {
        let mut model = self.clone();
        if let Some(k) = overrides.k {
            model.set_k(k, routers)?;
        }
        if let Some(factor) = overrides.inference_capacity_factor {
            let info = routers.get(&self.router)?.info();
            if !info.parameters.iter().any(|spec| spec.name == CAPACITY) {
                let router = self.router.clone();
                return Err(OverrideError::NoParameter { router, parameter: CAPACITY });
            }
            model.router_parameters.insert(CAPACITY.into(), Value::Real(factor));
        }
        let is_own = model.k == self.k && model.parameters(routers)? == self.parameters(routers)?;
        Ok(if is_own { None } else { Some(Arc::new(model)) })
    }
}
