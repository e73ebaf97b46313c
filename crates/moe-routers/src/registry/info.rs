use std::collections::BTreeMap;

use crate::registry::error::RegistryError;
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::{ParameterSpec, Parameters, Value};

/// The sizes, seed and position of one gate that is to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSpec {
    /// Width of the input (D).
    pub inputs: usize,
    /// Number of experts (N).
    pub experts: usize,
    /// Number of experts per row (K), ignored by routers that do not use it.
    pub k: usize,
    /// Seed of the run, for initial weights.
    pub seed: u64,
    /// Index of the gate in its layer; each gate starts from different weights.
    pub gate: usize,
}

/// The description of a router: everything known about it before one is built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterInfo {
    /// Id in configurations and on the command line.
    pub id: String,
    /// Summary in one line.
    pub summary: String,
    /// Source of the method.
    pub citation: String,
    /// Whether the router chooses K experts per row, so that K must be in `least_k`..=N.
    pub uses_k: bool,
    /// The smallest K.
    pub least_k: usize,
    /// The parameter, a switch, that allows any K from 1 on.
    pub small_k_switch: Option<&'static str>,
    /// The parameter and its value with which training fits the router's state to K, so that another K cannot be used
    /// afterwards.
    pub fits_k_with: Option<(&'static str, Value)>,
    /// Whether a gate has a state of N x N numbers.
    pub has_square_state: bool,
    /// Whether the router reads the planted groups of rows ([`Properties::reads_groups`](crate::Properties)), so that it needs
    /// data that have them.
    pub reads_groups: bool,
    /// The parameters.
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
            fits_k_with: None,
            has_square_state: false,
            reads_groups: false,
            parameters: Vec::new(),
        }
    }

    /// Declares that the router chooses K experts per row.
    pub fn uses_k(mut self) -> Self {
        self.uses_k = true;
        self
    }

    /// Declares that the router chooses K experts per row, at least `least` unless the parameter `switch` is on.
    pub(crate) fn uses_k_from(self, least: usize, switch: &'static str) -> Self {
        RouterInfo { uses_k: true, least_k: least, small_k_switch: Some(switch), ..self }
    }

    /// Declares that training fits the router's state to K if the parameter `name` has this value.
    pub fn fits_k_with(self, name: &'static str, value: Value) -> Self {
        RouterInfo { fits_k_with: Some((name, value)), ..self }
    }

    /// Declares that a gate has a state of N x N numbers, such as a permutation that is learnt, so that a model with too many
    /// experts can be refused before it is built.
    pub fn with_square_state(self) -> Self {
        RouterInfo { has_square_state: true, ..self }
    }

    /// Declares that the router reads the planted groups of rows, so that data without groups can be refused before a model is
    /// built.
    pub fn reads_groups(self) -> Self {
        RouterInfo { reads_groups: true, ..self }
    }

    /// Adds a parameter.
    pub fn with(mut self, parameter: ParameterSpec) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds the parameters that `read` reads, with their defaults.
    pub fn with_options<O>(mut self, read: impl Fn(&mut OptionReader<'_>) -> O) -> Self {
        let mut reader = OptionReader::declaring(&mut self.parameters);
        read(&mut reader);
        self
    }

    /// Returns whether a router with these parameters has a state that training fits to its K.
    pub fn fits_k(&self, parameters: &Parameters) -> bool {
        self.fits_k_with.as_ref().is_some_and(|(name, value)| parameters.get(name) == value)
    }

    /// Checks the parameters alone and adds the defaults, for a router that is configured but not built.
    ///
    /// # Errors
    /// If a parameter is unknown or out of range.
    pub fn parameters(&self, given: &BTreeMap<String, Value>) -> Result<Parameters, RegistryError> {
        let known = || self.parameters.iter().map(|spec| spec.name);
        if let Some(key) = given.keys().find(|key| !known().any(|name| name == **key)) {
            return Err(RegistryError::UnknownParameter {
                router: self.id.clone(),
                key: key.clone(),
                nearest: moe_core::nearest_name(key, known()).map(Into::into),
                known: known().map(Into::into).collect(),
            });
        }
        let mut values = BTreeMap::new();
        for spec in &self.parameters {
            let value = given.get(spec.name).unwrap_or(&spec.default);
            let admitted = spec.range.admit(value).ok_or_else(|| RegistryError::BadParameter {
                router: self.id.clone(),
                key: spec.name.into(),
                value: value.clone(),
                allowed: spec.range.to_string(),
            })?;
            values.insert(spec.name, admitted);
        }
        Ok(Parameters::new(values))
    }

    /// Checks K and the parameters, without building anything.
    ///
    /// # Errors
    /// If a parameter is unknown or out of range, or the router uses K and K is below its least or above N.
    pub fn check(
        &self,
        spec: &GateSpec,
        given: &BTreeMap<String, Value>,
    ) -> Result<Parameters, RegistryError> {
        let parameters = self.parameters(given)?;
        let switched =
            self.small_k_switch.map(|switch| parameters.get(switch)) == Some(&Value::Bool(true));
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
