use serde::{Deserialize, Serialize};

/// Settings for the parameters with a common prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// Prefix of the names as in [`Module::set_frozen`](crate::Module::set_frozen): whole components of a name, such as
    /// `encoder` or `layer.experts`.
    pub prefix: String,
    /// Factor applied to the learning rate.
    pub learning_rate_factor: f64,
    /// Weight decay, if it differs from that of the rule.
    pub weight_decay: Option<f64>,
}
