//! `[train]`: optimiser, schedule and stopping.

use moe_nn::{Clipping, Decay, OptimizerOptions, Rule, Schedule};
use serde::{Deserialize, Serialize};

use crate::config::range::Range;
use crate::error::Error;

/// The training of a model.
///
/// A missing key has the default of the optimiser; a key that the optimiser does not use is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Maximum number of epochs.
    pub epochs: usize,
    /// Number of epochs without a lower validation loss after which training stops.
    pub patience: usize,
    /// Training stops at the end of the epoch in which it has taken this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Number of rows per step.
    pub batch_rows: usize,
    /// Number of rows computed at a time, for batches that do not fit into memory. The gradients are those of the whole
    /// batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_rows: Option<usize>,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Learning rate of the optimiser.
    pub learning_rate: f64,
    /// Decay rate of the first moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Decay rate of the second moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// Constant added to the root of the second moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Whether embeddings of ids that are not in the batch stay unchanged (adam).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lazy_embeddings: Option<bool>,
    /// Fraction of each weight subtracted per step at a learning rate of 1 (adamw), or added to its gradient (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Fraction of the previous step's direction that is kept (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Whether momentum is Nesterov's (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Schedule of the learning rate; `cosine` ends at 0 after the last epoch.
    pub schedule: ScheduleKind,
    /// Number of steps in which the learning rate grows to its full value.
    pub warmup_steps: u64,
    /// Maximum norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Maximum absolute value of an element of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Weight of each task's loss, in the order of the data set; empty for 1 each.
    pub task_weights: Vec<f64>,
}

/// Names of optimisers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// `adam`
    #[default]
    Adam,
    /// `adamw`
    #[serde(rename = "adamw")]
    AdamW,
    /// `sgd`
    Sgd,
}

/// Names of schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// `constant`
    #[default]
    Constant,
    /// `cosine`
    Cosine,
    /// `inverse-sqrt`
    InverseSqrt,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 100,
            patience: 25,
            max_seconds: None,
            batch_rows: 512,
            micro_batch_rows: None,
            optimizer: OptimizerKind::Adam,
            learning_rate: 5e-4,
            beta1: None,
            beta2: None,
            epsilon: None,
            lazy_embeddings: None,
            weight_decay: None,
            momentum: None,
            nesterov: None,
            schedule: ScheduleKind::Constant,
            warmup_steps: 0,
            clip_norm: None,
            clip_value: None,
            task_weights: Vec::new(),
        }
    }
}

impl TrainConfig {
    /// Checks the range of every value and that its optimiser uses it.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        use OptimizerKind::{Adam, AdamW, Sgd};
        let flag = |value: Option<bool>| value.map(|_| 0.0);
        for (key, value, range, owners) in [
            ("learning_rate", Some(self.learning_rate), Range::Positive, &[Adam, AdamW, Sgd][..]),
            ("beta1", self.beta1, Range::Fraction, &[Adam, AdamW]),
            ("beta2", self.beta2, Range::Fraction, &[Adam, AdamW]),
            ("epsilon", self.epsilon, Range::Positive, &[Adam, AdamW]),
            ("lazy_embeddings", flag(self.lazy_embeddings), Range::NotNegative, &[Adam]),
            ("weight_decay", self.weight_decay, Range::NotNegative, &[AdamW, Sgd]),
            ("momentum", self.momentum, Range::Fraction, &[Sgd]),
            ("nesterov", flag(self.nesterov), Range::NotNegative, &[Sgd]),
            ("clip_norm", self.clip_norm, Range::Positive, &[Adam, AdamW, Sgd]),
            ("clip_value", self.clip_value, Range::Positive, &[Adam, AdamW, Sgd]),
            ("max_seconds", self.max_seconds, Range::Positive, &[Adam, AdamW, Sgd]),
        ] {
            let Some(value) = value else { continue };
            if !owners.contains(&self.optimizer) {
                let owners: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
                let (optimizer, owners) = (self.optimizer.name(), owners.join(" and "));
                return Err(Error::Config(format!(
                    "train.{key} does not apply to train.optimizer = \"{optimizer}\"; it is for {owners}"
                )));
            }
            range.check(&format!("train.{key}"), value)?;
        }
        if self.nesterov == Some(true) && self.momentum.unwrap_or(0.0) == 0.0 {
            return Err(Error::Config(
                "train.nesterov = true needs a train.momentum above 0".into(),
            ));
        }
        if self.clip_norm.is_some() && self.clip_value.is_some() {
            return Err(Error::Config(
                "train.clip_norm and train.clip_value cannot be used together; choose one".into(),
            ));
        }
        Ok(())
    }

    /// The same configuration, with the optimiser's defaults for its missing keys.
    pub(crate) fn completed(mut self) -> Self {
        match self.rule() {
            Rule::Adam { beta1, beta2, epsilon, lazy } => {
                self.lazy_embeddings = Some(lazy);
                (self.beta1, self.beta2, self.epsilon) = (Some(beta1), Some(beta2), Some(epsilon));
            }
            Rule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                self.weight_decay = Some(weight_decay);
                (self.beta1, self.beta2, self.epsilon) = (Some(beta1), Some(beta2), Some(epsilon));
            }
            Rule::Sgd { momentum, nesterov, weight_decay } => {
                self.weight_decay = Some(weight_decay);
                (self.momentum, self.nesterov) = (Some(momentum), Some(nesterov));
            }
        }
        self
    }

    /// The options of the optimiser, for epochs of this many steps.
    pub(crate) fn optimizer_options(&self, steps_per_epoch: u64) -> OptimizerOptions {
        let total_steps = steps_per_epoch.saturating_mul(self.epochs as u64);
        let decay = match self.schedule {
            ScheduleKind::Constant => Decay::Constant,
            ScheduleKind::Cosine => Decay::Cosine { total_steps, final_factor: 0.0 },
            ScheduleKind::InverseSqrt => Decay::InverseSqrt,
        };
        OptimizerOptions {
            rule: self.rule(),
            learning_rate: self.learning_rate,
            schedule: Schedule { warmup_steps: self.warmup_steps, decay },
            clipping: match (self.clip_norm, self.clip_value) {
                (Some(most), _) => Clipping::Norm(most),
                (None, Some(most)) => Clipping::Value(most),
                (None, None) => Clipping::None,
            },
            groups: Vec::new(),
        }
    }

    fn rule(&self) -> Rule {
        let beta1 = self.beta1.unwrap_or(0.9);
        let beta2 = self.beta2.unwrap_or(0.999);
        let epsilon = self.epsilon.unwrap_or(1e-7);
        match self.optimizer {
            OptimizerKind::Adam => {
                Rule::Adam { beta1, beta2, epsilon, lazy: self.lazy_embeddings.unwrap_or(false) }
            }
            OptimizerKind::AdamW => {
                let weight_decay = self.weight_decay.unwrap_or(0.01);
                Rule::AdamW { beta1, beta2, epsilon, weight_decay }
            }
            OptimizerKind::Sgd => Rule::Sgd {
                momentum: self.momentum.unwrap_or(0.0),
                nesterov: self.nesterov.unwrap_or(false),
                weight_decay: self.weight_decay.unwrap_or(0.0),
            },
        }
    }
}

impl OptimizerKind {
    /// Its name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OptimizerKind::Adam => "adam",
            OptimizerKind::AdamW => "adamw",
            OptimizerKind::Sgd => "sgd",
        }
    }
}
