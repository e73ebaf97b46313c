//! Steps of every rule against PyTorch, recorded by `recorded/optimizer_steps.py` (which says how starts and gradients
//! are made, and what is stored).

mod common;

use std::collections::BTreeMap;

use common::DOUBLE;
use common::matrices::{Matrices, Wanted, update};
use moe_core::{Real, Tensor};
use moe_nn::{Clipping, Decay, Optimizer, OptimizerOptions, ParameterGroup, Rule, Schedule};
use serde::Deserialize;

const STEPS: u64 = 12;
const KEPT: [u64; 4] = [0, 1, 5, 11];
const NAMES: [&str; 3] = ["table", "encoder.weight", "encoder.bias"];
const SHAPES: [&[usize]; 3] = [&[6, 3], &[2, 4], &[4]];

#[derive(Deserialize)]
struct Recording {
    cases: BTreeMap<String, Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    values: Vec<Vec<f64>>,
    #[serde(default)]
    norms: Vec<f64>,
}

fn recording() -> BTreeMap<String, Recorded> {
    let text = include_str!("recorded/optimizer_steps.json");
    serde_json::from_str::<Recording>(text).unwrap().cases
}

fn unit(n: u64) -> f64 {
    f64::from((2_654_435_761 * n) as u32) / 2f64.powi(31) - 1.0
}

fn start(p: usize) -> Tensor {
    Tensor::from_fn(SHAPES[p], |i| unit(1000 * p as u64 + i as u64 + 1) as Real)
}

fn gradient(p: usize, t: u64, rows: bool) -> Wanted {
    let scale = [0.01, 0.3, 2.0, 0.1][t as usize % 4];
    let first = 100_000 * (t + 1) + 1000 * p as u64;
    let dense = Tensor::from_fn(SHAPES[p], |i| (unit(first + i as u64) * scale) as Real);
    if p > 0 || !rows {
        return Wanted::Dense(dense);
    }
    let ids = vec![(t % 6) as u32, ((3 * t + 1) % 6) as u32];
    let ids = if ids[0] == ids[1] { vec![ids[0]] } else { ids };
    let values = ids.iter().flat_map(|&id| dense.row(id as usize)).copied().collect();
    Wanted::Rows(ids.clone(), Tensor::new([ids.len(), 3], values))
}

/// Largest distance of any value, and largest relative distance of any norm, from those recorded.
fn distances(recorded: &Recorded, options: &OptimizerOptions, rows: bool) -> (f64, f64) {
    let tensors = NAMES.iter().enumerate().map(|(p, name)| (name.to_string(), start(p)));
    let mut weights = Matrices::named(tensors);
    let mut optimizer = Optimizer::new(options.clone());
    let (mut values, mut norms) = (0f64, 0f64);
    let mut kept = recorded.values.iter();
    for t in 0..STEPS {
        let wanted: Vec<Wanted> = (0..3).map(|p| gradient(p, t, rows)).collect();
        let norm = update(&mut optimizer, &mut weights, &wanted).unwrap().total;
        if let Some(expected) = recorded.norms.get(t as usize) {
            norms = norms.max((norm - expected).abs() / expected);
        }
        if KEPT.contains(&t) {
            let found = (0..3).flat_map(|p| weights.value(p).as_slice().to_vec());
            let expected = kept.next().expect("a record of this step");
            assert_eq!(expected.len(), 30);
            for (found, expected) in found.zip(expected) {
                values = values.max((f64::from(found) - expected).abs());
            }
        }
    }
    assert!(kept.next().is_none());
    (values, norms)
}

/// For values of about 1: the roundings of twelve steps, to 6e-8 or to 1.1e-16 each.
const TOLERANCE: f64 = if DOUBLE { 1e-14 } else { 4e-7 };
const NORM_TOLERANCE: f64 = if DOUBLE { 1e-14 } else { 1e-7 };

fn adam(lazy: bool) -> OptimizerOptions {
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, lazy };
    OptimizerOptions { rule, learning_rate: 0.01, ..OptimizerOptions::default() }
}

fn adamw() -> OptimizerOptions {
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weight_decay: 0.1 };
    OptimizerOptions { rule, ..adam(false) }
}

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimizerOptions {
    OptimizerOptions { rule: Rule::Sgd { momentum, nesterov, weight_decay }, ..adam(false) }
}

fn clipped(clipping: Clipping, options: OptimizerOptions) -> OptimizerOptions {
    OptimizerOptions { clipping, ..options }
}

fn scheduled(decay: Decay, options: OptimizerOptions) -> OptimizerOptions {
    OptimizerOptions { schedule: Schedule { warmup_steps: 3, decay }, ..options }
}

fn grouped(options: OptimizerOptions) -> OptimizerOptions {
    let group = |prefix: &str, weight_decay| ParameterGroup {
        prefix: prefix.into(),
        learning_rate_factor: 3.0,
        weight_decay: Some(weight_decay),
    };
    OptimizerOptions { groups: vec![group("encoder.bias", 0.0), group("encoder", 0.3)], ..options }
}

/// The cases of the script: name, settings, and whether the table's gradients are rows.
fn cases() -> Vec<(&'static str, OptimizerOptions, bool)> {
    let (norm, value) = (Clipping::Norm(1.5), Clipping::Value(0.05));
    let cosine = Decay::Cosine { total_steps: 10, final_factor: 0.05 };
    vec![
        ("adam", adam(false), false),
        ("adam rows", adam(false), true),
        ("adam lazy", adam(true), true),
        ("adam clipped by norm", clipped(norm, adam(false)), false),
        ("adam lazy clipped by value", clipped(value, adam(true)), true),
        ("adam warm-up", scheduled(Decay::Constant, adam(false)), false),
        ("adamw", adamw(), false),
        ("adamw rows, inverse square root", scheduled(Decay::InverseSqrt, adamw()), true),
        ("adamw groups, cosine", grouped(scheduled(cosine, adamw())), false),
        ("sgd", sgd(0.0, false, 0.0), true),
        ("sgd decay", sgd(0.0, false, 0.2), true),
        ("sgd momentum", sgd(0.8, false, 0.0), true),
        ("sgd nesterov, decay, clipped by norm", clipped(norm, sgd(0.8, true, 0.2)), false),
        ("sgd momentum clipped by value", clipped(value, sgd(0.8, false, 0.0)), false),
    ]
}

#[test]
fn every_rule_is_that_of_pytorch() {
    let recording = recording();
    let cases = cases();
    assert!(recording.keys().all(|name| cases.iter().any(|case| case.0 == name)));
    for (name, options, rows) in cases {
        let (values, norms) = distances(&recording[name], &options, rows);
        assert!(values <= TOLERANCE, "{name}: {values:e} apart from PyTorch");
        assert!(norms <= NORM_TOLERANCE, "{name}: norms are {norms:e} apart from PyTorch");
        let clips = matches!(options.clipping, Clipping::Norm(_));
        assert_eq!(recording[name].norms.len(), if clips { 12 } else { 0 }, "{name}");
    }
}

#[test]
fn a_changed_constant_is_noticed() {
    type Change = fn(&mut OptimizerOptions);
    fn rule(options: &mut OptimizerOptions, change: impl Fn(&mut f64, &mut f64, &mut f64)) {
        match &mut options.rule {
            Rule::Adam { beta1, beta2, epsilon, .. } => change(beta1, beta2, epsilon),
            Rule::AdamW { beta1, beta2, weight_decay, .. } => change(beta1, beta2, weight_decay),
            Rule::Sgd { momentum, weight_decay, .. } => change(momentum, weight_decay, &mut 0.0),
        }
    }
    let changes: [(&str, Change); 16] = [
        ("adam", |o| o.learning_rate *= 1.001),
        ("adam", |o| rule(o, |beta1, _, _| *beta1 += 0.001)),
        ("adam", |o| rule(o, |_, beta2, _| *beta2 += 0.001)),
        ("adam", |o| rule(o, |_, _, epsilon| *epsilon *= 10.0)),
        ("adam rows", |o| *o = adam(true)),
        ("adam lazy", |o| *o = adam(false)),
        ("adam clipped by norm", |o| o.clipping = Clipping::Norm(1.51)),
        ("adam lazy clipped by value", |o| o.clipping = Clipping::Value(0.0501)),
        ("adam warm-up", |o| o.schedule.warmup_steps = 4),
        ("adamw", |o| rule(o, |_, _, decay| *decay += 0.001)),
        ("adamw rows, inverse square root", |o| o.schedule.decay = Decay::Constant),
        ("adamw groups, cosine", |o| o.groups.swap(0, 1)),
        ("adamw groups, cosine", |o| {
            o.schedule.decay = Decay::Cosine { total_steps: 10, final_factor: 0.051 };
        }),
        ("sgd decay", |o| rule(o, |_, decay, _| *decay += 0.001)),
        ("sgd momentum", |o| rule(o, |momentum, _, _| *momentum += 0.001)),
        ("sgd nesterov, decay, clipped by norm", |o| {
            *o = clipped(o.clipping, sgd(0.8, false, 0.2));
        }),
    ];
    let (recording, cases) = (recording(), cases());
    for (i, (name, change)) in changes.into_iter().enumerate() {
        let (_, options, rows) = cases.iter().find(|case| case.0 == name).unwrap();
        let mut options = options.clone();
        change(&mut options);
        let (values, _) = distances(&recording[name], &options, *rows);
        assert!(values > 3.0 * TOLERANCE, "change {i} of {name} is {values:e} apart");
    }
}
