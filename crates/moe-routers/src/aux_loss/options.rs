use moe_core::Real;
use moe_core::tape::Var;

use crate::aux_loss::balance::{importance, load_balance};
use crate::aux_loss::rows::{entropy, router_z, trimmed_lasso};
use crate::registry::option_reader::OptionReader;
use crate::routing::Routing;

/// Coefficients of the auxiliary losses that a router with logits may have; 0 turns a loss off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AuxOptions {
    /// Coefficient of [`load_balance`].
    pub load_balance: Real,
    /// Coefficient of [`importance`].
    pub importance: Real,
    /// Coefficient of [`trimmed_lasso`].
    pub trimmed_lasso: Real,
    /// Coefficient of [`router_z`].
    pub router_z: Real,
    /// Coefficient of [`entropy`].
    pub entropy: Real,
}

impl AuxOptions {
    /// Names of all coefficients.
    pub(crate) const ALL: [&str; 5] =
        ["load-balance", "importance", "trimmed-lasso", "router-z", "entropy"];

    /// Reads the coefficients with these names; the others, and the defaults, are those of `self`.
    ///
    /// # Panics
    /// If there is no coefficient with such a name.
    pub fn read(mut self, options: &mut OptionReader<'_>, names: &[&'static str]) -> Self {
        for &name in names {
            let (coefficient, doc) = match name {
                "load-balance" => (
                    &mut self.load_balance,
                    "coefficient of the load-balancing loss of the Switch Transformer",
                ),
                "importance" => (
                    &mut self.importance,
                    "coefficient of the squared coefficient of variation of the experts' total probability",
                ),
                "trimmed-lasso" => (
                    &mut self.trimmed_lasso,
                    "coefficient of the mean probability outside the K largest",
                ),
                "router-z" => {
                    (&mut self.router_z, "coefficient of the mean squared logsumexp of the logits")
                }
                "entropy" => {
                    (&mut self.entropy, "coefficient of the mean entropy of the probabilities")
                }
                _ => panic!("there is no auxiliary loss \"{name}\""),
            };
            *coefficient = options.coefficient(name, *coefficient, doc);
        }
        self
    }

    /// Adds these losses to a routing, in training. The softmax of `logits` is computed if it is needed and not given;
    /// K is that of the trimmed lasso.
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
