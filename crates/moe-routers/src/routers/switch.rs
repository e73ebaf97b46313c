use moe_core::tape::Var;
use moe_core::{Real, Tensor, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_of_softmax;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// Settings of a [`Switch`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SwitchOptions {
    /// In training, each element of the gate's input is multiplied by a number from U(1 - jitter, 1 + jitter).
    pub jitter: Real,
    /// Auxiliary losses, of which the load-balancing loss is that of the Switch Transformer.
    pub aux: AuxOptions,
}

/// As published: jitter and load-balancing loss with 0.01 each.
impl Default for SwitchOptions {
    fn default() -> Self {
        let aux = AuxOptions { load_balance: 0.01, ..AuxOptions::default() };
        SwitchOptions { jitter: 0.01, aux }
    }
}

impl SwitchOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = SwitchOptions::default();
        let jitter = options.real(
            "jitter",
            defaults.jitter,
            0.0..=1.0,
            "in training the gate's input is multiplied by numbers from U(1 - jitter, 1 + jitter)",
        );
        let aux = defaults.aux.read(options, &AuxOptions::ALL);
        SwitchOptions { jitter, aux }
    }
}

/// The gate of the Switch Transformer: the most probable expert of `softmax(x W)`, weighted by its probability
/// (Fedus, Zoph and Shazeer, Switch Transformers, JMLR 2022, eq. 1-2 and 4-6).
///
/// Every row has one expert, whatever K is. Through the probability as weight the gate gets a gradient from the task.
/// The experts see the input without jitter, which is a function of the seed, the step, the row's id, the gate and the
/// column. W starts Glorot-uniform; in the paper it starts from a truncated normal distribution. The capacity of the
/// paper is that of [`Capacity`](crate::Capacity).
#[derive(Debug)]
pub struct Switch {
    gate: GateLinear,
    options: SwitchOptions,
}

impl Switch {
    /// A gate with initial weights.
    ///
    /// # Panics
    /// If there are no experts.
    pub fn new(spec: &GateSpec, options: SwitchOptions) -> Self {
        assert!(spec.experts > 0, "switch: no experts");
        Switch { gate: GateLinear::new(spec).without_bias(), options }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "switch",
            "the most probable expert, weighted by its softmax probability",
            "Fedus, Zoph, Shazeer: Switch Transformers, JMLR 2022, eq. 1-6",
        );
        RouterEntry::with_options(info, SwitchOptions::read, Switch::new).with_capacity()
    }

    /// The routing in training for the given uniform numbers in [0, 1).
    ///
    /// # Shapes
    /// `x`, `uniforms` `[B, D]`
    pub fn route_with_jitter<'t>(&self, x: Var<'t>, uniforms: Tensor) -> Routing<'t> {
        let jitter = self.options.jitter;
        let factors = uniforms.map(|u| 1.0 + jitter * (2.0 * u - 1.0));
        self.train(x * x.tape().constant(factors))
    }

    fn train<'t>(&self, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let p = logits.softmax();
        self.options.aux.add(largest_of_softmax(logits, p, 1), logits, Some(p), 1)
    }
}

impl Router for Switch {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if !cx.pass.is_training() {
            let logits = self.gate.logits(x);
            return largest_of_softmax(logits, logits.softmax(), 1);
        }
        if self.options.jitter == 0.0 {
            return self.train(x);
        }
        let shape = x.shape();
        self.route_with_jitter(x, cx.uniforms("jitter", [shape[0], shape[1]]))
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(1), TotalWeight::AtMostOne)
    }

    named_state!(flat gate);
}
