//! Cosine gates: Tutel's logits, and the gates of torchscale with their capacity.

use std::sync::{Arc, Mutex};

use moe_core::tape::{Tape, Var};
use moe_core::{Mode, Tensor, Visit, VisitMut};
use moe_routers::{
    CapacityOptions, Combine, GateSpec, Gates, RouteContext, Router, Routing, XMoe, XMoeLogits,
    XMoeOptions,
};
use serde_json::Value as Json;

use crate::common;
use crate::gate::{Parameter, capacity_factor, check_gate, compare_routing};
use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "xmoe",
    dtypes: &["float64", "float32"],
    config: &[
        "B",
        "D",
        "n_experts",
        "k",
        "proj_dim",
        "init_temperature",
        "combine",
        "norm_eps",
        "log_scale_max",
        "capacity",
        "normalize_before_dropping",
        "second_expert",
        "aux",
    ],
    inputs: &["x", "proj_w", "proj_b", "emb", "log_scale", "C"],
    outputs: &["logits", "g", "selected", "selected_after_capacity", "aux_loss", "loss"],
    grads: &["x", "proj_w", "proj_b", "emb", "log_scale"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    if case.has_input("log_scale") { check_tutel(case) } else { check_torchscale(case) }
}

fn spec(case: &Case<'_>) -> Result<GateSpec, String> {
    let (inputs, experts) = (case.count("D")?, case.count("n_experts")?);
    Ok(GateSpec { inputs, experts, k: case.count("k")?, seed: 1, gate: 0 })
}

/// A gate that leaves its logits.
struct Watched {
    gate: XMoe,
    logits: Arc<Mutex<Option<Tensor>>>,
}

impl Router for Watched {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        *self.logits.lock().unwrap() = Some(self.gate.logits(x).value());
        self.gate.route(cx, x)
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gate.visit_mut(f);
    }
}

fn check_tutel(case: &Case<'_>) -> Result<Outcome, String> {
    let spec = spec(case)?;
    let (d, n, p) = (spec.inputs, spec.experts, case.count("proj_dim")?);
    let combine = match case.text("combine")? {
        "dense" => Combine::Dense,
        "topk" => Combine::TopK,
        "topk_normalized" => Combine::TopKNormalised,
        other => return Err(format!("unknown combine \"{other}\"")),
    };
    let options = XMoeOptions { combine, projection: p, gshard: 0.0, ..XMoeOptions::default() };
    let logits = Arc::default();
    let gate = Watched { gate: XMoe::new(&spec, options), logits: Arc::clone(&logits) };
    let mut gates = Gates::new(vec![Box::new(gate)]);
    let parameters = [
        Parameter::turned("0.projection.weight", "proj_w", p, d),
        Parameter::same("0.projection.bias", "proj_b", &[p]),
        Parameter::turned("0.embedding", "emb", p, n),
        Parameter::same("0.log-scale", "log_scale", &[1]),
    ];
    check_gate(case, &mut gates, Mode::Train, &parameters, Some("selected"))?;
    compare_logits(case, &logits)
}

fn check_torchscale(case: &Case<'_>) -> Result<Outcome, String> {
    let spec = spec(case)?;
    let (d, n, p) = (spec.inputs, spec.experts, case.count("proj_dim")?);
    let before = case.flag("normalize_before_dropping")?;
    let options = XMoeOptions {
        logits: XMoeLogits::UnitEmbedding,
        combine: if before { Combine::TopKNormalised } else { Combine::TopK },
        projection: p,
        gshard: 1.0,
        ..XMoeOptions::default()
    };
    let limits = CapacityOptions {
        factor: capacity_factor(case, spec.k)?,
        // One weight is never normalised there.
        renormalise: !before && spec.k > 1,
        ..CapacityOptions::default()
    };
    let logits = Arc::default();
    let gate = Watched { gate: XMoe::new(&spec, options), logits: Arc::clone(&logits) };
    let mut gates = limits.limit(Box::new(Gates::new(vec![Box::new(gate)])));
    let projection = Parameter::turned("0.projection.weight", "proj_w", p, d);
    projection.set(case, &mut *gates)?;
    // The recorded gradient is that of the embeddings at length 1.5.
    let mut embedding = case.input("emb", &[n, p])?;
    for row in embedding.chunks_exact_mut(p) {
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter_mut().for_each(|v| *v *= 1.5 / norm);
    }
    common::set(&mut *gates, "0.embedding", &real(&embedding, &[n, p]));

    let rows = case.count("B")?;
    let tape = Tape::new();
    let x = tape.variable(real(&case.input("x", &[rows, d])?, &[rows, d]));
    let routing = common::route(&*gates, x, Mode::Train).remove(0);
    case.compare_sets("selected_after_capacity", &routing.assignments)?;
    let gradients = compare_routing(case, x, &routing)?;
    let of = common::gradients_of(&*gates, &gradients);
    assert_eq!(of.len(), 2);
    projection.compare(case, &of["0.projection.weight"])?;
    case.compare_grad("emb", &doubles(&of["0.embedding"]), &[n, p])?;
    compare_logits(case, &logits)
}

fn compare_logits(case: &Case<'_>, logits: &Mutex<Option<Tensor>>) -> Result<Outcome, String> {
    let logits = logits.lock().unwrap().take().ok_or("no logits")?;
    case.compare("logits", &doubles(&logits), &logits.shape()[..])?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("xmoe/xmoe_tutel_n5_k2_norm.json");
    let pointers = [
        "/inputs/proj_w/data/1/2",
        "/inputs/proj_b/data/1",
        "/inputs/emb/data/1/2",
        "/inputs/log_scale/data/0",
        "/outputs/logits/data/0/1",
        "/grads/x/data/4/2",
        "/grads/emb/data/2/0",
        "/grads/log_scale/data/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let mut case: Json = serde_json::from_str(text).unwrap();
    case["config"]["combine"] = "topk".into();
    assert!(crate::check(&FAMILY, &case).unwrap_err().starts_with("g is"));

    let text = include_str!("xmoe/xmoe_torchscale_top2_n5.json");
    assert_changes_are_noticed(&FAMILY, text, &["/outputs/aux_loss", "/outputs/g/data/0/1"]);
    // Gradients in single precision are allowed 1e-4 of their size.
    let changes = [
        ("/config/capacity", 1.into()),
        ("/config/normalize_before_dropping", false.into()),
        ("/grads/emb/data/2/0", (-0.2503).into()),
        ("/grads/proj_w/data/0/0", 0.5.into()),
    ];
    for (pointer, value) in changes {
        let mut case: Json = serde_json::from_str(text).unwrap();
        *case.pointer_mut(pointer).unwrap() = value;
        assert!(crate::check(&FAMILY, &case).is_err(), "{pointer}");
    }
}
