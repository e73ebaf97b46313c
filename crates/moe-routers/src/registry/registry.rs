use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use moe_core::did_you_mean;

use crate::gate_set::{GateSet, Gates};
use crate::registry::parameters::{ParameterSpec, Parameters, Value};
use crate::router::Router;
use crate::routers::comet::comet::Comet;
use crate::routers::dselect_k::dselect_k::DSelectK;
use crate::routers::expert_choice::ExpertChoice;
use crate::routers::hash::HashRouter;
use crate::routers::moesart::moesart::Moesart;
use crate::routers::noisy_top_k::NoisyTopK;
use crate::routers::softmax::Softmax;
use crate::routers::switch::Switch;
use crate::routers::top_k::TopK;
use crate::routers::v_moe::VMoe;
use crate::routers::x_moe::XMoe;
use crate::wrap::capacity::CapacityOptions;
use crate::wrap::relabelling::Share;

/// What one gate is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSpec {
    /// D.
    pub inputs: usize,
    /// N.
    pub experts: usize,
    /// K; ignored by routers that do not use it.
    pub k: usize,
    /// Seed of the run, for initial weights.
    pub seed: u64,
    /// Which gate of the layer; each starts from different weights.
    pub gate: usize,
}

/// What is known of a router before one is built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterInfo {
    /// Its name in configurations and on the command line.
    pub id: String,
    /// What it does, in one line.
    pub summary: String,
    /// Where it comes from.
    pub citation: String,
    /// Whether it chooses K experts per row, so that K must be in `least_k`..=N.
    pub uses_k: bool,
    /// The smallest K.
    pub least_k: usize,
    /// A switch among the parameters that allows a smaller K.
    pub small_k_switch: Option<&'static str>,
    /// Its parameters.
    pub parameters: Vec<ParameterSpec>,
}

impl RouterInfo {
    /// A router without parameters that does not use K.
    pub fn new(id: &str, summary: &str, citation: &str) -> Self {
        RouterInfo {
            id: id.into(),
            summary: summary.into(),
            citation: citation.into(),
            uses_k: false,
            least_k: 1,
            small_k_switch: None,
            parameters: Vec::new(),
        }
    }

    /// It chooses K experts per row.
    pub fn uses_k(mut self) -> Self {
        self.uses_k = true;
        self
    }

    /// It chooses K experts per row, `least` or more unless the parameter `switch` is on.
    pub fn uses_k_from(self, least: usize, switch: &'static str) -> Self {
        RouterInfo { uses_k: true, least_k: least, small_k_switch: Some(switch), ..self }
    }

    /// It has this parameter.
    pub fn with(mut self, parameter: ParameterSpec) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Its parameter `name` has this default.
    ///
    /// # Panics
    /// If it has no such parameter, or the parameter may not have this value.
    pub fn with_default(mut self, name: &str, default: Value) -> Self {
        let spec = self.parameters.iter_mut().find(|spec| spec.name == name);
        let spec = spec.unwrap_or_else(|| panic!("no parameter \"{name}\""));
        assert!(spec.range.admit(&default).is_some(), "{name} = {default}");
        spec.default = default;
        self
    }

    /// Checks the parameters alone, and adds defaults: for a router that is configured but not built.
    ///
    /// # Errors
    /// If a parameter is unknown or out of its range.
    pub fn parameters(&self, given: &BTreeMap<String, Value>) -> Result<Parameters, RegistryError> {
        Parameters::resolve(&self.id, &self.parameters, given)
    }

    /// Checks K and the parameters, without building anything.
    ///
    /// # Errors
    /// If a parameter is unknown or out of its range, or K is below the router's least or above N for a router that
    /// uses it.
    pub fn check(
        &self,
        spec: &GateSpec,
        given: &BTreeMap<String, Value>,
    ) -> Result<Parameters, RegistryError> {
        let parameters = self.parameters(given)?;
        let switched = self.small_k_switch.is_some_and(|switch| parameters.bool(switch));
        let least = if switched { 1 } else { self.least_k };
        if self.uses_k && !(least..=spec.experts).contains(&spec.k) {
            return Err(RegistryError::BadK {
                router: self.id.clone(),
                k: spec.k,
                least,
                experts: spec.experts,
                switch: self.small_k_switch.filter(|_| spec.k > 0 && spec.k < least),
            });
        }
        Ok(parameters)
    }
}

type Build = dyn Fn(&GateSpec, usize, &Parameters) -> Box<dyn GateSet> + Send + Sync;
type Fold = dyn Fn(usize, &BTreeMap<String, Value>, &Parameters) -> Folded + Send + Sync;

/// What is left of a router with a search once that is over: a plain router whose experts have other numbers
/// ([`Relabelled`](crate::Relabelled)), with the same decisions outside of training, to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// The plain router.
    pub router: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Which gates have which numbers.
    pub share: Share,
    /// Names in the state of the gates that are left out.
    pub dropped: &'static [&'static str],
}

/// A router that the registry can build.
#[derive(Clone)]
pub struct RouterEntry {
    info: RouterInfo,
    build: Arc<Build>,
    fold: Option<Arc<Fold>>,
}

impl RouterEntry {
    /// A router that is built once per gate.
    pub fn per_gate(
        info: RouterInfo,
        build: impl Fn(&GateSpec, &Parameters) -> Box<dyn Router> + Send + Sync + 'static,
    ) -> Self {
        Self::gate_set(info, move |first, gates, parameters| {
            let specs = (0..gates).map(|gate| GateSpec { gate, ..*first });
            Box::new(Gates::new(specs.map(|spec| build(&spec, parameters)).collect()))
        })
    }

    /// Gates that are built together: `build(spec of gate 0, number of gates, parameters)`.
    pub fn gate_set(
        info: RouterInfo,
        build: impl Fn(&GateSpec, usize, &Parameters) -> Box<dyn GateSet> + Send + Sync + 'static,
    ) -> Self {
        RouterEntry { info, build: Arc::new(build), fold: None }
    }

    /// The same router with the parameters of [`CapacityOptions`] besides its own, which limit the rows of an expert.
    pub fn with_capacity(self) -> Self {
        let info = CapacityOptions::declare(self.info.clone());
        self.wrapped(info, |gates, _, parameters| CapacityOptions::read(parameters).limit(gates))
    }

    /// The same router inside of something: `wrap(gates, spec of gate 0, parameters)`. The parameters in `info` must
    /// include the router's own.
    pub fn wrapped(
        self,
        info: RouterInfo,
        wrap: impl Fn(Box<dyn GateSet>, &GateSpec, &Parameters) -> Box<dyn GateSet>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let build = self.build;
        Self::gate_set(info, move |first, gates, parameters| {
            wrap(build(first, gates, parameters), first, parameters)
        })
    }

    /// The same router, which can be folded: `fold(K, parameters as given, parameters with defaults)`.
    pub fn folded_by(
        self,
        fold: impl Fn(usize, &BTreeMap<String, Value>, &Parameters) -> Folded + Send + Sync + 'static,
    ) -> Self {
        RouterEntry { fold: Some(Arc::new(fold)), ..self }
    }

    /// What is left of the router with this K and these parameters when training is over; `None` if that is itself.
    ///
    /// # Errors
    /// If a parameter is unknown or out of its range.
    pub fn fold(
        &self,
        k: usize,
        given: &BTreeMap<String, Value>,
    ) -> Result<Option<Folded>, RegistryError> {
        let parameters = self.info.parameters(given)?;
        Ok(self.fold.as_ref().map(|fold| fold(k, given, &parameters)))
    }

    /// What is known of the router.
    pub fn info(&self) -> &RouterInfo {
        &self.info
    }

    /// The gates of a layer: `gates` of them, each like `spec`.
    ///
    /// # Errors
    /// As [`RouterInfo::check`].
    pub fn build(
        &self,
        spec: &GateSpec,
        gates: usize,
        given: &BTreeMap<String, Value>,
    ) -> Result<Box<dyn GateSet>, RegistryError> {
        let parameters = self.info.check(spec, given)?;
        Ok((self.build)(spec, gates, &parameters))
    }
}

impl fmt::Debug for RouterEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

/// The routers that a program knows, by id. A value: the program builds it, adds its own and passes it down.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<RouterEntry>,
}

impl Registry {
    /// The routers of this crate.
    pub fn standard() -> Self {
        let entries = vec![
            Softmax::entry(),
            TopK::entry().with_capacity(),
            NoisyTopK::entry().with_capacity(),
            HashRouter::entry(),
            DSelectK::entry(),
            Comet::entry(),
            Moesart::entry(),
            Switch::entry().with_capacity(),
            VMoe::entry().with_capacity(),
            ExpertChoice::entry(),
            XMoe::entry().with_capacity(),
        ];
        Registry { entries }
    }

    /// Adds a router.
    ///
    /// # Errors
    /// If its id is taken.
    pub fn register(&mut self, entry: RouterEntry) -> Result<(), RegistryError> {
        let id = &entry.info.id;
        if self.ids().any(|known| known == id) {
            return Err(RegistryError::Taken { id: id.clone() });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The router with this id.
    ///
    /// # Errors
    /// If there is none; the error names the nearest id and all others.
    pub fn get(&self, id: &str) -> Result<&RouterEntry, RegistryError> {
        self.entries.iter().find(|entry| entry.info.id == id).ok_or_else(|| {
            RegistryError::UnknownRouter {
                id: id.into(),
                nearest: moe_core::nearest_name(id, self.ids()).map(Into::into),
                known: self.ids().map(Into::into).collect(),
            }
        })
    }

    /// All routers, in the order they were added.
    pub fn entries(&self) -> &[RouterEntry] {
        &self.entries
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.info.id.as_str())
    }
}

/// Why a router cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No router has this id.
    #[error(
        "unknown router \"{id}\"{}; known routers: {}",
        did_you_mean(", ", nearest.as_deref(), ""),
        known.join(", ")
    )]
    UnknownRouter {
        /// What was asked for.
        id: String,
        /// The id most like it.
        nearest: Option<String>,
        /// All ids.
        known: Vec<String>,
    },
    /// Two routers with one id.
    #[error("there is already a router \"{id}\"")]
    Taken {
        /// The id.
        id: String,
    },
    /// K does not fit N.
    #[error(
        "router {router}: k = {k} is not allowed with {experts} experts; k must be from {least} to {experts}{}",
        switch.map_or(String::new(), |switch| format!(", or set {switch} = true"))
    )]
    BadK {
        /// The router.
        router: String,
        /// K.
        k: usize,
        /// The smallest K of the router.
        least: usize,
        /// N.
        experts: usize,
        /// The parameter that allows this K, if one does.
        switch: Option<&'static str>,
    },
    /// A key that the router does not have.
    #[error(
        "router {router} has no parameter \"{key}\"{}; {}",
        did_you_mean(", ", nearest.as_deref(), ""),
        list(known)
    )]
    UnknownParameter {
        /// The router.
        router: String,
        /// The key.
        key: String,
        /// The parameter most like it.
        nearest: Option<String>,
        /// All its parameters.
        known: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("router {router}: {key} = {value} is not allowed; it must be {allowed}")]
    BadParameter {
        /// The router.
        router: String,
        /// The parameter.
        key: String,
        /// The value given.
        value: Value,
        /// What is allowed.
        allowed: String,
    },
}

fn list(known: &[String]) -> String {
    match known {
        [] => "it has none".into(),
        names => format!("it has {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: GateSpec = GateSpec { inputs: 3, experts: 4, k: 2, seed: 1, gate: 0 };

    fn given(key: &str, value: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([(key.to_string(), value)])
    }

    fn refused(spec: &GateSpec, given: &BTreeMap<String, Value>) -> String {
        let registry = Registry::standard();
        registry.get("top-k").unwrap().info().check(spec, given).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_is_allowed() {
        let unknown = Registry::standard().get("topk").unwrap_err().to_string();
        let start =
            "unknown router \"topk\", did you mean \"top-k\"?; known routers: softmax, top-k";
        assert!(unknown.starts_with(start), "{unknown}");
        assert!(refused(&GateSpec { k: 5, ..SPEC }, &BTreeMap::new()).contains("from 1 to 4"));
        assert!(refused(&GateSpec { k: 0, ..SPEC }, &BTreeMap::new()).contains("k = 0"));
        let key = refused(&SPEC, &given("load-balanc", Value::Real(1.0)));
        assert!(key.contains("did you mean \"load-balance\"?"), "{key}");
        let value = refused(&SPEC, &given("load-balance", Value::Int(-1)));
        assert_eq!(
            value,
            "router top-k: load-balance = -1 is not allowed; it must be a number from 0 to 1000000"
        );
        assert!(refused(&SPEC, &given("load-balance", Value::Bool(true))).contains("true"));
    }

    #[test]
    fn softmax_ignores_k() {
        let registry = Registry::standard();
        let spec = GateSpec { k: 99, ..SPEC };
        let gates = registry.get("softmax").unwrap().build(&spec, 2, &BTreeMap::new()).unwrap();
        assert_eq!((gates.num_gates(), gates.num_experts()), (2, 4));
    }

    #[test]
    fn moesart_needs_two_experts_unless_told_otherwise() {
        let registry = Registry::standard();
        let info = registry.get("moesart").unwrap().info();
        let one = GateSpec { k: 1, ..SPEC };
        assert_eq!(
            info.check(&one, &BTreeMap::new()).unwrap_err().to_string(),
            "router moesart: k = 1 is not allowed with 4 experts; k must be from 2 to 4, or set \
             k1-fallback = true"
        );
        info.check(&one, &given("k1-fallback", Value::Bool(true))).unwrap();
        let parameters = info.parameters(&given("replace", Value::Bool(true))).unwrap();
        assert!(parameters.bool("replace") && !parameters.bool("k1-fallback"));
        let none = info.check(&GateSpec { k: 0, ..SPEC }, &BTreeMap::new()).unwrap_err();
        assert!(none.to_string().ends_with("k must be from 2 to 4"), "{none}");
        let many = info.check(&GateSpec { k: 5, ..SPEC }, &BTreeMap::new()).unwrap_err();
        assert!(many.to_string().ends_with("k must be from 2 to 4"), "{many}");
    }

    #[test]
    fn an_id_is_given_once() {
        let mut registry = Registry::standard();
        let error = registry.register(TopK::entry()).unwrap_err();
        assert_eq!(error, RegistryError::Taken { id: "top-k".into() });
    }
}
