use std::sync::Arc;

use moe_core::task::TaskKinds;
use moe_routers::{GateSpec, Registry, RegistryError, RouterInfo};

use crate::error::ModelError;
use crate::models::baselines;
use crate::models::description::{KIND, ModelDescription};
use crate::models::entry::{ModelEntry, read};
use crate::models::mixture_description::MixtureDescription;
use crate::models::model::Model;

/// The models that a program knows: mixtures with the routers of a [`Registry`], and models without a router, such as
/// baselines, under ids of their own. It is a value, like the registry: a program builds it, adds entries and passes it
/// down.
///
/// ```
/// use moe_nn::Models;
/// use moe_routers::Registry;
///
/// let models = Models::from(Registry::standard());
/// assert_eq!(models.info("comet")?.id, "comet");
/// assert_eq!(models.info("shared-bottom")?.id, "shared-bottom");
/// # Ok::<(), moe_routers::RegistryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Models {
    routers: Registry,
    task_kinds: TaskKinds,
    entries: Vec<ModelEntry>,
}

impl From<Registry> for Models {
    /// Mixtures with these routers, and the baselines of this crate.
    fn from(routers: Registry) -> Self {
        Models { routers, task_kinds: TaskKinds::standard(), entries: baselines::entries() }
    }
}

impl Models {
    /// Mixtures with the routers of `moe-routers`, and the baselines of this crate.
    pub fn standard() -> Self {
        Registry::standard().into()
    }

    /// With these kinds of tasks, which the descriptions of saved models may name.
    pub fn with_task_kinds(self, task_kinds: TaskKinds) -> Self {
        Models { task_kinds, ..self }
    }

    /// Adds a model.
    ///
    /// # Errors
    /// If its id is taken by a model or a router.
    pub fn register(&mut self, entry: ModelEntry) -> Result<(), RegistryError> {
        let id = &entry.info.id;
        if self.entry(id).is_some() || self.routers.get(id).is_ok() {
            return Err(RegistryError::Taken { id: id.clone() });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The routers.
    pub fn routers(&self) -> &Registry {
        &self.routers
    }

    /// The models without a router.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }

    fn entry(&self, id: &str) -> Option<&ModelEntry> {
        self.entries.iter().find(|entry| entry.info.id == id)
    }

    /// The description of a router or a model by its id.
    ///
    /// # Errors
    /// If there is neither, or there are both.
    pub fn info(&self, id: &str) -> Result<&RouterInfo, RegistryError> {
        match (self.entry(id), self.routers.get(id)) {
            (None, Ok(router)) => Ok(router.info()),
            (Some(entry), Err(_)) => Ok(&entry.info),
            // The router could not be named.
            (Some(_), Ok(_)) => Err(RegistryError::Taken { id: id.into() }),
            (None, Err(RegistryError::UnknownRouter { id, mut known, .. })) => {
                known.extend(self.entries.iter().map(|entry| entry.info.id.clone()));
                let nearest = moe_core::nearest_name(&id, known.iter().map(String::as_str));
                let nearest = nearest.map(Into::into);
                Err(RegistryError::UnknownRouter { id, nearest, known })
            }
            (None, Err(error)) => Err(error),
        }
    }

    /// The model that the router id of `settings` stands for: the entry of this id for the same inputs and tasks if there is
    /// one, else the mixture itself.
    ///
    /// # Errors
    /// If the entry does not allow K or one of the parameters, or there is no such model of these settings.
    pub fn describe(
        &self,
        settings: MixtureDescription,
    ) -> Result<Arc<dyn ModelDescription>, ModelError> {
        let Some(entry) = self.entry(&settings.router) else { return Ok(Arc::new(settings)) };
        let MixtureDescription { experts, k, router_parameters, .. } = &settings;
        let spec = GateSpec { inputs: 1, experts: *experts, k: *k, seed: 0, gate: 0 };
        let parameters = entry.info.check(&spec, router_parameters)?;
        (entry.describe)(&settings, &parameters)
    }

    /// Reads the description of a model from the JSON that [`to_json`](ModelDescription#method.to_json) made.
    ///
    /// # Errors
    /// If its kind or the kind of a task is unknown, or a field is missing, unknown or of the wrong type.
    pub fn read(&self, json: &serde_json::Value) -> Result<Arc<dyn ModelDescription>, ModelError> {
        let mut fields = json.clone();
        let kind = fields.as_object_mut().and_then(|fields| fields.remove(KIND));
        let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        let read = if kind == MixtureDescription::KIND {
            read::<MixtureDescription>
        } else {
            let entry = self.entries.iter().find(|entry| entry.kind == kind);
            let known = || {
                let kinds = self.entries.iter().map(|entry| &*entry.kind);
                let mut kinds: Vec<_> = kinds.chain([MixtureDescription::KIND]).collect();
                kinds.sort_unstable();
                kinds.dedup();
                kinds.join(", ")
            };
            let unknown = || ModelError::UnknownKind { kind: kind.into(), known: known() };
            entry.ok_or_else(unknown)?.read
        };
        read(fields, &self.task_kinds)
    }

    /// Builds the model of a description, after checking it, with the initial weights of `seed`.
    ///
    /// # Errors
    /// As [`ModelDescription::validate`], or if the model does not fit into memory.
    pub fn build(
        &self,
        description: &dyn ModelDescription,
        seed: u64,
    ) -> Result<Box<dyn Model>, ModelError> {
        description.validate(&self.routers)?;
        description.check_memory(1, &self.routers)?;
        description.build_model(&self.routers, seed)
    }
}
