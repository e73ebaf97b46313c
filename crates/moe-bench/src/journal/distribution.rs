//! The set of values that a parameter is drawn from.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::journal::json::{self, Spaces, as_number, number};

/// Optuna's distributions. A value has two forms: the external one, which a user sees, and the internal one, a float: for
/// categories the index of the choice, otherwise the value itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// A float, `low <= x <= high`.
    Float {
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
        /// Whether the logarithm is uniform; `low` is then above 0.
        log: bool,
        /// The distance of the values, counted from `low`; `None` for all floats.
        step: Option<f64>,
    },
    /// An integer, `low <= x <= high`.
    Int {
        /// The smallest value.
        low: i64,
        /// The largest value.
        high: i64,
        /// Whether the logarithm is uniform; `low` is then above 0 and `step` is 1.
        log: bool,
        /// The distance of the values, counted from `low`.
        step: i64,
    },
    /// One of several values.
    Categorical {
        /// The values: usually texts, numbers, booleans or null. A number that is not finite is as [`number`] makes it.
        choices: Vec<Value>,
    },
}

/// The text of a distribution.
#[derive(Deserialize)]
struct Named {
    name: String,
    attributes: Value,
}

impl Distribution {
    /// Reads the text that stands as `distribution` in a journal.
    ///
    /// # Errors
    /// If it is not a distribution of Optuna 5.0, or one without a value: says what is wrong.
    pub(crate) fn from_json(text: &str) -> Result<Distribution, String> {
        let Named { name, attributes } =
            json::parse(text).map_err(|error| format!("the distribution {text}: {error}"))?;
        let read = match name.as_str() {
            "FloatDistribution" => float(&attributes),
            "IntDistribution" => int(&attributes),
            "CategoricalDistribution" => attributes["choices"]
                .as_array()
                .map(|choices| Distribution::Categorical { choices: choices.clone() }),
            _ => {
                return Err(format!(
                    "the distribution {name} is unknown; known are FloatDistribution, IntDistribution and CategoricalDistribution"
                ));
            }
        };
        let distribution = read.ok_or_else(|| {
            format!("the distribution {text} lacks an attribute or has one of a wrong type")
        })?;
        match distribution.problem() {
            Some(problem) => Err(format!("the distribution {text}: {problem}")),
            None => Ok(distribution),
        }
    }

    /// Why there is no such distribution.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self {
            Distribution::Float { low, high, .. }
                if *low > *high || low.is_nan() || high.is_nan() =>
            {
                Some("low is above high")
            }
            Distribution::Int { low, high, .. } if low > high => Some("low is above high"),
            Distribution::Float { low, log: true, .. } if *low <= 0.0 => {
                Some("low must be above 0 where log is true")
            }
            Distribution::Int { low, log: true, .. } if *low < 1 => {
                Some("low must be above 0 where log is true")
            }
            Distribution::Float { log: true, step: Some(_), .. } => {
                Some("there is no step where log is true")
            }
            Distribution::Int { log: true, step, .. } if *step != 1 => {
                Some("step must be 1 where log is true")
            }
            Distribution::Float { step: Some(step), .. } if *step <= 0.0 || step.is_nan() => {
                Some("step must be above 0")
            }
            Distribution::Int { step, .. } if *step <= 0 => Some("step must be above 0"),
            Distribution::Categorical { choices } if choices.is_empty() => {
                Some("there are no choices")
            }
            _ => None,
        }
    }

    /// The text that Optuna writes for the distribution, byte for byte.
    pub(crate) fn to_json(&self) -> String {
        let (name, attributes) = match self {
            Distribution::Float { low, high, log, step } => (
                "FloatDistribution",
                vec![
                    ("step", step.map_or(Value::Null, number)),
                    ("low", number(*low)),
                    ("high", number(*high)),
                    ("log", json!(log)),
                ],
            ),
            Distribution::Int { low, high, log, step } => (
                "IntDistribution",
                vec![
                    ("log", json!(log)),
                    ("step", json!(step)),
                    ("low", json!(low)),
                    ("high", json!(high)),
                ],
            ),
            Distribution::Categorical { choices } => {
                ("CategoricalDistribution", vec![("choices", json!(choices))])
            }
        };
        let mut text = format!("{{\"name\": \"{name}\", \"attributes\": ");
        let attributes = attributes.iter().map(|(key, value)| (*key, value));
        json::write_object(attributes, Spaces::One, &mut text);
        text + "}"
    }

    /// The external form of an internal value; null for a choice that does not exist.
    pub(crate) fn to_external(&self, internal: f64) -> Value {
        match self {
            Distribution::Float { .. } => number(internal),
            Distribution::Int { .. } => json!(internal as i64),
            Distribution::Categorical { choices } => {
                self.choice(internal).map_or(Value::Null, |i| choices[i].clone())
            }
        }
    }

    /// The internal form of an external value. `None` for a value that is not a number, not above 0 where `log` is true, or
    /// not a choice; whether a number lies in the range is not looked at, as in Optuna.
    pub(crate) fn to_internal(&self, external: &Value) -> Option<f64> {
        match self {
            Distribution::Float { log, .. } | Distribution::Int { log, .. } => {
                as_number(external).filter(|number| !number.is_nan() && (!log || *number > 0.0))
            }
            Distribution::Categorical { choices } => {
                choices.iter().position(|choice| equal(choice, external)).map(|i| i as f64)
            }
        }
    }

    /// The index of the choice that an internal value stands for, if there is one.
    fn choice(&self, internal: f64) -> Option<usize> {
        match self {
            Distribution::Categorical { choices } => {
                (internal > -1.0 && internal < choices.len() as f64).then_some(internal as usize)
            }
            _ => None,
        }
    }

    /// Whether an internal value has an external form.
    pub(crate) fn has_external(&self, internal: f64) -> bool {
        match self {
            Distribution::Float { .. } => true,
            Distribution::Int { .. } => internal.is_finite(),
            Distribution::Categorical { .. } => self.choice(internal).is_some(),
        }
    }

    /// The internal value as Optuna writes it: an integer for a choice, otherwise a float.
    pub(crate) fn internal_to_json(&self, internal: f64) -> Value {
        self.choice(internal).map_or_else(|| number(internal), Value::from)
    }

    /// Whether one parameter of a study may have both distributions: they are of one kind, of one scale, and have the same
    /// choices. Ranges may differ. Readers drop a parameter that does not suit an earlier trial.
    pub(crate) fn is_compatible(&self, other: &Distribution) -> bool {
        match (self, other) {
            (Distribution::Float { log: a, .. }, Distribution::Float { log: b, .. })
            | (Distribution::Int { log: a, .. }, Distribution::Int { log: b, .. }) => a == b,
            (
                Distribution::Categorical { choices: a },
                Distribution::Categorical { choices: b },
            ) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
            _ => false,
        }
    }
}

/// Equality as in Python, where `1`, `1.0` and `true` are equal, with NaN equal to itself.
fn equal(a: &Value, b: &Value) -> bool {
    let float = |value: &Value| match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) if !number.is_f64() => {
            // Larger integers differ where their floats are equal.
            number.as_f64().filter(|float| float.abs() < 9e15)
        }
        value => as_number(value),
    };
    a == b || float(a).is_some_and(|a| Some(a) == float(b))
}

fn float(attributes: &Value) -> Option<Distribution> {
    let step = match &attributes["step"] {
        Value::Null => None,
        step => Some(as_number(step)?),
    };
    let [low, high] = [as_number(&attributes["low"])?, as_number(&attributes["high"])?];
    Some(Distribution::Float { low, high, log: is_log(attributes)?, step })
}

fn int(attributes: &Value) -> Option<Distribution> {
    let [low, high] = [attributes["low"].as_i64()?, attributes["high"].as_i64()?];
    let step = match &attributes["step"] {
        Value::Null => 1,
        step => step.as_i64()?,
    };
    Some(Distribution::Int { low, high, log: is_log(attributes)?, step })
}

fn is_log(attributes: &Value) -> Option<bool> {
    match &attributes["log"] {
        Value::Null => Some(false),
        log => log.as_bool(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of `optuna.distributions.distribution_to_json`, Optuna 5.0.0.
    const TEXTS: [&str; 6] = [
        r#"{"name": "FloatDistribution", "attributes": {"step": null, "low": 5e-05, "high": 0.005, "log": true}}"#,
        r#"{"name": "FloatDistribution", "attributes": {"step": 0.25, "low": -1.0, "high": 1.0, "log": false}}"#,
        r#"{"name": "IntDistribution", "attributes": {"log": false, "step": 2, "low": -4, "high": 8}}"#,
        r#"{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1024}}"#,
        r#"{"name": "CategoricalDistribution", "attributes": {"choices": ["top-k", 1, 0.5, true, null, NaN]}}"#,
        r#"{"name": "CategoricalDistribution", "attributes": {"choices": ["\u00e9\"\\", -Infinity, 1e-07]}}"#,
    ];

    #[test]
    fn texts_are_read_and_written_as_they_are() {
        for text in TEXTS {
            assert_eq!(Distribution::from_json(text).unwrap().to_json(), text);
        }
    }

    #[test]
    fn a_wrong_text_is_an_error_that_says_why() {
        let wrong = [
            ("", "EOF"),
            ("[]", "the distribution []"),
            (
                r#"{"name": "NormalDistribution", "attributes": {}}"#,
                "NormalDistribution is unknown",
            ),
            (r#"{"name": "FloatDistribution", "attributes": {"low": 1}}"#, "lacks an attribute"),
            (
                r#"{"name": "FloatDistribution", "attributes": {"low": 1, "high": 0}}"#,
                "low is above high",
            ),
            (
                r#"{"name": "FloatDistribution", "attributes": {"low": NaN, "high": 0}}"#,
                "low is above high",
            ),
            (
                r#"{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "log": true}}"#,
                "above 0",
            ),
            (
                r#"{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "step": 0}}"#,
                "step",
            ),
            (
                r#"{"name": "FloatDistribution", "attributes": {"low": 1, "high": 2, "log": true, "step": 1}}"#,
                "no step",
            ),
            (r#"{"name": "IntDistribution", "attributes": {"low": 1.5, "high": 2}}"#, "wrong type"),
            (
                r#"{"name": "IntDistribution", "attributes": {"low": 3, "high": 2}}"#,
                "low is above high",
            ),
            (
                r#"{"name": "IntDistribution", "attributes": {"low": 0, "high": 2, "log": true}}"#,
                "above 0",
            ),
            (
                r#"{"name": "IntDistribution", "attributes": {"low": 1, "high": 2, "log": true, "step": 2}}"#,
                "step must be 1",
            ),
            (
                r#"{"name": "IntDistribution", "attributes": {"low": 1, "high": 2, "step": 0}}"#,
                "step must be above 0",
            ),
            (r#"{"name": "CategoricalDistribution", "attributes": {"choices": []}}"#, "no choices"),
        ];
        for (text, problem) in wrong {
            let error = Distribution::from_json(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn values_have_two_forms() {
        let [float, _, _, int, choices, _] =
            TEXTS.map(|text| Distribution::from_json(text).unwrap());
        assert_eq!(float.to_external(0.001), json!(0.001));
        assert_eq!(float.to_internal(&json!(2)), Some(2.0));
        assert_eq!(float.to_internal(&json!(-1)), None, "log");
        assert_eq!(float.to_internal(&number(f64::NAN)), None);
        assert_eq!(int.to_external(8.0), json!(8));
        assert_eq!(int.internal_to_json(8.0).to_string(), "8.0");
        assert_eq!(int.to_internal(&json!("8")), None);
        assert_eq!(choices.to_external(2.0), json!(0.5));
        assert_eq!(choices.to_external(6.0), Value::Null);
        assert_eq!(choices.internal_to_json(2.0).to_string(), "2");
        // Python finds 1 before true.
        let indices = [("top-k".into(), 0.0), (json!(true), 1.0), (Value::Null, 4.0)];
        for (choice, index) in indices {
            assert_eq!(choices.to_internal(&choice), Some(index));
        }
        assert_eq!(choices.to_internal(&number(f64::NAN)), Some(5.0));
        assert_eq!(choices.to_internal(&json!("comet")), None);
        assert!(choices.has_external(5.0) && !choices.has_external(6.0));
        assert!(!choices.has_external(f64::NAN) && !int.has_external(f64::NAN));
    }

    #[test]
    fn kinds_scales_and_choices_must_agree() {
        let all = TEXTS.map(|text| Distribution::from_json(text).unwrap());
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.is_compatible(b), i == j, "{a:?} {b:?}");
            }
        }
        let wider = Distribution::Float { low: 1.0, high: 9.0, log: true, step: None };
        assert!(all[0].is_compatible(&wider));
        let choices = |choices: Value| Distribution::Categorical {
            choices: choices.as_array().unwrap().clone(),
        };
        assert!(choices(json!([1, true])).is_compatible(&choices(json!([1.0, 1]))));
        assert!(!choices(json!([1, 2])).is_compatible(&choices(json!([2, 1]))));
        let large = [9007199254740992_i64, 9007199254740993];
        assert!(!choices(json!([large[0]])).is_compatible(&choices(json!([large[1]]))));
    }
}
