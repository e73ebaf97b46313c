//! What a command line says about keys of the configuration: `--set`, and flags that stand for a key.

use moe_nn::Models;
use serde::Deserialize;
use toml::{Table, Value};

use crate::config::Config;
use crate::config::text::in_plain_words;
use crate::error::Error;

/// A value for a key.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// What the user wrote, such as `--set run.seeds=3` or `--seeds 3`.
    text: String,
    /// The parts of the key, such as `run` and `seeds`.
    key: Vec<String>,
    value: Value,
}

/// What a command reads of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// `[dataset]`, for `moe data`.
    Data,
    /// One run, of the first router.
    Run,
    /// Runs of several routers.
    Comparison,
    /// Trials of several routers, for `moe tune`.
    Study,
}

impl Assignment {
    /// The flag `text` for `key`.
    pub(crate) fn of_flag(text: String, key: &str, value: impl Into<Value>) -> Self {
        Assignment { text, key: key.split('.').map(Into::into).collect(), value: value.into() }
    }

    /// The assignment of `--set KEY=VALUE`. A part of the key may be quoted as in TOML; a value that is not TOML is a word.
    ///
    /// # Errors
    /// If `text` has another form.
    pub(crate) fn of_set(text: &str) -> Result<Self, Error> {
        let Some((key, word)) = split(text) else {
            let problem = "write --set KEY=VALUE, such as --set train.epochs=5";
            return Err(Error::Config(format!("--set {text}: {problem}")));
        };
        let table = toml::from_str::<Table>(&format!("value = {word}"));
        let table = table.ok().filter(|table| table.len() == 1);
        let value = table.and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| Value::String(word.trim().into()));
        Ok(Assignment { text: format!("--set {text}"), key, value })
    }

    /// The value for the key.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// The key that both have a value for, if they are not the same.
    fn contradicts(&self, other: &Assignment) -> Option<String> {
        let (short, long) =
            if self.key.len() <= other.key.len() { (self, other) } else { (other, self) };
        let inner = long.key.strip_prefix(&short.key[..])?;
        let value = inner.iter().try_fold(&short.value, |value, part| value.get(part))?;
        (!is_same(value, &long.value)).then(|| long.key.join("."))
    }
}

impl Config {
    /// The configuration with one key changed, as `--set a.b=c` does. A part of the key may be quoted as in TOML
    /// (`routers."comet+".gamma=0.1`); a value that is not TOML is a word.
    ///
    /// # Errors
    /// If the key is unknown or the value has the wrong type.
    pub fn with(&self, assignment: &str) -> Result<Self, Error> {
        self.with_all(&[Assignment::of_set(assignment)?])
    }

    /// The configuration with all of these keys changed. A key of `[model]` or `[train]` then holds for all routers, whatever
    /// `[per_router]` had for it.
    ///
    /// # Errors
    /// If two of them say different things about a key, a key is unknown or a value has the wrong type.
    pub(crate) fn with_all(&self, assignments: &[Assignment]) -> Result<Self, Error> {
        for (i, later) in assignments.iter().enumerate() {
            for earlier in &assignments[..i] {
                if let Some(key) = earlier.contradicts(later) {
                    return Err(Error::Config(format!(
                        "{} and {} say different things about {key}; keep one of them",
                        earlier.text, later.text
                    )));
                }
            }
        }
        let all: Vec<&Assignment> = assignments.iter().collect();
        self.changed(&all).map_err(|(problem, blamed)| {
            // The one that is wrong by itself, or all that are only wrong together.
            let alone = |assignment: &&&Assignment| {
                self.changed(&[**assignment]).is_err_and(|(alone, _)| alone == problem)
            };
            let blamed = blamed.or_else(|| all.iter().find(alone).map(|one| one.text.clone()));
            let texts = || all.iter().map(|one| &*one.text).collect::<Vec<_>>().join(" ");
            Error::Config(format!("{}: {problem}", blamed.unwrap_or_else(texts)))
        })
    }

    /// The configuration with these keys changed, or what is wrong, and the text of the assignment that is wrong if that
    /// is known.
    fn changed(&self, assignments: &[&Assignment]) -> Result<Self, (String, Option<String>)> {
        // A value that TOML cannot hold was there before; `validate` names it.
        let mut root = Table::try_from(self).map_err(|error| {
            let named = self.validate().err().map(|error| error.to_string());
            (named.unwrap_or_else(|| error.to_string()), None)
        })?;
        let mut assignments = assignments.to_vec();
        // A whole table before its keys.
        assignments.sort_by_key(|assignment| assignment.key.len());
        for Assignment { text, key, value } in assignments {
            let (last, parts) = key.split_last().expect("a key has parts");
            let mut table = &mut root;
            for part in parts {
                let child = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
                table = child.as_table_mut().ok_or_else(|| {
                    (format!("\"{part}\" is a value, not a table of keys"), Some(text.clone()))
                })?;
            }
            table.insert(last.clone(), value.clone());
            for_all_routers(&mut root, key);
        }
        Config::deserialize(root).map_err(|error| (in_plain_words(error.message()), None))
    }

    /// Refuses assignments that change nothing of what a command reads of this configuration, which they are part of.
    ///
    /// # Errors
    /// The first such assignment, and why it has no effect.
    pub(crate) fn check_effect(
        &self,
        assignments: &[Assignment],
        reads: Reads,
        models: &Models,
    ) -> Result<(), Error> {
        let routers = match reads {
            Reads::Run => self.run.routers.get(..1).unwrap_or_default(),
            _ => &self.run.routers,
        };
        // What is not known is refused with the nearest name later.
        let is_idle =
            |name: &str| !routers.iter().any(|id| id == name) && models.info(name).is_ok();
        let not_among = |name: &str| {
            format!("{name} is not among the routers that run: {}", routers.join(", "))
        };
        for Assignment { text, key, .. } in assignments {
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let reason = match (reads, &key[..]) {
                (Reads::Data, ["dataset", ..]) => continue,
                (Reads::Data, _) => "moe data reads [dataset] only".into(),
                (Reads::Study, ["run", "seeds" | "first_seed"]) => {
                    "the seeds of the trials of a study follow from tune.seed".into()
                }
                (Reads::Study, ["run", "baseline"]) => "moe tune compares no routers".into(),
                (Reads::Run | Reads::Comparison, ["search" | "tune", ..]) => {
                    "only moe tune reads [search] and [tune]".into()
                }
                (_, ["routers" | "per_router", name, ..]) if is_idle(name) => not_among(name),
                (Reads::Run, ["run", "routers"]) if self.run.routers.len() > 1 => {
                    "moe train trains one router; name it with --router".into()
                }
                (Reads::Run, ["run", "seeds" | "baseline"]) => {
                    "moe train trains one run; moe compare trains several".into()
                }
                (Reads::Comparison, ["run", "baseline"]) if is_idle(&self.run.baseline) => {
                    not_among(&self.run.baseline)
                }
                _ => continue,
            };
            return Err(Error::Config(format!("{text} has no effect: {reason}")));
        }
        Ok(())
    }
}

/// Removes what `[per_router]` has for a key of `[model]` or `[train]`.
fn for_all_routers(root: &mut Table, key: &[String]) {
    let Some((section, key)) = key.split_first() else { return };
    let Some(Value::Table(routers)) = root.get_mut("per_router") else { return };
    routers.retain(|_, of_router| {
        let Value::Table(of_router) = of_router else { return true };
        let is_empty = match (of_router.get_mut(section), key.first()) {
            (Some(Value::Table(keys)), Some(key)) => keys.remove(key).is_some() && keys.is_empty(),
            (Some(_), None) => true,
            _ => false,
        };
        if is_empty {
            of_router.remove(section);
        }
        !(is_empty && of_router.is_empty())
    });
}

/// The parts of the key and the value of `KEY=VALUE`.
fn split(text: &str) -> Option<(Vec<String>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let end = match rest.trim_start().chars().next()? {
            quote @ ('"' | '\'') => {
                let start = rest.find(quote)?;
                quoted_end(rest, start, quote)?
            }
            _ => rest.find(['.', '='])?,
        };
        let (part, after) = rest.split_at(end);
        parts.push(unquoted(part.trim())?);
        let after = after.trim_start();
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None => return Some((parts, after.strip_prefix('=')?)),
        }
    }
}

/// The place after the quote that closes the one at `start`.
fn quoted_end(text: &str, start: usize, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (place, char) in text.char_indices().skip_while(|&(place, _)| place <= start) {
        if char == quote && !is_escaped {
            return Some(place + char.len_utf8());
        }
        is_escaped = quote == '"' && char == '\\' && !is_escaped;
    }
    None
}

/// A part of a key without quotes and escapes.
fn unquoted(part: &str) -> Option<String> {
    if !part.starts_with(['"', '\'']) {
        return Some(part.into());
    }
    let table = toml::from_str::<Table>(&format!("{part} = 0")).ok()?;
    table.keys().next().cloned()
}

/// Whether two values are the same; 1 is the same as 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(one), Value::Float(other)) | (Value::Float(other), Value::Integer(one)) => {
            *one as f64 == *other
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use moe_routers::Value as RouterValue;

    use super::*;

    fn all(texts: &[&str]) -> Result<Config, String> {
        let assignments = texts.iter().map(|text| Assignment::of_set(text));
        let assignments = assignments.collect::<Result<Vec<_>, _>>();
        let changed = assignments.and_then(|all| Config::default().with_all(&all));
        changed.map_err(|error| error.to_string())
    }

    fn message(result: Result<Config, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn keys_are_set_by_path() {
        let config = Config::default();
        let changed = config.with("train.epochs=7").unwrap();
        assert_eq!(changed.train.epochs, 7);
        let changed = changed.with("routers.top-k.load-balance=0.1").unwrap();
        assert_eq!(changed.routers["top-k"]["load-balance"], RouterValue::Real(0.1));
        let changed = changed.with("dataset.name=restaurant").unwrap();
        assert_eq!(changed.dataset.name, "restaurant");
        assert_eq!(changed.with("model.head_widths=[8, 4]").unwrap().model.head_widths, [8, 4]);

        assert!(message(config.with("train.epochs")).contains("KEY=VALUE"));
        assert!(message(config.with("train.epocs=1")).contains("did you mean \"epochs\"?"));
        assert!(message(config.with("trian.epochs=1")).contains("did you mean \"train\"?"));
        assert!(message(config.with("train.epochs.x=1")).contains("not a table"));
        assert!(message(config.with("train.epochs=-1")).contains("--set train.epochs=-1"));
        assert!(message(config.with("dataset.sead=1")).contains("did you mean \"seed\"?"));
        assert!(message(config.with("train..epochs=1")).contains("unknown field ``"));
        assert!(message(config.with("train.optimizer=adma")).contains("did you mean \"adam\"?"));
        assert!(message(config.with("=1")).contains("unknown field ``"));
    }

    #[test]
    fn keys_may_be_quoted() {
        for text in [
            r#"routers."comet+".gamma=0.1"#,
            "routers.'comet+'.gamma = 0.1",
            r#"routers."\u0063omet+"."gamma"=0.1"#,
            "routers.comet+.gamma=0.1",
        ] {
            assert_eq!(all(&[text]).unwrap().routers["comet+"]["gamma"], RouterValue::Real(0.1));
        }
        let dotted = all(&[r#"routers."a.b=c".d=x=y"#]).unwrap();
        assert_eq!(dotted.routers["a.b=c"]["d"], RouterValue::Text("x=y".into()));
        for text in [r#"routers."comet+.gamma=0.1"#, r#"routers."a"b.c=1"#, "a", ""] {
            let error = all(&[text]).unwrap_err();
            assert_eq!(
                error,
                format!("--set {text}: write --set KEY=VALUE, such as --set train.epochs=5")
            );
        }
    }

    #[test]
    fn the_order_of_assignments_does_not_matter() {
        let pieces = ["dataset.table.file=a.csv", "dataset.table.targets=[]"];
        let more = ["dataset.table={file='a.csv', targets=[]}", "dataset.table.numbers=['x']"];
        for [a, b] in [pieces, more] {
            let both = all(&[a, b]).unwrap();
            assert_eq!(all(&[b, a]).unwrap(), both);
            assert_eq!(both.dataset.options.table.unwrap().file.to_str(), Some("a.csv"));
        }
        let error = all(&pieces[..1]).unwrap_err();
        assert_eq!(error, "--set dataset.table.file=a.csv: missing field `targets`");
    }

    #[test]
    fn what_is_said_twice_must_be_the_same() {
        for same in [
            ["train.epochs=3", "train.epochs=3"],
            ["train.learning_rate=1", "train.learning_rate=1.0"],
            ["run={seeds=2}", "run.seeds=2"],
            ["run.baseline=softmax", "run.baseline=\"softmax\""],
        ] {
            all(&same).unwrap();
        }
        for [a, b, key] in [
            ["train.epochs=3", "train.epochs=4", "train.epochs"],
            ["run={seeds=2}", "run.seeds=3", "run.seeds"],
            ["run.seeds=3", "run={seeds=2}", "run.seeds"],
        ] {
            let error = all(&[a, b]).unwrap_err();
            let says = "say different things about";
            assert_eq!(error, format!("--set {a} and --set {b} {says} {key}; keep one of them"));
        }
    }

    #[test]
    fn the_wrong_one_is_named() {
        let error = all(&["train.epochs=3", "train.epocs=1", "model.k=2"]).unwrap_err();
        assert!(error.starts_with("--set train.epocs=1: unknown field `epocs`"), "{error}");
        let error = all(&["model.k=2", "model.k.x=2"]).unwrap_err();
        assert_eq!(error, "--set model.k.x=2: \"k\" is a value, not a table of keys");
    }
}
