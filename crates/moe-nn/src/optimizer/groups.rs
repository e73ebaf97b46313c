use moe_core::StateRef;
use serde::{Deserialize, Serialize};

use super::{OptimizerError, OptimizerOptions, Rule};
use crate::module::Module;
use crate::module::is_named;

/// Parameters that an optimiser treats differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// Names the parameters as in [`Module::set_frozen`]: whole parts of the name, such as `encoder` or `layer.experts`.
    pub prefix: String,
    /// Factor of their learning rate.
    pub learning_rate_factor: f64,
    /// Their weight decay, if it is not the rule's.
    pub weight_decay: Option<f64>,
}

impl OptimizerOptions {
    /// The group of a parameter.
    pub(super) fn group(&self, parameter: &str) -> Option<&ParameterGroup> {
        self.groups.iter().find(|group| is_named(parameter, &group.prefix))
    }

    /// Whether the groups suit the rule and name parameters of `module`.
    pub(super) fn check_groups(&self, module: &dyn Module) -> Result<(), OptimizerError> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        module.visit(&mut |name, state| {
            if matches!(state, StateRef::Parameter(_)) {
                names.push(name.into());
            }
        });
        for ParameterGroup { prefix, weight_decay, .. } in &self.groups {
            if !names.iter().any(|name| is_named(name, prefix)) {
                return Err(OptimizerError::EmptyGroup {
                    prefix: prefix.clone(),
                    parameters: names.join(", "),
                });
            }
            if let (Some(_), Rule::Adam { .. }) = (weight_decay, self.rule) {
                return Err(OptimizerError::GroupDecay { prefix: prefix.clone() });
            }
        }
        Ok(())
    }
}
