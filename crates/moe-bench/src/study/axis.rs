//! A parameter of a search as an interval of numbers, in which samplers choose uniformly or by density.

use serde_json::Value as Json;

use crate::config::search::Suggestion;
use crate::journal::distribution::Distribution;

/// The interval of a parameter. A point in it is rounded to a value of the parameter.
///
/// Of a logarithmic parameter the interval is that of the logarithm; each whole number, step or choice has a part of length
/// 1 of its own (in a logarithmic parameter, what lies between the logarithms), as in Optuna's samplers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis<'a>(pub(crate) &'a Suggestion);

impl Axis<'_> {
    /// The ends of the interval. They are the same if there is one value only.
    pub(crate) fn interval(self) -> [f64; 2] {
        match *self.0 {
            Suggestion::Float { low, high, log: true, .. } => [low.ln(), high.ln()],
            Suggestion::Float { low, high, step: None, .. } => [low, high],
            Suggestion::Float { low, high, step: Some(step), .. } => {
                [-0.5, last_step(low, high, step) + 0.5]
            }
            Suggestion::Int { low, high, log: true, .. } => {
                [(low as f64 - 0.5).ln(), (high as f64 + 0.5).ln()]
            }
            Suggestion::Int { low, high, step, .. } => [-0.5, ((high - low) / step) as f64 + 0.5],
            Suggestion::Categorical { ref choices } => [0.0, choices.len() as f64],
        }
    }

    /// Whether points near to each other have nothing in common.
    pub(crate) fn is_categorical(self) -> bool {
        matches!(self.0, Suggestion::Categorical { .. })
    }

    /// The value at a point, as a journal has it: a number, or the index of a choice.
    pub(crate) fn value(self, point: f64) -> f64 {
        match *self.0 {
            Suggestion::Float { low, high, log: true, .. } => point.exp().clamp(low, high),
            Suggestion::Float { low, high, step: None, .. } => point.clamp(low, high),
            Suggestion::Float { low, high, step: Some(step), .. } => {
                low + step * point.round().clamp(0.0, last_step(low, high, step))
            }
            Suggestion::Int { low, high, log: true, .. } => {
                point.exp().round().clamp(low as f64, high as f64)
            }
            Suggestion::Int { low, high, step, .. } => {
                let steps = point.round().clamp(0.0, ((high - low) / step) as f64);
                (low + step * steps as i64) as f64
            }
            Suggestion::Categorical { ref choices } => {
                point.floor().clamp(0.0, choices.len() as f64 - 1.0)
            }
        }
    }

    /// The point of a value.
    pub(crate) fn point(self, value: f64) -> f64 {
        match *self.0 {
            Suggestion::Float { log: true, .. } | Suggestion::Int { log: true, .. } => value.ln(),
            Suggestion::Float { step: None, .. } => value,
            Suggestion::Float { low, step: Some(step), .. } => ((value - low) / step).round(),
            Suggestion::Int { low, step, .. } => ((value - low as f64) / step as f64).round(),
            Suggestion::Categorical { .. } => value + 0.5,
        }
    }

    /// The parameter as a journal describes it.
    pub(crate) fn distribution(self) -> Distribution {
        match *self.0 {
            Suggestion::Float { low, high, log, step } => {
                let high = step.map_or(high, |step| low + step * last_step(low, high, step));
                Distribution::Float { low, high, log, step }
            }
            Suggestion::Int { low, high, log, step } => {
                Distribution::Int { low, high: low + (high - low) / step * step, log, step }
            }
            Suggestion::Categorical { ref choices } => {
                Distribution::Categorical { choices: choices.iter().map(choice).collect() }
            }
        }
    }
}

/// The number of steps from `low` to the largest value that is not above `high`, but for rounding.
fn last_step(low: f64, high: f64, step: f64) -> f64 {
    ((high - low) / step * (1.0 + 1e-12)).floor()
}

/// A choice as Optuna allows it. A list is the text of its TOML.
fn choice(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(word) => word.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Suggestion> {
        vec![
            Suggestion::Float { low: 1e-4, high: 1e-1, log: true, step: None },
            Suggestion::Float { low: -2.0, high: 3.0, log: false, step: None },
            Suggestion::Float { low: 0.0, high: 1.0, log: false, step: Some(0.3) },
            Suggestion::Float { low: 0.5, high: 0.5, log: false, step: None },
            Suggestion::Int { low: -3, high: 9, log: false, step: 1 },
            Suggestion::Int { low: 1, high: 10, log: false, step: 4 },
            Suggestion::Int { low: 1, high: 1000, log: true, step: 1 },
            Suggestion::Categorical { choices: vec![1.into(), "x".into(), true.into()] },
        ]
    }

    #[test]
    fn every_point_has_a_value_whose_point_has_the_same_value() {
        for suggestion in all() {
            let axis = Axis(&suggestion);
            let [low, high] = axis.interval();
            let distribution = axis.distribution();
            for i in 0..=100 {
                let value = axis.value(low + (high - low) * f64::from(i) / 100.0);
                let again = axis.value(axis.point(value));
                assert!((again - value).abs() <= 1e-15 * value.abs(), "{suggestion:?}: {value}");
                let (low, high) = match distribution {
                    Distribution::Float { low, high, .. } => (low, high),
                    Distribution::Int { low, high, .. } => (low as f64, high as f64),
                    Distribution::Categorical { ref choices } => (0.0, choices.len() as f64 - 1.0),
                };
                assert!((low..=high).contains(&value), "{suggestion:?}: {value}");
            }
        }
    }

    #[test]
    fn values_are_equally_long() {
        let counts = |suggestion: &Suggestion| {
            let axis = Axis(suggestion);
            let [low, high] = axis.interval();
            let mut counts = std::collections::BTreeMap::new();
            for i in 0..1200 {
                let point = low + (high - low) * (f64::from(i) + 0.5) / 1200.0;
                *counts.entry(axis.value(point).to_string()).or_insert(0) += 1;
            }
            counts
        };
        let all = all();
        for (suggestion, each) in [(&all[2], 300), (&all[5], 400), (&all[7], 400)] {
            assert!(counts(suggestion).values().all(|&count| count == each), "{suggestion:?}");
        }
        let steps: Vec<String> = counts(&all[5]).into_keys().collect();
        assert_eq!(steps, ["1", "5", "9"]);
    }

    #[test]
    fn lists_are_words_in_a_journal() {
        let weights = toml::Value::Array(vec![0.1.into(), 0.9.into()]);
        assert_eq!(choice(&weights), Json::from("[0.1, 0.9]"));
        assert_eq!(choice(&2.into()), Json::from(2));
    }
}
