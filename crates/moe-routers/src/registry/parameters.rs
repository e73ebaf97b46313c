use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use moe_core::Real;
use serde::{Deserialize, Serialize};

/// The value of a router's parameter, as in configurations.
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

/// An option that is a choice among words.
pub trait Choice: Copy + PartialEq + 'static {
    /// Each value, with the word for it in configurations.
    const WORDS: &'static [(&'static str, Self)];
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
    OneOf(Vec<&'static str>),
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

/// The description of a router's parameter, which `moe routers` lists and configurations are checked against.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Key of the parameter.
    pub name: &'static str,
    /// Value used if none is given.
    pub default: Value,
    /// Allowed values.
    pub range: Range,
    /// Meaning, in one line.
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
}

/// The parameters of a router, checked and complete.
///
/// Reading a parameter panics if the router did not declare it with that type, which is a fault of the router's code,
/// not of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    values: BTreeMap<&'static str, Value>,
}

impl Parameters {
    pub(crate) fn new(values: BTreeMap<&'static str, Value>) -> Self {
        Parameters { values }
    }

    /// The value of a number.
    pub fn real(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Real(v) => *v,
            other => panic!("parameter {name} is {other}, not a number"),
        }
    }

    /// All values by name, as the configuration of a run records them.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or_else(|| panic!("parameter {name} is not declared"))
    }
}
