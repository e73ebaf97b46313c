//! `[search]`: what `moe tune` searches, in the vocabulary of Optuna's `suggest_float`, `suggest_int` and
//! `suggest_categorical`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use toml::{Table, Value};

use crate::config::range::out_of_range;
use crate::error::Error;

/// The parameters of a search, by the key of the configuration that each sets, such as `train.learning_rate`.
///
/// Keys of `[routers.ID]` are searched in the trials of that router, all other keys in the trials of all routers. Keys may
/// be written with or without quotes:
/// ```
/// let config: moe_bench::Config = toml::from_str(
///     r#"
///     [search]
///     train.learning_rate = { suggest = "float", low = 5e-5, high = 5e-4, log = true }
///     "routers.comet.gamma" = { suggest = "categorical", choices = [0.01, 0.1, 1.0] }
///     "#,
/// )?;
/// let keys: Vec<&str> = config.search.0.keys().map(String::as_str).collect();
/// assert_eq!(keys, ["routers.comet.gamma", "train.learning_rate"]);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchSpace(pub BTreeMap<String, Suggestion>);

/// The values that a parameter may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "suggest", rename_all = "lowercase", deny_unknown_fields)]
pub enum Suggestion {
    /// A number from `low` to `high`: uniform, or uniform in its logarithm.
    Float {
        /// The least value.
        low: f64,
        /// The largest value.
        high: f64,
        /// Whether the logarithm is uniform.
        #[serde(default)]
        log: bool,
        /// The distance between values, counted from `low`; any number in between without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
    },
    /// A whole number from `low` to `high`: uniform, or uniform in its logarithm.
    Int {
        /// The least value.
        low: i64,
        /// The largest value.
        high: i64,
        /// Whether the logarithm is uniform.
        #[serde(default)]
        log: bool,
        /// The distance between values, counted from `low`.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        step: i64,
    },
    /// One of these values, each as likely as the others.
    Categorical {
        /// The values: numbers, words, true or false, or lists of them.
        choices: Vec<Value>,
    },
}

fn one() -> i64 {
    1
}

fn is_one(step: &i64) -> bool {
    *step == 1
}

impl SearchSpace {
    /// Whether nothing is searched.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the range of every value.
    ///
    /// # Errors
    /// The first wrong value, with what is allowed.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (key, suggestion) in &self.0 {
            suggestion.validate(&format!("search.{key}"))?;
        }
        Ok(())
    }
}

impl Suggestion {
    fn validate(&self, key: &str) -> Result<(), Error> {
        let refuse = |name: &str, value: &dyn std::fmt::Debug, allowed: &str| {
            Err(out_of_range(&format!("{key}.{name}"), value, allowed))
        };
        match self {
            Suggestion::Float { low, high, log, step } => {
                // Beyond this the numbers of a search are not told apart from infinity.
                if !low.is_finite() || (*log && *low <= 0.0) {
                    return refuse("low", low, "finite, and above 0 where log = true");
                }
                if !(high >= low && (high - low).is_finite()) {
                    return refuse("high", high, &format!("finite and at least low = {low}"));
                }
                match step {
                    Some(step) if !(*step > 0.0 && step.is_finite()) => {
                        refuse("step", step, "positive and finite")
                    }
                    Some(step) if *log => refuse("step", step, "left out where log = true"),
                    _ => Ok(()),
                }
            }
            Suggestion::Int { low, high, log, step } => {
                // Integers in the journal of a study are floating-point numbers.
                const LAST: i64 = 1 << 53;
                if !(-LAST..=LAST).contains(low) || (*log && *low < 1) {
                    return refuse(
                        "low",
                        low,
                        "from -2^53 to 2^53, and at least 1 where log = true",
                    );
                }
                if !(*low..=LAST).contains(high) {
                    return refuse("high", high, &format!("from low = {low} to 2^53"));
                }
                if *step < 1 || (*log && *step != 1) {
                    return refuse("step", step, "at least 1, and 1 where log = true");
                }
                Ok(())
            }
            Suggestion::Categorical { choices } => {
                if choices.is_empty() {
                    return refuse("choices", choices, "a list of at least one value");
                }
                for (i, choice) in choices.iter().enumerate() {
                    if choices[..i].contains(choice) {
                        return refuse("choices", choices, "values that differ from each other");
                    }
                    if matches!(choice, Value::Table(_) | Value::Datetime(_)) {
                        return refuse(
                            "choices",
                            choice,
                            "a number, a word, true, false or a list",
                        );
                    }
                }
                Ok(())
            }
        }
    }
}

impl Serialize for SearchSpace {
    /// Writes a table for each part of a key, as other sections of the configuration have them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut root = Table::new();
        for (key, suggestion) in &self.0 {
            let suggestion = Value::try_from(suggestion).map_err(ser::Error::custom)?;
            let (tables, last) = key.rsplit_once('.').unwrap_or(("", key));
            let mut table = &mut root;
            for part in tables.split('.').filter(|part| !part.is_empty()) {
                let child = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
                let wrong = || ser::Error::custom(format!("{key} is inside of another key"));
                table = child.as_table_mut().ok_or_else(wrong)?;
            }
            table.insert(last.to_owned(), suggestion);
        }
        root.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SearchSpace {
    /// Joins the parts of keys that are written without quotes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut space = BTreeMap::new();
        join("", Table::deserialize(deserializer)?, &mut space).map_err(de::Error::custom)?;
        Ok(SearchSpace(space))
    }
}

/// Adds the suggestions of a table whose key is `prefix`.
fn join(
    prefix: &str,
    table: Table,
    space: &mut BTreeMap<String, Suggestion>,
) -> Result<(), String> {
    for (part, value) in table {
        let key = if prefix.is_empty() { part } else { format!("{prefix}.{part}") };
        match value {
            Value::Table(table) if table.contains_key("suggest") => {
                let suggestion = Suggestion::deserialize(table);
                let suggestion =
                    suggestion.map_err(|error| format!("{key}: {}", error.message()))?;
                if space.insert(key.clone(), suggestion).is_some() {
                    return Err(format!("{key} is searched twice"));
                }
            }
            Value::Table(table) if !table.is_empty() => join(&key, table, space)?,
            _ => {
                return Err(format!(
                    "{key}: expected a table such as {{ suggest = \"float\", low = 1e-4, high = 1e-2, log = true }}, \
                     {{ suggest = \"int\", low = 1, high = 10 }} or {{ suggest = \"categorical\", choices = [1, 2] }}"
                ));
            }
        }
    }
    Ok(())
}

/// The router that a parameter is of, if it is that of one router.
pub(crate) fn router_of(name: &str) -> Option<&str> {
    name.strip_prefix("routers.")?.rsplit_once('.').map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(text: &str) -> Result<SearchSpace, String> {
        let space: SearchSpace =
            toml::from_str(text).map_err(|error| error.message().to_owned())?;
        space.validate().map_err(|error| error.to_string())?;
        Ok(space)
    }

    #[test]
    fn keys_are_joined_and_written_so_that_they_are_read_again() {
        let both = space(
            "train.learning_rate = { suggest = 'float', low = 1e-4, high = 1, log = true }\n\
             'routers.comet+.gamma' = { suggest = 'categorical', choices = [1, 0.5, 'x', [1, 2]] }\n\
             routers.'comet+'.search-epochs = { suggest = 'int', low = 1, high = 10 }\n",
        )
        .unwrap();
        let keys: Vec<&str> = both.0.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["routers.comet+.gamma", "routers.comet+.search-epochs", "train.learning_rate"]
        );
        let int = Suggestion::Int { low: 1, high: 10, log: false, step: 1 };
        assert_eq!(both.0["routers.comet+.search-epochs"], int);
        assert_eq!(space(&toml::to_string(&both).unwrap()).unwrap(), both);
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, says) in [
            ("a.b = 3", "a.b: expected a table such as"),
            ("a = {}", "a: expected a table such as"),
            ("a = { suggest = 'flaot', low = 1, high = 2 }", "a: unknown variant `flaot`"),
            ("a = { suggest = 'float', low = 1 }", "a: missing field `high`"),
            ("a = { suggest = 'float', low = 1, high = 2, lgo = true }", "a: unknown field `lgo`"),
            ("a = { suggest = 'float', low = 2, high = 1 }", "search.a.high = 1.0 is not allowed"),
            ("a = { suggest = 'float', low = 0, high = 1, log = true }", "search.a.low = 0.0"),
            ("a = { suggest = 'float', low = 0, high = inf }", "search.a.high = inf"),
            ("a = { suggest = 'float', low = nan, high = 1 }", "search.a.low = NaN"),
            ("a = { suggest = 'float', low = 0, high = 1, step = 0 }", "search.a.step = 0.0"),
            ("a = { suggest = 'int', low = 0, high = 4, log = true }", "search.a.low = 0"),
            ("a = { suggest = 'int', low = 0, high = 4, step = 0 }", "search.a.step = 0"),
            ("a = { suggest = 'int', low = 5, high = 4 }", "search.a.high = 4"),
            ("a = { suggest = 'categorical', choices = [] }", "search.a.choices = []"),
            ("a = { suggest = 'categorical', choices = [1, 1] }", "values that differ"),
            ("a = { suggest = 'categorical', choices = [{}] }", "a number, a word"),
            (
                "a.b = { suggest = 'int', low = 1, high = 2 }\n'a.b' = { suggest = 'int', low = 1, high = 2 }",
                "a.b is searched twice",
            ),
        ] {
            let error = space(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
