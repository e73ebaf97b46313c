use std::fmt;
use std::sync::Arc;

use moe_core::task::TaskKinds;
use moe_routers::{Parameters, RouterInfo};
use serde::de::DeserializeOwned;

use crate::error::ModelError;
use crate::models::description::ModelDescription;
use crate::models::mixture_description::MixtureDescription;

type Describe = dyn Fn(&MixtureDescription, &Parameters) -> Result<Arc<dyn ModelDescription>, ModelError>
    + Send
    + Sync;
type Read = fn(serde_json::Value, &TaskKinds) -> Result<Arc<dyn ModelDescription>, ModelError>;

/// Reads a description of type `D` from its fields.
pub(crate) fn read<D: ModelDescription + DeserializeOwned + 'static>(
    fields: serde_json::Value,
    kinds: &TaskKinds,
) -> Result<Arc<dyn ModelDescription>, ModelError> {
    let read = serde_json::from_value::<D>(fields);
    let mut description =
        read.map_err(|error| ModelError::Description { message: error.to_string() })?;
    *description.tasks_mut() = kinds.resolve(description.tasks())?;
    Ok(Arc::new(description))
}

/// A model that a configuration names where it could name a router.
#[derive(Clone)]
pub struct ModelEntry {
    pub(crate) info: RouterInfo,
    pub(crate) kind: String,
    pub(crate) describe: Arc<Describe>,
    pub(crate) read: Read,
}

impl ModelEntry {
    /// The entry of a model with descriptions of the kind `kind`. Several entries may have the same kind.
    ///
    /// `info` names the model and its parameters, which a configuration sets as those of a router. `describe` is given the
    /// settings of an experiment, in the form of the mixture that its configuration describes, and the parameters.
    pub fn new<D: ModelDescription + DeserializeOwned + 'static>(
        info: RouterInfo,
        kind: &str,
        describe: impl Fn(&MixtureDescription, &Parameters) -> Result<D, ModelError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        ModelEntry {
            info,
            kind: kind.into(),
            describe: Arc::new(move |settings, parameters| {
                Ok(Arc::new(describe(settings, parameters)?))
            }),
            read: read::<D>,
        }
    }

    /// Id, summary, source and parameters.
    pub fn info(&self) -> &RouterInfo {
        &self.info
    }
}

impl fmt::Debug for ModelEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}
