//! Your own model, outside the crates of the workspace: MoE layers one after the other, each with a shortcut around it. The
//! program is the whole `moe` command with this model, for the routers `top-k` and `comet+`.

use std::process::ExitCode;

use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::tape::{Tape, Vars};
use moe_core::{named_state, random::chacha};
use moe_nn::{
    ExpertBank, Forward, Layer as _, LayerGates, Linear, MlpOptions, Model, ModelDescription,
    ModelEntry, ModelError, Models, Module, MoeLayer,
};
use moe_routers::{GateSpec, OptionReader, Registry, RouterInfo};
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    let mut models = Models::from(moe_search::with_search(Registry::standard()));
    for router in ["top-k", "comet+"] {
        models.register(entry(router)).expect("the id is free");
    }
    moe_bench::run(std::env::args_os(), models)
}

/// The entry of a registry for the model with this router: id, summary, source, options, and its description for the
/// settings of an experiment.
fn entry(router: &'static str) -> ModelEntry {
    let (id, summary) = (format!("stack-{router}"), "MoE layers with shortcuts around them");
    let depth = |read: &mut OptionReader<'_>| read.count("depth", 2, 1..=16, "number of layers");
    let info = RouterInfo::new(&id, summary, "this example").with_options(depth);
    ModelEntry::new(info, "stack", move |settings, options| {
        let (input, tasks) = (settings.input.clone(), settings.tasks.clone());
        let (experts, k, width) = (settings.experts, settings.k, settings.expert.outputs());
        let depth = options.options(depth);
        Ok(Stack { input, tasks, experts, k, width, depth, router: router.into() })
    })
}

/// Everything needed to build the model, except a seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stack {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    experts: usize,
    k: usize,
    width: usize,
    depth: usize,
    router: String,
}

impl Stack {
    fn layer(&self, routers: &Registry, seed: u64, index: usize) -> Result<MoeLayer, ModelError> {
        let Stack { width, experts, k, .. } = *self;
        let gate = GateSpec { inputs: width, experts, k, seed, gate: index };
        let gates = routers.get(&self.router)?.build(&gate, 1, &Default::default())?;
        let mut rng = chacha(seed, "init.experts", index as u64);
        let bank = ExpertBank::new(experts, width, width, &MlpOptions::default(), &mut rng);
        Ok(MoeLayer::new(&format!("layers.{index}"), gates, Box::new(bank)))
    }
}

impl ModelDescription for Stack {
    fn kind(&self) -> &str {
        "stack"
    }
    fn fields(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a description has text keys")
    }
    fn input(&self) -> &InputSpec {
        &self.input
    }
    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }
    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        &mut self.tasks
    }
    fn validate(&self, routers: &Registry) -> Result<(), ModelError> {
        let is_dense = self.input == InputSpec::default().with_dense(&*self.input.dense);
        let wrong = || ModelError::Inputs { found: self.input.to_string() };
        if is_dense { self.layer(routers, 0, 0).map(drop) } else { Err(wrong()) }
    }
    fn build_model(&self, routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        let mut rng = chacha(seed, "init.linear", 0);
        let mut linear = |inputs, outputs| Linear::new(inputs, outputs, &mut rng);
        let first = linear(self.input.dense_width(), self.width);
        let heads = self.tasks.iter().map(|t| linear(self.width, t.kind.outputs())).collect();
        let layers = (0..self.depth).map(|index| self.layer(routers, seed, index));
        Ok(Box::new(Network { first, layers: layers.collect::<Result<_, _>>()?, heads }))
    }
}

struct Network {
    first: Linear,
    layers: Vec<MoeLayer>,
    heads: Vec<Linear>,
}

impl Model for Network {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let rows = tape.constant(inputs.dense_rows().expect("the input is dense"));
        let first = self.first.forward(pass, rows).relu();
        let x = self.layers.iter().fold(first, |x, layer| x + layer.forward(pass, x));
        self.heads.iter().map(|head| head.forward(pass, x)).collect()
    }
}

impl Module for Network {
    named_state!("first" => child first, "layers" => child layers, "heads" => child heads);
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.layers.gates_mut()
    }
}
