use moe_core::Real;
use moe_core::tape::Var;

use super::{entropy, importance, load_balance, router_z, trimmed_lasso};
use crate::registry::parameters::{ParameterSpec, Parameters};
use crate::registry::registry::RouterInfo;
use crate::routing::Routing;

/// Coefficients of the auxiliary losses that a router with logits may have; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AuxOptions {
    /// Of [`load_balance`].
    pub load_balance: Real,
    /// Of [`importance`].
    pub importance: Real,
    /// Of [`trimmed_lasso`].
    pub trimmed_lasso: Real,
    /// Of [`router_z`].
    pub router_z: Real,
    /// Of [`entropy`].
    pub entropy: Real,
}

impl AuxOptions {
    /// Names and meanings of the parameters.
    const ALL: [(&str, &str); 5] = [
        ("load-balance", "coefficient of the load-balancing loss of the Switch Transformer"),
        ("importance", "coefficient of the squared variation of the experts' total probability"),
        ("trimmed-lasso", "coefficient of the mean probability outside the K largest"),
        ("router-z", "coefficient of the mean squared logsumexp of the logits"),
        ("entropy", "coefficient of the mean entropy of the probabilities"),
    ];

    /// Adds these parameters to what is known of a router.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn declare(info: RouterInfo, names: &[&'static str]) -> RouterInfo {
        names.iter().fold(info, |info, &name| {
            let known = Self::ALL.iter().find(|(known, _)| *known == name);
            let &(name, doc) = known.unwrap_or_else(|| panic!("no auxiliary loss \"{name}\""));
            info.with(ParameterSpec::real(name, 0.0, 0.0..=1e6, doc))
        })
    }

    /// [`AuxOptions::declare`] for all of them.
    pub fn declare_all(info: RouterInfo) -> RouterInfo {
        Self::declare(info, &Self::ALL.map(|(name, _)| name))
    }

    /// The coefficients that a router has declared; 0 for the others.
    pub fn read(parameters: &Parameters) -> Self {
        let coefficient = |name: &str| match parameters.values().any(|(known, _)| known == name) {
            true => parameters.real(name) as Real,
            false => 0.0,
        };
        AuxOptions {
            load_balance: coefficient("load-balance"),
            importance: coefficient("importance"),
            trimmed_lasso: coefficient("trimmed-lasso"),
            router_z: coefficient("router-z"),
            entropy: coefficient("entropy"),
        }
    }

    /// `routing` with these losses, for routers to call in training. The softmax of `logits` is computed where it is
    /// needed and not given; K is that of the trimmed lasso.
    ///
    /// # Shapes
    /// `logits`, `probabilities` `[B, N]`
    ///
    /// # Panics
    /// If the shapes do not fit the routing, or K is above N for the trimmed lasso.
    pub fn add<'t>(
        &self,
        routing: Routing<'t>,
        logits: Var<'t>,
        probabilities: Option<Var<'t>>,
        k: usize,
    ) -> Routing<'t> {
        let mut routing = routing;
        if self.load_balance > 0.0 || self.importance > 0.0 || self.trimmed_lasso > 0.0 {
            let p = probabilities.unwrap_or_else(|| logits.softmax());
            if self.load_balance > 0.0 {
                let loss = load_balance(p, &routing.assignments, self.load_balance);
                routing = routing.with_aux_loss(loss);
            }
            if self.importance > 0.0 {
                routing = routing.with_aux_loss(importance(p, self.importance));
            }
            if self.trimmed_lasso > 0.0 {
                routing = routing.with_aux_loss(trimmed_lasso(p, k, self.trimmed_lasso));
            }
        }
        if self.router_z > 0.0 {
            routing = routing.with_aux_loss(router_z(logits, self.router_z));
        }
        if self.entropy > 0.0 {
            routing = routing.with_aux_loss(entropy(logits, self.entropy));
        }
        routing
    }
}
