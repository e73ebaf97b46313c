use moe_core::did_you_mean;

use crate::registry::parameters::Value;

/// Why a router cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No router has this id.
    #[error("unknown router \"{id}\"{}; known routers: {}", did_you_mean(", ", nearest.as_deref(), ""), known.join(", "))]
    UnknownRouter {
        /// The id that was asked for.
        id: String,
        /// The most similar id.
        nearest: Option<String>,
        /// All ids.
        known: Vec<String>,
    },
    /// The id of a new router belongs to another one.
    #[error("there is already a router \"{id}\"")]
    Taken {
        /// The id.
        id: String,
    },
    /// K does not fit the number of experts.
    #[error(
        "router {router}: k = {k} is not allowed with {experts} experts; k must be from {least} to {experts}{}",
        switch.map_or(String::new(), |switch| format!(", or set {switch} = true"))
    )]
    BadK {
        /// The router.
        router: String,
        /// Number of experts per row (K).
        k: usize,
        /// The smallest K that the router allows.
        least: usize,
        /// Number of experts (N).
        experts: usize,
        /// The parameter that would allow this K, if there is one.
        switch: Option<&'static str>,
    },
    /// The router has no parameter with this key.
    #[error("router {router} has no parameter \"{key}\"{}; {}", did_you_mean(", ", nearest.as_deref(), ""), list(known))]
    UnknownParameter {
        /// The router.
        router: String,
        /// The key.
        key: String,
        /// The most similar parameter.
        nearest: Option<String>,
        /// All parameters of the router.
        known: Vec<String>,
    },
    /// A value has the wrong type or is out of range.
    #[error("router {router}: {key} = {value} is not allowed; it must be {allowed}")]
    BadParameter {
        /// The router.
        router: String,
        /// The parameter.
        key: String,
        /// The value given.
        value: Value,
        /// The allowed values, in words.
        allowed: String,
    },
}

fn list(known: &[String]) -> String {
    match known {
        [] => "it has none".into(),
        names => format!("it has {}", names.join(", ")),
    }
}
