use moe_routers::{GateSpec, Registry, RegistryError, Value};

use crate::error::OverrideError;
use crate::models::mixture::MixtureDescription;
use crate::models::model_description::ModelDescription;

/// Settings of a trained mixture at inference that differ from those of training. The weights stay the same. `moe eval
/// --sweep` of `moe-bench` shows quality against cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Number of experts per row (K).
    pub k: Option<usize>,
    /// The router's parameter `inference-capacity-factor`: the largest number of rows of an expert, as a multiple of its
    /// share under an even load; 0 for no limit.
    pub inference_capacity_factor: Option<f64>,
}

/// The router parameter that limits the rows of an expert at inference.
const CAPACITY: &str = "inference-capacity-factor";

impl ModelDescription {
    /// The description with these overrides applied.
    ///
    /// # Errors
    /// If the model has no router, or the router does not use the setting, has learnt it, or does not allow the value.
    pub fn with_overrides(
        &self,
        overrides: &Overrides,
        registry: &Registry,
    ) -> Result<Self, OverrideError> {
        if *overrides == Overrides::default() {
            return Ok(self.clone());
        }
        let ModelDescription::Mixture(own) = self else { return Err(OverrideError::NoRouter) };
        let mut model = own.clone();
        if let Some(k) = overrides.k {
            set_k(&mut model, k, registry)?;
        }
        if let Some(factor) = overrides.inference_capacity_factor {
            let info = registry.get(&own.router)?.info();
            if !info.parameters.iter().any(|spec| spec.name == CAPACITY) {
                let router = own.router.clone();
                return Err(OverrideError::NoParameter { router, parameter: CAPACITY });
            }
            model.router_parameters.insert(CAPACITY.into(), Value::Real(factor));
            info.parameters(&model.router_parameters)?;
        }
        Ok(ModelDescription::Mixture(model))
    }
}

fn set_k(
    model: &mut MixtureDescription,
    k: usize,
    registry: &Registry,
) -> Result<(), OverrideError> {
    let (router, own) = (model.router.clone(), model.k);
    let info = registry.get(&router)?.info();
    if !info.uses_k {
        return Err(OverrideError::NoK { router });
    }
    let parameters = info.parameters(&model.router_parameters)?;
    if info.fits_k(&parameters) && k != own {
        return Err(OverrideError::Learnt { router, k: own });
    }
    let spec = GateSpec { inputs: 1, experts: model.experts, k, seed: 0, gate: 0 };
    info.check(&spec, &model.router_parameters).map_err(|error| match error {
        // The parameters belong to the trained model, so the error must not suggest changing one of them.
        RegistryError::BadK { router, k, least, experts, .. } => {
            RegistryError::BadK { router, k, least, experts, switch: None }
        }
        error => error,
    })?;
    model.k = k;
    Ok(())
}
