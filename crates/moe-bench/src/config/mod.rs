//! The configuration of an experiment. `train.rs`, `search.rs`, `tune.rs` and `per_router.rs` have its sections of these names,
//! `text.rs` reads and writes it as TOML, `assignments.rs` changes single keys, `range.rs` checks its numbers.

pub(crate) mod assignments;
mod per_router;
pub(crate) mod range;
pub(crate) mod search;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod train;
pub(crate) mod tune;

use std::collections::BTreeMap;
use std::path::PathBuf;

use moe_core::Real;
use moe_core::batch::TaskSpec;
use moe_data::{LoadOptions, NamedOptions};
use moe_nn::{ImportMap, MixtureDescription, TrainOptions};
use moe_routers::Value;
use serde::{Deserialize, Serialize};

use crate::config::range::{Range, computed, not_utf8, out_of_range};
use crate::config::search::SearchSpace;
use crate::config::train::TrainConfig;
use crate::config::tune::TuneConfig;
use crate::error::Error;

/// The configuration of an experiment, read from a TOML file and written beside the results with all defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[dataset]`
    pub dataset: DatasetConfig,
    /// `[model]`
    pub model: ModelConfig,
    /// `[train]`
    pub train: TrainConfig,
    /// `[import]`: initial weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportConfig>,
    /// `[run]`
    pub run: RunConfig,
    /// `[routers.ID]`: parameters of routers, which `moe routers` lists.
    pub routers: BTreeMap<String, BTreeMap<String, Value>>,
    /// `[per_router.ID.model]` and `[per_router.ID.train]`: keys of these sections that differ for a router.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_router: BTreeMap<String, toml::Table>,
    /// `[search]`: what `moe tune` searches. Other commands do not read it.
    #[serde(skip_serializing_if = "SearchSpace::is_empty")]
    pub search: SearchSpace,
    /// `[tune]`: how `moe tune` searches. Other commands do not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<TuneConfig>,
}

/// The data set of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "NamedOptions")]
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

impl From<NamedOptions> for DatasetConfig {
    fn from(keys: NamedOptions) -> Self {
        let (name, options) = keys.into_parts();
        DatasetConfig { name: name.unwrap_or_else(|| DatasetConfig::default().name), options }
    }
}

/// The model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Number of experts (N).
    pub experts: usize,
    /// Experts per row (K), for routers that use it.
    pub k: usize,
    /// Width of the embedding of an id, for data sets with ids.
    pub embedding_width: usize,
    /// Widths of the hidden layers of each expert.
    pub expert_hidden_widths: Vec<usize>,
    /// Width of an expert's output.
    pub expert_width: usize,
    /// Dropout probability of the experts' outputs in training.
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
            expert_hidden_widths: Vec::new(),
            expert_width: 256,
            expert_dropout: 0.5,
            head_widths: vec![256],
        }
    }
}

/// Weights of another program as initial weights of every run; see [`import_weights`](moe_nn::import_weights).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// The safetensors file.
    pub file: PathBuf,
    /// See [`ImportMap::linear`].
    #[serde(default)]
    pub linear: BTreeMap<String, String>,
    /// See [`ImportMap::tensors`].
    #[serde(default)]
    pub tensors: BTreeMap<String, String>,
}

impl ImportConfig {
    /// The names of the tensors in the file.
    pub(crate) fn map(&self) -> ImportMap {
        ImportMap { linear: self.linear.clone(), tensors: self.tensors.clone() }
    }
}

/// The runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Ids of the routers to compare, as in `moe routers`.
    pub routers: Vec<String>,
    /// The router that the others are compared with; the first one if it is not among them.
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
    /// Checks the range of every value.
    ///
    /// # Errors
    /// The first value out of range, with the allowed range.
    pub fn validate(&self) -> Result<(), Error> {
        let model = &self.model;
        let ModelConfig { experts, embedding_width, expert_width, expert_dropout, .. } = *model;
        let hidden_widths = model.expert_hidden_widths.iter();
        let hidden_widths = hidden_widths.map(|&width| ("model.expert_hidden_widths", width));
        let TrainConfig { epochs, patience, batch_rows, .. } = self.train;
        for (key, value) in [
            ("model.experts", experts),
            ("model.embedding_width", embedding_width),
            ("model.expert_width", expert_width),
            ("train.epochs", epochs),
            ("train.patience", patience),
            ("train.batch_rows", batch_rows),
            ("train.micro_batch_rows", self.train.micro_batch_rows.unwrap_or(batch_rows)),
            ("run.seeds", self.run.seeds),
            ("run.routers", self.run.routers.len()),
        ]
        .into_iter()
        .chain(hidden_widths)
        .chain(model.head_widths.iter().map(|&width| ("model.head_widths", width)))
        {
            const MOST: usize = 1 << 24;
            if !(1..=MOST).contains(&value) {
                let what = if key == "run.routers" { "number of run.routers" } else { key };
                return Err(out_of_range(what, value, &format!("from 1 to {MOST}")));
            }
        }
        Range::Fraction.check("model.expert_dropout", expert_dropout)?;
        self.train.validate()?;
        let weights = &self.train.task_weights;
        for &weight in weights {
            Range::NotNegative.check("train.task_weights", weight)?;
        }
        if !weights.is_empty() && weights.iter().all(|&weight| computed(weight) == 0.0) {
            return Err(Error::Config(
                "train.task_weights are all 0; at least one must be positive".into(),
            ));
        }
        // The largest whole number in TOML.
        const LAST_SEED: u64 = i64::MAX as u64;
        let options = &self.dataset.options;
        let most_first = LAST_SEED - self.run.seeds as u64;
        for (key, seed, most) in [
            ("run.first_seed", self.run.first_seed, most_first),
            ("dataset.seed", options.seed, LAST_SEED),
        ] {
            if seed > most {
                return Err(out_of_range(key, seed, &format!("at most {most}")));
            }
        }
        for (key, path) in [
            ("dataset.data_dir", &options.data_dir),
            ("dataset.test_file", &options.test_file),
            ("dataset.ratings_file", &options.ratings_file),
            ("dataset.cache_dir", &options.cache_dir),
            ("dataset.table.file", &options.table.as_ref().map(|table| table.file.clone())),
            ("import.file", &self.import.as_ref().map(|import| import.file.clone())),
        ] {
            if let Some(path) = path.as_ref().filter(|path| path.to_str().is_none()) {
                return Err(not_utf8(key, path));
            }
        }
        for router in self.per_router.keys() {
            let of_router = self.for_router(router)?.validate();
            of_router.map_err(|error| Error::Config(format!("per_router.{router}: {error}")))?;
        }
        self.search.validate()?;
        self.tune.as_ref().map_or(Ok(()), TuneConfig::validate)
    }

    /// Removes the routers that are not known, with their parameters.
    pub(crate) fn retain_routers(&mut self, is_known: impl Fn(&str) -> bool) {
        self.run.routers.retain(|id| is_known(id));
        self.routers.retain(|id, _| is_known(id));
        self.per_router.retain(|id, _| is_known(id));
        self.search.0.retain(|name, _| search::router_of(name).is_none_or(&is_known));
    }

    /// The seeds of the runs.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.run.first_seed;
        (0..self.run.seeds as u64).map(move |i| first + i)
    }

    /// The mixture with `router` for data with this input and these tasks.
    pub(crate) fn description(
        &self,
        router: &str,
        input: moe_core::batch::InputSpec,
        tasks: &[TaskSpec],
    ) -> MixtureDescription {
        let model = &self.model;
        let parameters = self.routers.get(router).cloned().unwrap_or_default();
        MixtureDescription::new(input, tasks.to_vec())
            .with_embedding_width(model.embedding_width)
            .with_experts(model.experts)
            .with_k(model.k)
            .with_expert_hidden_widths(&model.expert_hidden_widths)
            .with_expert_width(model.expert_width)
            .with_expert_dropout(model.expert_dropout as Real)
            .with_head_widths(&model.head_widths)
            .with_router(router)
            .with_router_parameters(parameters)
    }

    /// The training options of a run with this seed.
    ///
    /// # Errors
    /// If the number of task weights is not the number of tasks.
    pub(crate) fn train_options(
        &self,
        seed: u64,
        tasks: &[TaskSpec],
        steps_per_epoch: u64,
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
            micro_batch_rows: train.micro_batch_rows,
            epochs: train.epochs,
            patience: train.patience,
            max_seconds: train.max_seconds,
            task_weights,
            optimizer: train.optimizer_options(steps_per_epoch),
        })
    }
}
