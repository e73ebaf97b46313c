//! MOESART's gate, of the authors' PyTorch code: draws, weights, trimmed lasso and gradients; and the law of its draws.

use moe_core::dispatch::Assignments;
use moe_core::tape::{Tape, Var};
use moe_core::{Buffer, Mode, Real, Tensor, Visit, VisitMut};
use moe_routers::aux_loss::trimmed_lasso;
use moe_routers::{
    Adjustment, AuxOptions, Drawn, GateSpec, Gates, Moesart, MoesartOptions, RouteContext, Router,
    Routing, top_k_assignments,
};
use serde_json::Value as Json;

use crate::gate::{Parameter, check_gate};
use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "moesart",
    dtypes: &["float64"],
    config: &[
        "B",
        "D",
        "n_experts",
        "k",
        "adjust",
        "tau",
        "trimmed_lasso_reg",
        "training",
        "replace",
        "bias",
        "eps",
    ],
    inputs: &["x", "w", "b", "C", "sampled", "counts", "u", "unadjusted", "u_adjust", "dense"],
    outputs: &[
        "g",
        "loss",
        "dense",
        "selected",
        "topk_for_lasso",
        "trimmed_lasso",
        "aux_loss",
        "sets",
        "set_prob",
        "inclusion",
        "expected_weights_small_random",
        "expected_weights_zero",
        "expected_weights_large",
    ],
    grads: &["x", "w", "b"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    if case.has_output("set_prob") { check_law(case) } else { check_router(case) }
}

/// The adjustments by name; the name is empty in inference.
fn adjustment(name: &str) -> Result<Adjustment, String> {
    match name {
        "small-random" | "" => Ok(Adjustment::SmallRandom),
        "zero" => Ok(Adjustment::Zero),
        "large" => Ok(Adjustment::Large),
        other => Err(format!("unknown adjustment \"{other}\"")),
    }
}

/// A gate whose draws are those of the case.
struct GivenDraws {
    gate: Moesart,
    /// `[B, K + 1]`: uniform numbers, if the case has them.
    uniforms: Option<Tensor>,
    drawn: Option<Drawn>,
    has_bias: bool,
}

impl Router for GivenDraws {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let Some(given) = &self.drawn else { return self.gate.route(cx, x) };
        self.gate.route_drawn(x, |logits, p| {
            if let Some(uniforms) = &self.uniforms {
                let write = |row, out: &mut [Real]| out.copy_from_slice(uniforms.row(row));
                let drawn = self.gate.draw(logits, p, write);
                assert_eq!(&drawn.assignments, &given.assignments, "the recorded draws");
                assert_eq!(drawn.counts.is_some(), given.counts.is_some());
                if let (Some(counts), Some(given)) = (&drawn.counts, &given.counts) {
                    assert_eq!(counts.as_slice(), given.as_slice(), "how often each was drawn");
                }
                if !given.kept.is_empty() {
                    assert_eq!(drawn.kept, given.kept, "the expert that is not adjusted");
                }
            }
            given.clone()
        })
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(&mut |name, state| {
            if self.has_bias || name != "bias" {
                f(name, state);
            }
        });
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        let has_bias = self.has_bias;
        self.gate.visit_mut(&mut |name, state| {
            if has_bias || name != "bias" {
                f(name, state);
            }
        });
    }
}

fn check_router(case: &Case<'_>) -> Result<Outcome, String> {
    let (rows, d) = (case.count("B")?, case.count("D")?);
    let (n, k) = (case.count("n_experts")?, case.count("k")?);
    let (mode, has_bias, tau) = (case.mode()?, case.flag("bias")?, case.number("tau")?);
    if case.number("eps")? != 1e-10 {
        return Err("another epsilon".into());
    }

    // The probabilities, and what the trimmed lasso leaves out.
    let w = real(&case.input("w", &[n, d])?, &[n, d]);
    let b = if has_bias { case.input("b", &[n])? } else { vec![0.0; n] };
    let tape = Tape::inference();
    let x = tape.constant(real(&case.input("x", &[rows, d])?, &[rows, d]));
    let turned = Tensor::from_fn([d, n], |i| w.as_slice()[i % n * d + i / n]);
    let logits = x.linear(tape.constant(turned), tape.constant(real(&b, &[n])));
    let p = logits.scale(1.0 / tau as Real).softmax();
    case.compare("dense", &doubles(&p.value()), &[rows, n])?;
    case.compare_sets("topk_for_lasso", &top_k_assignments(&p.value(), k))?;
    let lasso = trimmed_lasso(p, k, 1.0).value.value().item();
    case.compare_number("trimmed_lasso", f64::from(lasso))?;

    let options = MoesartOptions {
        temperature: tau as Real,
        adjustment: adjustment(case.text("adjust")?)?,
        replace: case.flag("replace")?,
        aux: AuxOptions {
            trimmed_lasso: case.number("trimmed_lasso_reg")? as Real,
            ..AuxOptions::default()
        },
        ..MoesartOptions::default()
    };
    let (mut drawn, mut uniforms) = (None, None);
    if mode == Mode::Train {
        drawn = Some(recorded_draws(case, rows, n, options.replace)?);
    }
    if case.has_input("u") {
        let u = case.input("u", &[k, rows])?;
        let last = match case.has_input("u_adjust") {
            true => case.input("u_adjust", &[rows])?,
            false => vec![0.0; rows],
        };
        let of_row = |row: usize| (0..k).map(move |i| i * rows + row);
        let all = (0..rows).flat_map(|row| of_row(row).map(|i| u[i]).chain([last[row]]));
        uniforms = Some(real(&all.collect::<Vec<_>>(), &[rows, k + 1]));
    }
    let gate = Moesart::new(&GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 }, options);
    let router = GivenDraws { gate, uniforms, drawn, has_bias };
    let mut gates = Gates::new(vec![Box::new(router)]);
    let mut parameters = vec![Parameter::turned("0.weight", "w", n, d)];
    if has_bias {
        parameters.push(Parameter::same("0.bias", "b", &[n]));
    }
    check_gate(case, &mut gates, mode, &parameters, Some("selected"))?;
    Ok(Outcome::Agrees)
}

/// The experts that the case drew.
fn recorded_draws(case: &Case<'_>, rows: usize, n: usize, replace: bool) -> Result<Drawn, String> {
    let counts = case.input("counts", &[rows, n])?;
    let drawn_of = |row: &[f64]| {
        let drawn = (0..n as u32).filter(|&e| row[e as usize] > 0.0);
        drawn.collect::<Vec<_>>()
    };
    let experts: Vec<Vec<u32>> = counts.chunks(n).map(drawn_of).collect();
    let times: Vec<f64> = counts.into_iter().filter(|&count| count > 0.0).collect();
    let kept = match case.has_input("unadjusted") {
        true => case.input("unadjusted", &[rows])?.into_iter().map(|e| e as u32).collect(),
        false => Vec::new(),
    };
    Ok(Drawn {
        assignments: Assignments::from_rows(n, experts),
        counts: replace.then(|| real(&times, &[times.len()])),
        kept: Buffer::from(kept),
    })
}

/// How many rows the law is sampled with.
const DRAWS: usize = 100_000;

/// Draws for many equal rows, held against the exact probabilities of sets, of experts, and mean weights.
fn check_law(case: &Case<'_>) -> Result<Outcome, String> {
    let (n, k) = (case.count("n_experts")?, case.count("k")?);
    if case.flag("replace")? {
        return Err("a law with replacement".into());
    }
    let p = case.input("dense", &[n])?;
    let inclusion = case.output("inclusion", &[n])?;
    let logits: Vec<f64> = p.iter().map(|p| p.ln()).collect();
    for (name, key) in [
        ("small-random", "expected_weights_small_random"),
        ("zero", "expected_weights_zero"),
        ("large", "expected_weights_large"),
    ] {
        let options = MoesartOptions { adjustment: adjustment(name)?, ..Default::default() };
        let mut gate =
            Moesart::new(&GateSpec { inputs: 1, experts: n, k, seed: 1, gate: 0 }, options);
        gate.visit_mut(&mut |name, mut state| {
            *state.tensor_mut() = match name {
                "bias" => real(&logits, &[n]),
                _ => Tensor::zeros([1, n]),
            };
        });
        let ids: Vec<u64> = (0..DRAWS as u64).collect();
        let pass = moe_core::Pass {
            mode: Mode::Train,
            seed: 5,
            step: 0,
            epoch: 0,
            row_ids: &ids,
            keys: &ids,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let tape = Tape::inference();
        let x = tape.constant(Tensor::zeros([DRAWS, 1]));
        let routing = gate.route(&RouteContext { pass, gate: 0 }, x);

        let sets = case.output("sets", &[binomial(n, k), k])?;
        let probabilities = case.output("set_prob", &[binomial(n, k)])?;
        let mut chi_square = 0.0;
        for (set, probability) in sets.chunks(k).zip(&probabilities) {
            let is_set = |row: &usize| {
                let drawn = routing.assignments.of_row(*row);
                drawn.iter().zip(set).all(|(&e, &wanted)| f64::from(e) == wanted)
            };
            let seen = (0..DRAWS).filter(is_set).count() as f64;
            let expected = probability * DRAWS as f64;
            chi_square += (seen - expected).powi(2) / expected;
        }
        let freedom = (sets.len() / k - 1) as f64;
        if chi_square > freedom + 6.0 * (2.0 * freedom).sqrt() {
            return Err(format!("chi-square of the sets is {chi_square}"));
        }
        let expected = case.output(key, &[n])?;
        let dense = routing.to_dense();
        for expert in 0..n {
            let column = || (0..DRAWS).map(|row| f64::from(dense.row(row)[expert]));
            let mean = column().sum::<f64>() / DRAWS as f64;
            let variance = column().map(|w| (w - mean).powi(2)).sum::<f64>() / DRAWS as f64;
            let allowed = 5.0 * (variance / DRAWS as f64).sqrt() + 1e-6;
            if (mean - expected[expert]).abs() > allowed {
                return Err(format!("{key} of {expert}: {mean}, not {}", expected[expert]));
            }
            let share = column().filter(|&w| w > 0.0).count() as f64 / DRAWS as f64;
            let error = (inclusion[expert] * (1.0 - inclusion[expert]) / DRAWS as f64).sqrt();
            if (share - inclusion[expert]).abs() > 5.0 * error {
                return Err(format!("{expert} is drawn with {share}, not {}", inclusion[expert]));
            }
        }
    }
    Ok(Outcome::Agrees)
}

fn binomial(n: usize, k: usize) -> usize {
    (0..k).fold(1, |product, i| product * (n - i) / (i + 1))
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("moesart/moesart_small_n8_k3_tau0.5.json");
    let pointers = [
        "/config/tau",
        "/config/trimmed_lasso_reg",
        "/inputs/w/data/3/1",
        "/inputs/b/data/0",
        "/outputs/g/data/1/3",
        "/outputs/dense/data/1/3",
        "/outputs/trimmed_lasso",
        "/outputs/aux_loss",
        "/grads/w/data/7/0",
        "/grads/b/data/6",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}

#[test]
#[should_panic(expected = "the recorded draws")]
fn a_changed_uniform_number_is_noticed() {
    let text = include_str!("moesart/moesart_small_n8_k3_tau0.5.json");
    let mut case: Json = serde_json::from_str(text).unwrap();
    let u = &mut case["inputs"]["u"]["data"][1][0];
    *u = ((u.as_f64().unwrap() + 0.5) % 1.0).into();
    let _ = crate::check(&FAMILY, &case);
}

#[test]
fn a_changed_law_is_noticed() {
    let text = include_str!("moesart/sampling_law_n5_k2.json");
    let changed = |key: &str, by: f64| {
        let mut case: Json = serde_json::from_str(text).unwrap();
        let value = &mut case["outputs"][key]["data"][1];
        *value = (value.as_f64().unwrap() + by).into();
        crate::check(&FAMILY, &case).unwrap_err()
    };
    assert!(changed("set_prob", 0.01).contains("chi-square"));
    assert!(changed("inclusion", 0.01).contains("is drawn with"));
    assert!(changed("expected_weights_zero", 0.01).contains("expected_weights_zero of 1"));
}
