//! A case as its file has it: settings, tensors, tolerances.

use moe_core::dispatch::Assignments;
use moe_core::{Mode, Real, Tensor};
use serde_json::{Map, Value as Json};

use crate::Family;
use crate::common::DOUBLE;

type Object = Map<String, Json>;

/// A case of known form. Messages name the key that is wrong.
pub(crate) struct Case<'a> {
    /// The whole file, for outputs that are not tensors.
    #[allow(dead_code)] // only searches have some
    pub(crate) file: &'a Json,
    config: &'a Object,
    inputs: &'a Object,
    outputs: &'a Object,
    grads: &'a Object,
    tolerance: &'a Object,
    /// How far the reference itself is off in single precision, if it was run so.
    single: Option<&'a Object>,
    notes: &'a str,
}

fn object<'a>(of: &'a Object, key: &str) -> Result<&'a Object, String> {
    of.get(key).and_then(Json::as_object).ok_or_else(|| format!("no object \"{key}\""))
}

fn number(of: &Object, key: &str) -> Result<f64, String> {
    of.get(key).and_then(Json::as_f64).ok_or_else(|| format!("no number \"{key}\""))
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

/// |a - reference| <= allowed for every element.
fn near(what: &str, a: &[f64], reference: &[f64], allowed: f64) -> Result<(), String> {
    let worst = a.iter().zip(reference).map(|(a, r)| (a - r).abs()).fold(0.0, f64::max);
    if a.len() == reference.len() && a.iter().all(|v| v.is_finite()) && worst <= allowed {
        Ok(())
    } else {
        Err(format!("{what} is {worst:e} apart, {allowed:e} allowed"))
    }
}

/// A tensor of the build's precision.
pub(crate) fn real(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::new(shape, values.iter().map(|&v| v as Real).collect())
}

/// The numbers of a tensor in double precision.
pub(crate) fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.as_slice().iter().map(|&v| f64::from(v)).collect()
}

impl<'a> Case<'a> {
    /// The case, if every key in it is one that the family knows.
    pub(crate) fn read(family: &Family, case: &'a Json) -> Result<Self, String> {
        const KEYS: [&str; 11] = [
            "name",
            "family",
            "source",
            "dtype",
            "notes",
            "config",
            "inputs",
            "outputs",
            "grads",
            "tolerance",
            "f32_reference_error",
        ];
        let file = case.as_object().ok_or("not an object")?;
        only(file, "key", &KEYS)?;
        let text = |key| file.get(key).and_then(Json::as_str).unwrap_or_default();
        if text("family") != family.folder {
            return Err("of another family".into());
        }
        if !family.dtypes.contains(&text("dtype")) {
            return Err(format!("not in {}", family.dtypes.join(" or ")));
        }
        let case = Case {
            file: case,
            config: object(file, "config")?,
            inputs: object(file, "inputs")?,
            outputs: object(file, "outputs")?,
            grads: object(file, "grads")?,
            tolerance: object(file, "tolerance")?,
            single: file.get("f32_reference_error").and_then(Json::as_object),
            notes: text("notes"),
        };
        only(case.config, "setting", family.config)?;
        only(case.inputs, "input", family.inputs)?;
        only(case.outputs, "output", family.outputs)?;
        only(case.grads, "gradient", family.grads)?;
        Ok(case)
    }

    /// Whether the reference says that the case makes no sense in single precision.
    pub(crate) fn needs_double(&self) -> bool {
        let error = self.single.and_then(|single| single.get("outputs_max_abs")?.as_f64());
        self.notes.contains("float64 only") || error.is_some_and(|error| error > 1e-3)
    }

    /// A setting that is a number.
    pub(crate) fn number(&self, key: &str) -> Result<f64, String> {
        number(self.config, key)
    }

    /// A setting that is a whole number.
    pub(crate) fn count(&self, key: &str) -> Result<usize, String> {
        let value = self.config.get(key).and_then(Json::as_u64);
        let value = value.ok_or_else(|| format!("no count \"{key}\""))?;
        usize::try_from(value).map_err(|error| error.to_string())
    }

    /// A setting that is `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, String> {
        self.config.get(key).and_then(Json::as_bool).ok_or_else(|| format!("no switch \"{key}\""))
    }

    /// A setting that is a word; empty where it is null.
    pub(crate) fn text(&self, key: &str) -> Result<&str, String> {
        let value = self.config.get(key).ok_or_else(|| format!("no setting \"{key}\""))?;
        Ok(value.as_str().unwrap_or_default())
    }

    /// Training, unless the setting `training` says otherwise.
    pub(crate) fn mode(&self) -> Result<Mode, String> {
        let infers = self.config.contains_key("training") && !self.flag("training")?;
        Ok(if infers { Mode::Infer } else { Mode::Train })
    }

    /// Whether the input `key` is there.
    pub(crate) fn has_input(&self, key: &str) -> bool {
        self.inputs.contains_key(key)
    }

    /// Whether the output `key` is there.
    pub(crate) fn has_output(&self, key: &str) -> bool {
        self.outputs.contains_key(key)
    }

    /// Whether the gradient of `key` is there.
    pub(crate) fn has_grad(&self, key: &str) -> bool {
        self.grads.contains_key(key)
    }

    /// The numbers of an input, row-major, if it has this shape.
    pub(crate) fn input(&self, key: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
        tensor(self.inputs, key, shape)
    }

    /// The numbers of an output, row-major, if it has this shape.
    pub(crate) fn output(&self, key: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
        tensor(self.outputs, key, shape)
    }

    /// Whether the gate of the case is permuted: `P` is there and not the identity in every copy.
    pub(crate) fn is_permuted(&self, n: usize) -> Result<bool, String> {
        Ok(self.labels(n)?.is_none_or(|labels| !labels.is_sorted()))
    }

    /// The expert that each output of the gate belongs to, if the permutation `P` of the case is that simple: the same
    /// zeros and ones in every copy. Without `P`, or where it is the identity, `0..n`.
    pub(crate) fn labels(&self, n: usize) -> Result<Option<Vec<usize>>, String> {
        let Some(p) = self.inputs.get("P") else { return Ok(Some((0..n).collect())) };
        let copies = p.get("shape").and_then(|shape| shape[0].as_u64()).ok_or("P has no shape")?;
        let p = self.input("P", &[copies as usize, n, n])?;
        let one = |row: &[f64]| row.iter().position(|&v| v == 1.0);
        let labels: Option<Vec<usize>> = p.chunks(n).take(n).map(one).collect();
        Ok(labels.filter(|labels| {
            let distinct = (0..n).all(|expert| labels.contains(&expert));
            let is_one = |i: usize| labels[i / n % n] == i % n;
            distinct && p.iter().enumerate().all(|(i, &v)| v == f64::from(u8::from(is_one(i))))
        }))
    }

    /// Compares the output `key`, a tensor of this shape.
    pub(crate) fn compare(&self, key: &str, found: &[f64], shape: &[usize]) -> Result<(), String> {
        let reference = self.output(key, shape)?;
        near(key, found, &reference, self.allowed("", &reference)?)
    }

    /// Compares the output `key`, a number.
    pub(crate) fn compare_number(&self, key: &str, found: f64) -> Result<(), String> {
        let reference = [number(self.outputs, key)?];
        near(key, &[found], &reference, self.allowed("", &reference)?)
    }

    /// Compares the gradient of `key`, a tensor of this shape.
    pub(crate) fn compare_grad(
        &self,
        key: &str,
        found: &[f64],
        shape: &[usize],
    ) -> Result<(), String> {
        let reference = tensor(self.grads, key, shape)?;
        let allowed = self.allowed("grad_", &reference)?;
        near(&format!("the gradient of {key}"), found, &reference, allowed)
    }

    /// Compares the output `key`, a list (or an integer tensor) of the experts of each row in any order.
    pub(crate) fn compare_sets(&self, key: &str, found: &Assignments) -> Result<(), String> {
        self.compare_sets_where(key, found, |_, _| true)
    }

    /// [`Case::compare_sets`], only for the (row, expert) pairs that `counts` admits.
    pub(crate) fn compare_sets_where(
        &self,
        key: &str,
        found: &Assignments,
        counts: impl Fn(usize, usize) -> bool,
    ) -> Result<(), String> {
        let stored = self.outputs.get(key).map(|stored| stored.get("data").unwrap_or(stored));
        let rows = stored.and_then(Json::as_array).filter(|rows| rows.len() == found.rows());
        let rows = rows.ok_or_else(|| format!("no {} sets \"{key}\"", found.rows()))?;
        for (row, wanted) in rows.iter().enumerate() {
            let wanted: Option<Vec<usize>> = wanted
                .as_array()
                .and_then(|set| set.iter().map(|e| Some(e.as_u64()? as usize)).collect());
            let mut wanted =
                wanted.ok_or_else(|| format!("row {row} of \"{key}\" is not a set"))?;
            let mut chosen: Vec<usize> = found.of_row(row).iter().map(|&e| e as usize).collect();
            wanted.sort_unstable();
            wanted.retain(|&expert| counts(row, expert));
            chosen.retain(|&expert| counts(row, expert));
            if chosen != wanted {
                return Err(format!("row {row} goes to {chosen:?}, not {wanted:?}"));
            }
        }
        Ok(())
    }

    /// How far from the reference is allowed; `prefix` is empty for outputs, `grad_` for gradients.
    fn allowed(&self, prefix: &str, reference: &[f64]) -> Result<f64, String> {
        let mut largest = reference.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        let relative = number(self.tolerance, &format!("{prefix}rtol"))?;
        let stated = number(self.tolerance, &format!("{prefix}atol"))? + relative * largest;
        if DOUBLE {
            return Ok(stated);
        }
        // Ten times the error of the reference itself in single precision, but at least 1e-6 of its size; a little more
        // for gradients whose error is not recorded.
        let mut error = 0.0;
        let least = if self.single.is_none() && !prefix.is_empty() { 3e-6 } else { 1e-6 };
        if let Some(single) = self.single {
            if prefix.is_empty() {
                error = number(single, "outputs_max_abs")?;
            } else {
                error = number(single, "grads_max_abs")?;
                largest = number(single, "grads_max_abs_value")?;
            }
        }
        if prefix.is_empty() {
            largest = largest.max(1.0);
        }
        Ok(stated.max(10.0 * error).max(least * largest))
    }
}
