use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moe_core::Real;
use moe_core::batch::TaskSpec;
use moe_data::LoadOptions;
use moe_nn::{AdamOptions, MixtureDescription, TrainOptions};
use moe_routers::Value;
use serde::{Deserialize, Serialize};

use crate::Error;

const PRESETS: [(&str, &str); 3] = [
    ("smoke", include_str!("../presets/smoke.toml")),
    ("quick", include_str!("../presets/quick.toml")),
    ("movielens", include_str!("../presets/movielens.toml")),
];

/// An experiment: what is read from a TOML file and written, complete, beside the results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[dataset]`
    pub dataset: DatasetConfig,
    /// `[model]`
    pub model: ModelConfig,
    /// `[train]`
    pub train: TrainConfig,
    /// `[run]`
    pub run: RunConfig,
    /// `[routers.ID]`: parameters of routers; see `moe routers`.
    pub routers: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Which data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetConfig {
    /// Id of the data set; see `moe data list`.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: LoadOptions,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        DatasetConfig { name: "multi-optdigits".into(), options: LoadOptions::default() }
    }
}

/// `name` beside the options: done by hand because serde cannot deny unknown keys of a flattened struct.
impl<'de> Deserialize<'de> for DatasetConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut table = toml::Table::deserialize(deserializer)?;
        let name = match table.remove("name") {
            None => DatasetConfig::default().name,
            Some(toml::Value::String(name)) => name,
            Some(other) => return Err(D::Error::custom(format!("name = {other} is not a word"))),
        };
        let options = LoadOptions::deserialize(table).map_err(|error| {
            D::Error::custom(error.message().replace("one of ", "one of `name`, "))
        })?;
        Ok(DatasetConfig { name, options })
    }
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// N, number of experts.
    pub experts: usize,
    /// K, experts per row, for routers that use it.
    pub k: usize,
    /// Width of an embedding, for data sets with ids.
    pub embedding_width: usize,
    /// Width of an expert's output.
    pub expert_width: usize,
    /// Probability with which outputs of experts are dropped in training.
    pub expert_dropout: f64,
    /// Widths of the hidden layers of each task's head.
    pub head_widths: Vec<usize>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            experts: 16,
            k: 2,
            embedding_width: 128,
            expert_width: 256,
            expert_dropout: 0.5,
            head_widths: vec![256],
        }
    }
}

/// How it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Largest number of epochs.
    pub epochs: usize,
    /// Epochs without a better validation loss before training stops.
    pub patience: usize,
    /// Rows per step.
    pub batch_rows: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Decay of Adam's first moment.
    pub beta1: f64,
    /// Decay of Adam's second moment.
    pub beta2: f64,
    /// Added to the root of Adam's second moment.
    pub epsilon: f64,
    /// Weight of each task's loss, in the data set's order; empty: 1 for each.
    pub task_weights: Vec<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 100,
            patience: 25,
            batch_rows: 512,
            learning_rate: 5e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-7,
            task_weights: Vec::new(),
        }
    }
}

/// Which runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Ids of the routers to compare; see `moe routers`.
    pub routers: Vec<String>,
    /// The router that the others are held against; the first one if it is not among them.
    pub baseline: String,
    /// Number of runs per router.
    pub seeds: usize,
    /// Seed of the first run; the others follow.
    pub first_seed: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            routers: vec!["softmax".into(), "top-k".into()],
            baseline: "top-k".into(),
            seeds: 3,
            first_seed: 1,
        }
    }
}

impl Config {
    /// A configuration that comes with the program: `smoke`, `quick` or `movielens`.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn preset(name: &str) -> Result<Self, Error> {
        let names = || PRESETS.iter().map(|(name, _)| *name);
        let Some((_, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) else {
            let nearest = moe_core::nearest_name(name, names());
            return Err(Error::Config(format!(
                "unknown preset \"{name}\"{}; known presets: {}",
                did_you_mean(nearest),
                names().collect::<Vec<_>>().join(", ")
            )));
        };
        Self::parse(text).map_err(|problem| Error::Config(format!("preset {name}: {problem}")))
    }

    /// A configuration from a TOML file; keys that are not there have their defaults.
    ///
    /// # Errors
    /// If the file cannot be read, is no TOML, or has an unknown key or a value of the wrong type; the error names
    /// line and column.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        Self::parse(&text)
            .map_err(|problem| Error::Config(format!("{}: {problem}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            format!("{}{}", error.to_string().trim_end(), suggestion(error.message()))
        })
    }

    /// The configuration with one key changed, as `--set a.b=c` does. The value is read as TOML, or as a word if it
    /// is none.
    ///
    /// # Errors
    /// If the key is unknown or the value of the wrong type.
    pub fn with(&self, assignment: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Config(format!("--set {assignment}: {problem}"));
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(wrong("write --set KEY=VALUE, such as --set train.epochs=5".into()));
        };
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.into()));
        let mut root = toml::Table::try_from(self).expect("a configuration is a table");
        let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = &mut root;
        for part in parents.split('.').filter(|part| !part.is_empty()) {
            let child = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            table = child
                .as_table_mut()
                .ok_or_else(|| wrong(format!("\"{part}\" is a value, not a table of keys")))?;
        }
        table.insert(last.into(), value);
        Config::deserialize(root)
            .map_err(|error| wrong(format!("{}{}", error.message(), suggestion(error.message()))))
    }

    /// Checks every value that its type alone does not.
    ///
    /// # Errors
    /// The first value that is out of range, with what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let ModelConfig { experts, embedding_width, expert_width, expert_dropout, .. } = self.model;
        let TrainConfig {
            epochs, patience, batch_rows, learning_rate, beta1, beta2, epsilon, ..
        } = self.train;
        for (key, value) in [
            ("model.experts", experts),
            ("model.embedding_width", embedding_width),
            ("model.expert_width", expert_width),
            ("train.epochs", epochs),
            ("train.patience", patience),
            ("train.batch_rows", batch_rows),
            ("run.seeds", self.run.seeds),
            ("run.routers", self.run.routers.len()),
        ]
        .into_iter()
        .chain(self.model.head_widths.iter().map(|&width| ("model.head_widths", width)))
        {
            const MOST: usize = 1 << 24;
            if !(1..=MOST).contains(&value) {
                let what = if key == "run.routers" { "number of run.routers" } else { key };
                return Err(out_of_range(what, value, &format!("from 1 to {MOST}")));
            }
        }
        for (key, value, allowed, fits) in [
            (
                "model.expert_dropout",
                expert_dropout,
                "in [0, 1)",
                (0.0..1.0).contains(&expert_dropout),
            ),
            ("train.learning_rate", learning_rate, "positive", is_positive(learning_rate)),
            ("train.epsilon", epsilon, "positive", is_positive(epsilon)),
            ("train.beta1", beta1, "in [0, 1)", (0.0..1.0).contains(&beta1)),
            ("train.beta2", beta2, "in [0, 1)", (0.0..1.0).contains(&beta2)),
        ] {
            if !fits {
                return Err(out_of_range(key, value, allowed));
            }
        }
        let weights = &self.train.task_weights;
        if let Some(&weight) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            return Err(out_of_range("train.task_weights", weight, "0 or more, finite"));
        }
        if !weights.is_empty() && weights.iter().all(|&weight| weight == 0.0) {
            return Err(Error::Config("train.task_weights are all 0: nothing to learn".into()));
        }
        if self.run.first_seed.checked_add(self.run.seeds as u64).is_none() {
            return Err(out_of_range("run.first_seed", self.run.first_seed, "smaller"));
        }
        Ok(())
    }

    /// The seeds of the runs.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.run.first_seed;
        (0..self.run.seeds as u64).map(move |i| first + i)
    }

    /// The model of `router` for data with this input and these tasks.
    pub(crate) fn description(
        &self,
        router: &str,
        input: moe_core::batch::InputSpec,
        tasks: &[TaskSpec],
    ) -> MixtureDescription {
        let model = &self.model;
        MixtureDescription {
            input,
            tasks: tasks.to_vec(),
            embedding_width: model.embedding_width,
            experts: model.experts,
            k: model.k,
            expert_width: model.expert_width,
            expert_dropout: model.expert_dropout as Real,
            head_widths: model.head_widths.clone(),
            router: router.into(),
            router_parameters: self.routers.get(router).cloned().unwrap_or_default(),
        }
    }

    /// How a run with this seed is trained.
    ///
    /// # Errors
    /// If there is not one weight per task.
    pub(crate) fn train_options(
        &self,
        seed: u64,
        tasks: &[TaskSpec],
    ) -> Result<TrainOptions, Error> {
        let train = &self.train;
        let task_weights = match train.task_weights.len() {
            0 => vec![1.0; tasks.len()],
            n if n == tasks.len() => train.task_weights.iter().map(|&w| w as Real).collect(),
            n => {
                let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
                return Err(Error::Config(format!(
                    "train.task_weights has {n} numbers, but {} has {} tasks: {}",
                    self.dataset.name,
                    names.len(),
                    names.join(", ")
                )));
            }
        };
        Ok(TrainOptions {
            seed,
            batch_rows: train.batch_rows,
            epochs: train.epochs,
            patience: train.patience,
            task_weights,
            adam: AdamOptions {
                learning_rate: train.learning_rate as Real,
                beta1: train.beta1 as Real,
                beta2: train.beta2 as Real,
                epsilon: train.epsilon as Real,
            },
        })
    }

    /// The configuration as a TOML file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a table")
    }
}

fn is_positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

fn out_of_range(key: &str, value: impl std::fmt::Display, allowed: &str) -> Error {
    Error::Config(format!("{key} = {value} is not allowed; it must be {allowed}"))
}

pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |name| format!(", did you mean \"{name}\"?"))
}

/// For a message "unknown field `x`, expected one of `y`, `z`": which of them may have been meant.
fn suggestion(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    match words.next().filter(|_| message.contains("unknown field")) {
        Some(unknown) => did_you_mean(moe_core::nearest_name(unknown, words)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Config, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn presets_are_valid_and_complete_themselves() {
        for (name, _) in PRESETS {
            let config = Config::preset(name).unwrap();
            config.validate().unwrap();
            assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
        }
        let unknown = message(Config::preset("quik"));
        assert!(unknown.contains("did you mean \"quick\"?"), "{unknown}");
    }

    #[test]
    fn unknown_keys_name_the_place_and_the_nearest() {
        let error = Config::parse("[train]\nepocs = 3\n").unwrap_err();
        assert!(error.contains("line 2, column 1"), "{error}");
        assert!(error.contains("did you mean \"epochs\"?"), "{error}");
        let error = Config::parse("[dataset]\nnmae = \"x\"\n").unwrap_err();
        assert!(error.contains("line 1") && error.contains("\"name\""), "{error}");
        let error = Config::parse("[train]\nepochs = \"many\"\n").unwrap_err();
        assert!(error.contains("line 2") && error.contains("invalid type"), "{error}");
    }

    #[test]
    fn keys_are_set_by_path() {
        let config = Config::default();
        let changed = config.with("train.epochs=7").unwrap();
        assert_eq!(changed.train.epochs, 7);
        let changed = changed.with("routers.top-k.load-balance=0.1").unwrap();
        assert_eq!(changed.routers["top-k"]["load-balance"], Value::Real(0.1));
        let changed = changed.with("dataset.name=restaurant").unwrap();
        assert_eq!(changed.dataset.name, "restaurant");
        assert_eq!(changed.with("model.head_widths=[8, 4]").unwrap().model.head_widths, [8, 4]);

        assert!(message(config.with("train.epochs")).contains("KEY=VALUE"));
        assert!(message(config.with("train.epocs=1")).contains("did you mean \"epochs\"?"));
        assert!(message(config.with("trian.epochs=1")).contains("did you mean \"train\"?"));
        assert!(message(config.with("train.epochs.x=1")).contains("not a table"));
        assert!(message(config.with("train.epochs=-1")).contains("--set train.epochs=-1"));
        assert!(message(config.with("dataset.sead=1")).contains("did you mean \"seed\"?"));
    }

    #[test]
    fn values_out_of_range_are_named() {
        for bad in [
            "model.experts=0",
            "model.expert_dropout=1.0",
            "model.head_widths=[3, 0]",
            "train.learning_rate=0.0",
            "train.learning_rate=nan",
            "train.batch_rows=0",
            "train.task_weights=[-1.0]",
            "train.task_weights=[0.0, 0.0]",
            "run.seeds=0",
            "run.routers=[]",
        ] {
            let config = Config::default().with(bad).unwrap();
            let error = config.validate().unwrap_err().to_string();
            let key = bad.split('=').next().unwrap();
            assert!(error.contains(key), "{bad}: {error}");
        }
    }
}
