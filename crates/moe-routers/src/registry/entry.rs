use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::gate_set::{GateSet, Gates};
use crate::registry::error::RegistryError;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::{Parameters, Value};
use crate::router::Router;
use crate::wrap::capacity::CapacityOptions;
use crate::wrap::relabelling::Share;

type Build = dyn Fn(&GateSpec, usize, &Parameters) -> Box<dyn GateSet> + Send + Sync;
type Fold = dyn Fn(usize, &BTreeMap<String, Value>, &Parameters) -> Folded + Send + Sync;

/// The plain router that a router with a search folds into when the search is over: its experts are permuted
/// ([`Relabelled`](crate::Relabelled)), and its decisions outside training are equal to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Id of the plain router.
    pub router: String,
    /// Parameters of the plain router.
    pub parameters: BTreeMap<String, Value>,
    /// Which gates share a permutation.
    pub share: Share,
    /// Names in the state of the gates that are dropped.
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
    /// A router that is built once per gate from its parameters.
    pub fn per_gate(
        info: RouterInfo,
        build: impl Fn(&GateSpec, &Parameters) -> Box<dyn Router> + Send + Sync + 'static,
    ) -> Self {
        Self::gate_set(info, move |first, gates, parameters| {
            let specs = (0..gates).map(|gate| GateSpec { gate, ..*first });
            Box::new(Gates::new(specs.map(|spec| build(&spec, parameters)).collect()))
        })
    }

    /// A router that is built once per gate from the options that `read` declares and reads.
    pub fn with_options<O: 'static, R: Router + 'static>(
        info: RouterInfo,
        read: fn(&mut OptionReader<'_>) -> O,
        build: impl Fn(&GateSpec, O) -> R + Send + Sync + 'static,
    ) -> Self {
        let info = info.with_options(read);
        Self::per_gate(info, move |spec, parameters| {
            Box::new(build(spec, parameters.options(read)))
        })
    }

    /// Gates that are built together: `build(spec of gate 0, number of gates, parameters)`.
    pub fn gate_set(
        info: RouterInfo,
        build: impl Fn(&GateSpec, usize, &Parameters) -> Box<dyn GateSet> + Send + Sync + 'static,
    ) -> Self {
        RouterEntry { info, build: Arc::new(build), fold: None }
    }

    /// Adds the parameters of [`CapacityOptions`], which limit the rows of an expert.
    pub fn with_capacity(self) -> Self {
        let info = self.info.clone().with_options(CapacityOptions::read);
        self.wrapped(info, |gates, _, parameters| {
            parameters.options(CapacityOptions::read).limit(gates)
        })
    }

    /// Wraps the gates of the router: `wrap(gates, spec of gate 0, parameters)`. The parameters in `info` must include
    /// those of the router.
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

    /// Makes the router foldable: `fold(K, parameters as given, parameters with defaults)`.
    pub fn folded_by(
        self,
        fold: impl Fn(usize, &BTreeMap<String, Value>, &Parameters) -> Folded + Send + Sync + 'static,
    ) -> Self {
        RouterEntry { fold: Some(Arc::new(fold)), ..self }
    }

    /// The router that this one, with this K and these parameters, folds into after training; `None` if it does not
    /// fold.
    ///
    /// # Errors
    /// If a parameter is unknown or out of range.
    pub fn fold(
        &self,
        k: usize,
        given: &BTreeMap<String, Value>,
    ) -> Result<Option<Folded>, RegistryError> {
        let parameters = self.info.parameters(given)?;
        Ok(self.fold.as_ref().map(|fold| fold(k, given, &parameters)))
    }

    /// The description of the router.
    pub fn info(&self) -> &RouterInfo {
        &self.info
    }

    /// Builds the gates of a layer: `gates` of them, each like `spec`.
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
