use moe_core::batch::{InputSpec, TaskSpec};
use moe_core::task::TaskKinds;
use moe_routers::{GateSpec, Registry, RegistryError};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::models::baseline::Baseline;
use crate::models::bias::BiasDescription;
use crate::models::mixture::MixtureDescription;
use crate::models::model::Model;
use crate::models::shared_bottom::SharedBottomDescription;

/// Everything needed to build a model, except a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum ModelDescription {
    /// A [`Mixture`](crate::Mixture).
    Mixture(MixtureDescription),
    /// A [`SharedBottom`](crate::SharedBottom).
    SharedBottom(SharedBottomDescription),
    /// A [`Bias`](crate::Bias).
    Bias(BiasDescription),
}

/// Result of [`ModelDescription::fold`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// The folded model.
    pub model: ModelDescription,
    /// Names of the tensors that the folded model lacks.
    pub dropped: Vec<String>,
}

impl ModelDescription {
    /// The model that the router id of `mixture` stands for: the [`Baseline`] with this id for the same inputs and tasks
    /// if there is one, else the mixture.
    ///
    /// # Errors
    /// If the baseline does not allow K or one of the parameters.
    pub fn of(mixture: MixtureDescription) -> Result<Self, RegistryError> {
        let Some(baseline) = Baseline::find(&mixture.router) else {
            return Ok(ModelDescription::Mixture(mixture));
        };
        let MixtureDescription { experts, k, .. } = mixture;
        let spec = GateSpec { inputs: 1, experts, k, seed: 0, gate: 0 };
        let parameters = baseline.info().check(&spec, &mixture.router_parameters)?;
        let bottom = |experts| SharedBottomDescription::replacing(&mixture, experts);
        Ok(match baseline {
            Baseline::SharedBottom => {
                let active = k.saturating_mul(mixture.tasks.len()).min(experts);
                ModelDescription::SharedBottom(bottom(active))
            }
            Baseline::Single => ModelDescription::SharedBottom(bottom(1)),
            Baseline::Bias => ModelDescription::Bias(BiasDescription {
                ridge: parameters.real("ridge"),
                input: mixture.input,
                tasks: mixture.tasks,
            }),
        })
    }

    /// The inputs.
    pub fn input(&self) -> &InputSpec {
        match self {
            ModelDescription::Mixture(MixtureDescription { input, .. })
            | ModelDescription::SharedBottom(SharedBottomDescription { input, .. })
            | ModelDescription::Bias(BiasDescription { input, .. }) => input,
        }
    }

    /// The tasks.
    pub fn tasks(&self) -> &[TaskSpec] {
        match self {
            ModelDescription::Mixture(MixtureDescription { tasks, .. })
            | ModelDescription::SharedBottom(SharedBottomDescription { tasks, .. })
            | ModelDescription::Bias(BiasDescription { tasks, .. }) => tasks,
        }
    }

    /// The model without the state that only training needs; `None` if there is no such state. The predictions keep
    /// their bits.
    ///
    /// # Errors
    /// If the router is unknown, or one of its parameters is not allowed.
    pub fn fold(&self, registry: &Registry) -> Result<Option<Fold>, RegistryError> {
        let ModelDescription::Mixture(mixture) = self else { return Ok(None) };
        let entry = registry.get(&mixture.router)?;
        let folded = entry.fold(mixture.k, &mixture.router_parameters)?;
        Ok(folded.map(|folded| Fold {
            model: ModelDescription::Mixture(MixtureDescription {
                router: folded.router,
                router_parameters: folded.parameters,
                relabelled: Some(folded.share),
                ..mixture.clone()
            }),
            dropped: folded.dropped.iter().map(|name| format!("layer.gates.{name}")).collect(),
        }))
    }

    /// The model with the initial weights of `seed`.
    ///
    /// # Errors
    /// If the router or the kind of a task is unknown, K or one of the router's parameters is not allowed, or the model does
    /// not take such inputs or tasks.
    pub fn build(&self, registry: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        TaskKinds::standard().resolve(self.tasks())?;
        Ok(match self {
            ModelDescription::Mixture(mixture) => Box::new(mixture.build(registry, seed)?),
            ModelDescription::SharedBottom(bottom) => Box::new(bottom.build(seed)),
            ModelDescription::Bias(bias) => Box::new(bias.build()?),
        })
    }
}
