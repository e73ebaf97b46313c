use moe_routers::{GateSpec, Registry, RegistryError, Value};

use crate::error::OverrideError;
use crate::models::mixture::MixtureDescription;
use crate::models::model_description::ModelDescription;

/// What a trained mixture is used with, instead of what it was trained with. The weights stay; quality against cost is
/// what `moe eval --sweep` of `moe-bench` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// K.
    pub k: Option<usize>,
    /// The router's parameter `inference-capacity-factor`: an expert takes at most so many times the rows that would be
    /// its own if all experts had the same number; 0: no limit.
    pub inference_capacity_factor: Option<f64>,
}

/// The parameter of a router that limits the rows of an expert in use.
const CAPACITY: &str = "inference-capacity-factor";

impl ModelDescription {
    /// The model with these overrides.
    ///
    /// # Errors
    /// If it has no router, or the router does not use what is overridden, has learnt it, or may not have this value.
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
        // Parameters are those of the trained model: a switch among them cannot be named as a way out.
        RegistryError::BadK { router, k, least, experts, .. } => {
            RegistryError::BadK { router, k, least, experts, switch: None }
        }
        error => error,
    })?;
    model.k = k;
    Ok(())
}
