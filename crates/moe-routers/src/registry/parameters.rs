use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use moe_core::Real;
use serde::{Deserialize, Serialize};

use crate::registry::registry::RegistryError;

/// The value of a router's parameter, as configurations spell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A word.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(v) => v.fmt(f),
            Value::Int(v) => v.fmt(f),
            Value::Real(v) => v.fmt(f),
            Value::Text(v) => write!(f, "\"{v}\""),
        }
    }
}

/// The values that a parameter may take.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// `true` or `false`
    Bool,
    /// Whole numbers between two bounds, both allowed.
    Int(RangeInclusive<i64>),
    /// Numbers between two bounds, both allowed.
    Real(RangeInclusive<f64>),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Range {
    /// `value` in the type of the range (a whole number serves as a real one), if it lies inside.
    pub(crate) fn admit(&self, value: &Value) -> Option<Value> {
        let inside = match (self, value) {
            (Range::Bool, Value::Bool(_)) => true,
            (Range::Int(range), Value::Int(v)) => range.contains(v),
            (Range::Real(range), Value::Real(v)) => range.contains(v),
            (Range::Real(_), Value::Int(v)) => return self.admit(&Value::Real(*v as f64)),
            (Range::OneOf(words), Value::Text(v)) => words.contains(&v.as_str()),
            _ => false,
        };
        inside.then(|| value.clone())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Bool => f.write_str("true or false"),
            Range::Int(range) => {
                write!(f, "a whole number from {} to {}", range.start(), range.end())
            }
            Range::Real(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Range::OneOf(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A parameter of a router: what `moe routers` lists and configurations are checked against.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Its key.
    pub name: &'static str,
    /// Its value where none is given.
    pub default: Value,
    /// What it may be.
    pub range: Range,
    /// What it does, in one line.
    pub doc: &'static str,
}

impl ParameterSpec {
    /// A number.
    pub fn real(
        name: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
        doc: &'static str,
    ) -> Self {
        // As short as this build's precision allows: a default of 0.1 in single precision is not 0.10000000149.
        let default = (default as Real).to_string().parse().unwrap_or(default);
        ParameterSpec { name, default: Value::Real(default), range: Range::Real(range), doc }
    }

    /// A whole number.
    pub fn int(
        name: &'static str,
        default: i64,
        range: RangeInclusive<i64>,
        doc: &'static str,
    ) -> Self {
        ParameterSpec { name, default: Value::Int(default), range: Range::Int(range), doc }
    }

    /// A switch.
    pub fn bool(name: &'static str, default: bool, doc: &'static str) -> Self {
        ParameterSpec { name, default: Value::Bool(default), range: Range::Bool, doc }
    }

    /// A choice of words.
    pub fn one_of(
        name: &'static str,
        default: &'static str,
        words: &'static [&'static str],
        doc: &'static str,
    ) -> Self {
        ParameterSpec {
            name,
            default: Value::Text(default.into()),
            range: Range::OneOf(words),
            doc,
        }
    }
}

impl ParameterSpec {
    /// The parameter `temperature`, 1 by default.
    pub(crate) fn temperature() -> Self {
        Self::real("temperature", 1.0, 1e-3..=1e3, "what the gate logits are divided by")
    }
}

/// The parameters of a router, checked and complete.
///
/// The accessors panic if the router has not declared the parameter with that type: that is a fault of the
/// router's code, not of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    values: BTreeMap<&'static str, Value>,
}

impl Parameters {
    /// The given values checked against `specs`, with defaults for the others.
    pub(crate) fn resolve(
        router: &str,
        specs: &[ParameterSpec],
        given: &BTreeMap<String, Value>,
    ) -> Result<Self, RegistryError> {
        let known = || specs.iter().map(|spec| spec.name);
        if let Some(key) = given.keys().find(|key| !known().any(|name| name == **key)) {
            return Err(RegistryError::UnknownParameter {
                router: router.into(),
                key: key.clone(),
                nearest: moe_core::nearest_name(key, known()).map(Into::into),
                known: known().map(Into::into).collect(),
            });
        }
        let values = specs.iter().map(|spec| {
            let value = match given.get(spec.name) {
                None => spec.default.clone(),
                Some(value) => {
                    spec.range.admit(value).ok_or_else(|| RegistryError::BadParameter {
                        router: router.into(),
                        key: spec.name.into(),
                        value: value.clone(),
                        allowed: spec.range.to_string(),
                    })?
                }
            };
            Ok((spec.name, value))
        });
        Ok(Parameters { values: values.collect::<Result<_, _>>()? })
    }

    /// A number.
    pub fn real(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Real(v) => *v,
            other => panic!("parameter {name} is {other}, not a number"),
        }
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(v) => *v,
            other => panic!("parameter {name} is {other}, not a whole number"),
        }
    }

    /// A switch.
    pub fn bool(&self, name: &str) -> bool {
        match self.get(name) {
            Value::Bool(v) => *v,
            other => panic!("parameter {name} is {other}, not a switch"),
        }
    }

    /// A word.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Value::Text(v) => v,
            other => panic!("parameter {name} is {other}, not a word"),
        }
    }

    /// All values by name: what a run's configuration records.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    fn get(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or_else(|| panic!("parameter {name} is not declared"))
    }
}
