//! Numbers of the authors' own code, and of PyTorch for the softmax gate: experts, weights, loss and gradients.
//!
//! One JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. A case
//! whose logits are jittered in training, or whose gate is permuted, is counted but left out: these routers do
//! neither. The gradient of the permutation is not compared.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use common::DOUBLE;
use moe_core::tape::Tape;
use moe_core::{Mode, Real, Tensor};
use moe_routers::GateSpec;
use serde_json::{Map, Value as Json};

type Object = Map<String, Json>;

/// What became of a case.
#[derive(Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// It needs jitter or a permutation.
    Later,
    /// Its reference says that it makes no sense in this precision.
    Skipped,
}

/// Which keys a family has.
struct Family {
    folder: &'static str,
    router: &'static str,
    config: &'static [&'static str],
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
}

const SOFTMAX: Family = Family {
    folder: "softmax",
    router: "softmax",
    config: &["B", "D", "n_experts", "tau"],
    inputs: &["x", "w", "b", "C"],
    outputs: &["g", "loss"],
};

const TOP_K: Family = Family {
    folder: "topk",
    router: "top-k",
    config: &["B", "D", "n_experts", "k", "jitter", "training", "permutation"],
    inputs: &["x", "w", "b", "C", "P", "w_noise", "noise"],
    outputs: &["g", "loss", "selected_before_permutation"],
};

fn object<'a>(of: &'a Object, key: &str) -> Result<&'a Object, String> {
    of.get(key).and_then(Json::as_object).ok_or_else(|| format!("no object \"{key}\""))
}

fn number(of: &Object, key: &str) -> Result<f64, String> {
    of.get(key).and_then(Json::as_f64).ok_or_else(|| format!("no number \"{key}\""))
}

fn count(of: &Object, key: &str) -> Result<usize, String> {
    let value = of.get(key).and_then(Json::as_u64).ok_or_else(|| format!("no count \"{key}\""))?;
    usize::try_from(value).map_err(|error| error.to_string())
}

fn flag(of: &Object, key: &str) -> Result<bool, String> {
    of.get(key).and_then(Json::as_bool).ok_or_else(|| format!("no switch \"{key}\""))
}

fn only(of: &Object, what: &str, known: &[&str]) -> Result<(), String> {
    match of.keys().find(|key| !known.contains(&&key[..])) {
        None => Ok(()),
        Some(key) => Err(format!("unknown {what} \"{key}\"")),
    }
}

/// The numbers of a tensor, row-major, if it has this shape.
fn tensor(of: &Object, key: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
    fn flatten(data: &Json, shape: &[usize], out: &mut Vec<f64>) -> Option<()> {
        match shape {
            [] => out.push(data.as_f64()?),
            [rows, rest @ ..] => {
                let data = data.as_array().filter(|data| data.len() == *rows)?;
                data.iter().try_for_each(|data| flatten(data, rest, out))?;
            }
        }
        Some(())
    }
    let stored = object(of, key)?;
    let mut out = Vec::new();
    let data = stored.get("data").and_then(|data| flatten(data, shape, &mut out));
    let stated = stored.get("shape").and_then(Json::as_array);
    let same = stated.is_some_and(|stated| {
        let stated = stated.iter().map(Json::as_u64);
        stated.eq(shape.iter().map(|&dim| Some(dim as u64)))
    });
    if data.is_none() || !same {
        return Err(format!("tensor \"{key}\" has not the shape {shape:?}"));
    }
    Ok(out)
}

fn matrix(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::new(shape, values.iter().map(|&v| v as Real).collect())
}

/// `[n, D]` as `[D, n]`, or back.
fn turned(values: &[f64], rows: usize) -> Vec<f64> {
    let cols = values.len() / rows;
    (0..values.len()).map(|i| values[i % rows * cols + i / rows]).collect()
}

/// Whether the gate of the case is permuted: P is not the identity in every copy.
fn is_permuted(inputs: &Object, n: usize) -> Result<bool, String> {
    let Some(copies) = inputs.get("P") else { return Ok(false) };
    let copies = copies.get("shape").and_then(|shape| shape[0].as_u64()).ok_or("P has no shape")?;
    let p = tensor(inputs, "P", &[copies as usize, n, n])?;
    let identity = |i: usize| if i / n % n == i % n { 1.0 } else { 0.0 };
    Ok(p.iter().enumerate().any(|(i, &v)| v != identity(i)))
}

/// |a - reference| <= allowed for every element.
fn near(what: &str, a: &[f64], reference: &[f64], allowed: f64) -> Result<(), String> {
    let worst = a.iter().zip(reference).map(|(a, r)| (a - r).abs()).fold(0.0, f64::max);
    if a.len() == reference.len() && a.iter().all(|v| v.is_finite()) && worst <= allowed {
        Ok(())
    } else {
        Err(format!("{what} is {worst:e} apart, {allowed:e} allowed"))
    }
}

/// How far outputs and gradients may be from the reference.
struct Tolerance<'a> {
    tolerance: &'a Object,
    single: &'a Object,
}

impl Tolerance<'_> {
    /// `prefix` is empty for outputs, `grad_` for gradients.
    fn allowed(&self, prefix: &str, reference: &[f64]) -> Result<f64, String> {
        let largest = reference.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        if DOUBLE {
            let relative = number(self.tolerance, &format!("{prefix}rtol"))?;
            return Ok(number(self.tolerance, &format!("{prefix}atol"))? + relative * largest);
        }
        // Ten times the error of the reference itself in single precision, but at least 1e-6 of its size.
        Ok(if prefix.is_empty() {
            (10.0 * number(self.single, "outputs_max_abs")?).max(1e-6 * largest.max(1.0))
        } else {
            let largest = number(self.single, "grads_max_abs_value")?;
            (10.0 * number(self.single, "grads_max_abs")?).max(1e-6 * largest)
        })
    }
}

/// Compares one case.
fn check(family: &Family, case: &Json) -> Result<Outcome, String> {
    let case = case.as_object().ok_or("not an object")?;
    let (config, inputs) = (object(case, "config")?, object(case, "inputs")?);
    let (outputs, grads) = (object(case, "outputs")?, object(case, "grads")?);
    if case.get("family").and_then(Json::as_str) != Some(family.folder) {
        return Err("of another family".into());
    }
    if case.get("dtype").and_then(Json::as_str) != Some("float64") {
        return Err("not in double precision".into());
    }
    only(config, "setting", family.config)?;
    only(inputs, "input", family.inputs)?;
    only(outputs, "output", family.outputs)?;
    only(grads, "gradient", family.inputs)?;

    let (rows, d, n) = (count(config, "B")?, count(config, "D")?, count(config, "n_experts")?);
    let is_top_k = family.router == TOP_K.router;
    let mode = match is_top_k && !flag(config, "training")? {
        true => Mode::Infer,
        false => Mode::Train,
    };
    if is_top_k && (is_permuted(inputs, n)? || mode == Mode::Train && flag(config, "jitter")?) {
        return Ok(Outcome::Later);
    }
    let tolerance = Tolerance {
        tolerance: object(case, "tolerance")?,
        single: object(case, "f32_reference_error")?,
    };
    let notes = case.get("notes").and_then(Json::as_str).unwrap_or_default();
    if !DOUBLE
        && (notes.contains("float64 only") || number(tolerance.single, "outputs_max_abs")? > 1e-3)
    {
        return Ok(Outcome::Skipped);
    }

    // softmax((x w + b) / tau) is the gate with w / tau and b / tau; gradients with respect to w and b are those of
    // that gate divided by tau.
    let tau = if is_top_k { 1.0 } else { number(config, "tau")? };
    let divided = |values: Vec<f64>| values.into_iter().map(|v| v / tau).collect::<Vec<_>>();
    let w = turned(&divided(tensor(inputs, "w", &[n, d])?), n);
    let b = divided(tensor(inputs, "b", &[n])?);
    let k = if is_top_k { count(config, "k")? } else { n };
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let mut gates = common::build(family.router, &spec, 1, &[]);
    common::set(&mut *gates, "0.weight", &matrix(&w, &[d, n]));
    common::set(&mut *gates, "0.bias", &matrix(&b, &[n]));

    let tape = Tape::new();
    let x = tape.variable(matrix(&tensor(inputs, "x", &[rows, d])?, &[rows, d]));
    let routing = common::route(&*gates, x, mode).remove(0);
    let doubles = |t: &Tensor| t.as_slice().iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let g = tensor(outputs, "g", &[rows, n])?;
    near("g", &doubles(&routing.to_dense()), &g, tolerance.allowed("", &g)?)?;
    if is_top_k {
        let selected = tensor(outputs, "selected_before_permutation", &[rows, k])?;
        for (row, wanted) in selected.chunks(k).enumerate() {
            let mut wanted: Vec<u32> = wanted.iter().map(|&e| e as u32).collect();
            wanted.sort_unstable();
            let chosen = routing.assignments.of_row(row);
            if chosen != wanted {
                return Err(format!("row {row} goes to {chosen:?}, not {wanted:?}"));
            }
        }
    }

    // The loss is the sum of g times C; there are no auxiliary terms.
    let c = matrix(&tensor(inputs, "C", &[rows, n])?, &[rows, n]);
    let c = tape.constant(c).gather_assigned(&routing.assignments);
    let loss = (routing.weights * c).sum();
    let expected = number(outputs, "loss")?;
    let value = f64::from(loss.value().item());
    near("the loss", &[value], &[expected], tolerance.allowed("", &[expected])?)?;

    let gradients = tape.backward(loss);
    let of = common::gradients_of(&*gates, &gradients);
    let found = [
        ("x", vec![rows, d], doubles(&gradients.wrt(x).unwrap_or(Tensor::zeros([rows, d])))),
        ("w", vec![n, d], divided(turned(&doubles(&of["0.weight"]), d))),
        ("b", vec![n], divided(doubles(&of["0.bias"]))),
    ];
    for (name, shape, found) in found {
        let expected = tensor(grads, name, &shape)?;
        let allowed = tolerance.allowed("grad_", &expected)?;
        near(&format!("the gradient of {name}"), &found, &expected, allowed)?;
    }
    Ok(Outcome::Agrees)
}

/// The cases of a family by file name.
fn cases(folder: &Path) -> BTreeMap<String, Json> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases = BTreeMap::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let file = path.display();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("json"), "{file}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        cases.insert(file.to_string(), case);
    }
    cases
}

fn folder(family: &Family) -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    env::var_os("MOE_GOLDEN_DIR").map_or_else(here, PathBuf::from).join(family.folder)
}

fn compare(family: &Family) {
    let (mut agree, mut later, mut skipped) = (0, 0, 0);
    for (file, case) in cases(&folder(family)) {
        match check(family, &case).unwrap_or_else(|error| panic!("{file}: {error}")) {
            Outcome::Agrees => agree += 1,
            Outcome::Later => later += 1,
            Outcome::Skipped => skipped += 1,
        }
    }
    let mut line = format!("golden {}: {agree} vectors", family.folder);
    if later > 0 {
        line += &format!(" ({later} more need jitter or a permutation)");
    }
    if skipped > 0 {
        line += &format!(" ({skipped} more make no sense in single precision)");
    }
    println!("{line}");
    assert!(agree > 0, "{line}");
}

#[test]
fn softmax() {
    compare(&SOFTMAX);
}

#[test]
fn top_k() {
    compare(&TOP_K);
}

/// A case that agrees, from the tree whatever the environment says.
fn sound() -> Json {
    let file = include_str!("golden/topk/topk_n8_k3.json");
    serde_json::from_str(file).unwrap()
}

#[test]
fn a_changed_number_is_noticed() {
    assert_eq!(check(&TOP_K, &sound()), Ok(Outcome::Agrees));
    for pointer in [
        "/inputs/x/data/1/2",
        "/inputs/w/data/3/1",
        "/inputs/b/data/0",
        "/inputs/C/data/0/3",
        "/outputs/loss",
        "/grads/x/data/5/4",
        "/grads/w/data/7/0",
        "/grads/b/data/6",
    ] {
        let mut case = sound();
        let value = case.pointer_mut(pointer).unwrap();
        *value = (value.as_f64().unwrap() + 1e-4).into();
        assert!(check(&TOP_K, &case).is_err(), "{pointer}");
    }
    let mut case = sound();
    case["outputs"]["g"]["data"][0][0] = 1e-4.into();
    assert!(check(&TOP_K, &case).unwrap_err().starts_with("g is"));
    let mut case = sound();
    let row = case.pointer_mut("/outputs/selected_before_permutation/data/0").unwrap();
    row[0] = ((row[0].as_u64().unwrap() + 1) % 8).into();
    assert!(check(&TOP_K, &case).unwrap_err().starts_with("row 0 goes to"));
}

#[test]
fn jitter_and_permutations_are_left_for_later_by_what_they_are() {
    let mut case = sound();
    case["config"]["jitter"] = true.into();
    assert_eq!(check(&TOP_K, &case), Ok(Outcome::Later));
    // There is no jitter in inference.
    case["config"]["training"] = false.into();
    assert_eq!(check(&TOP_K, &case), Ok(Outcome::Agrees));
    case["inputs"]["P"]["data"][2][0][0] = 0.5.into();
    assert_eq!(check(&TOP_K, &case), Ok(Outcome::Later));
}

#[test]
fn an_unknown_form_is_refused() {
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut case = sound();
        change(&mut case);
        check(&TOP_K, &case).unwrap_err()
    };
    assert_eq!(
        refused(&|case| case["config"]["capacity"] = 3.into()),
        "unknown setting \"capacity\""
    );
    assert_eq!(refused(&|case| case["inputs"]["u"] = 3.into()), "unknown input \"u\"");
    assert_eq!(refused(&|case| case["outputs"]["aux"] = 3.into()), "unknown output \"aux\"");
    assert_eq!(refused(&|case| case["family"] = "softmax".into()), "of another family");
    assert_eq!(refused(&|case| case["dtype"] = "float32".into()), "not in double precision");
    assert_eq!(refused(&|case| case["grads"] = Json::Null), "no object \"grads\"");
    let shape = refused(&|case| case["config"]["B"] = 5.into());
    assert!(shape.contains("has not the shape [5, "), "{shape}");
    let missing = refused(&|case| case["inputs"]["w"]["data"][0] = Json::Null);
    assert!(missing.contains("\"w\" has not the shape"), "{missing}");
    assert_eq!(check(&TOP_K, &Json::Null).unwrap_err(), "not an object");
    assert!(check(&SOFTMAX, &sound()).is_err());
}
