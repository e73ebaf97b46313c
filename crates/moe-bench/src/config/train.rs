use moe_nn::{Clipping, Decay, OptimizerOptions, Rule, Schedule};
use serde::{Deserialize, Serialize};

use crate::config::Range;
use crate::error::Error;

/// How a model is trained.
///
/// A key that is not given has the default of the optimiser; one that the optimiser does not have is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Largest number of epochs.
    pub epochs: usize,
    /// Epochs without a better validation loss before training stops.
    pub patience: usize,
    /// Training stops after the epoch in which it has taken so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Rows per step.
    pub batch_rows: usize,
    /// Rows computed at a time, for batches that do not fit into memory; the gradients are those of the whole batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_rows: Option<usize>,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Its step size.
    pub learning_rate: f64,
    /// Decay of the first moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Decay of the second moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// Added to the root of the second moment (adam, adamw).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Whether embeddings of ids that are not in the batch rest (adam).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lazy_embeddings: Option<bool>,
    /// Share of each weight that is lost per step, for a learning rate of 1 (adamw), or is added to its gradient (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the last direction that is kept (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Whether momentum looks ahead (sgd).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// How the step size changes; `cosine` ends at 0 after the last epoch.
    pub schedule: ScheduleKind,
    /// Steps in which the step size grows to its full value.
    pub warmup_steps: u64,
    /// Largest norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Largest absolute value of an element of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Weight of each task's loss, in the data set's order; empty: 1 for each.
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
    /// Checks the keys of the optimiser.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        use OptimizerKind::{Adam, AdamW, Sgd};
        let TrainConfig { beta1, beta2, epsilon, weight_decay, momentum, nesterov, .. } = *self;
        let used = |of: &[OptimizerKind]| of.contains(&self.optimizer);
        for (key, is_given, is_used, owners) in [
            ("beta1", beta1.is_some(), used(&[Adam, AdamW]), "adam and adamw"),
            ("beta2", beta2.is_some(), used(&[Adam, AdamW]), "adam and adamw"),
            ("epsilon", epsilon.is_some(), used(&[Adam, AdamW]), "adam and adamw"),
            ("lazy_embeddings", self.lazy_embeddings.is_some(), used(&[Adam]), "adam"),
            ("weight_decay", weight_decay.is_some(), used(&[AdamW, Sgd]), "adamw and sgd"),
            ("momentum", momentum.is_some(), used(&[Sgd]), "sgd"),
            ("nesterov", nesterov.is_some(), used(&[Sgd]), "sgd"),
        ] {
            if is_given && !is_used {
                let optimizer = self.optimizer.name();
                return Err(Error::Config(format!(
                    "train.{key} does not apply to train.optimizer = \"{optimizer}\"; it is for {owners}"
                )));
            }
        }
        for (key, value, range) in [
            ("learning_rate", Some(self.learning_rate), Range::Positive),
            ("beta1", beta1, Range::Share),
            ("beta2", beta2, Range::Share),
            ("epsilon", epsilon, Range::Positive),
            ("weight_decay", weight_decay, Range::NotNegative),
            ("momentum", momentum, Range::Share),
            ("clip_norm", self.clip_norm, Range::Positive),
            ("clip_value", self.clip_value, Range::Positive),
            ("max_seconds", self.max_seconds, Range::Positive),
        ] {
            value.map_or(Ok(()), |value| range.check(&format!("train.{key}"), value))?;
        }
        if nesterov == Some(true) && momentum.unwrap_or(0.0) == 0.0 {
            return Err(Error::Config(
                "train.nesterov = true needs a train.momentum above 0".into(),
            ));
        }
        if let (Some(_), Some(_)) = (self.clip_norm, self.clip_value) {
            return Err(Error::Config(
                "train.clip_norm and train.clip_value cannot be used together; choose one".into(),
            ));
        }
        Ok(())
    }

    /// The same, with the defaults of the optimiser for the keys that it has and that are not given.
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

    /// The optimiser, for epochs of this many steps.
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
    /// As in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            OptimizerKind::Adam => "adam",
            OptimizerKind::AdamW => "adamw",
            OptimizerKind::Sgd => "sgd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with(assignments: &[&str]) -> Config {
        let default = Config::default();
        assignments.iter().fold(default, |config, assignment| config.with(assignment).unwrap())
    }

    fn refused(assignments: &[&str]) -> String {
        with(assignments).validate().unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_another_optimiser_names_both() {
        let values =
            ["beta1=0.5", "beta2=0.5", "epsilon=1e-3", "lazy_embeddings=true", "weight_decay=0.1"];
        let values = values.into_iter().chain(["momentum=0.5", "nesterov=false"]);
        let foreign = |optimizer: &str, key: &str| match optimizer {
            "adam" => ["weight_decay", "momentum", "nesterov"].contains(&key),
            "adamw" => ["lazy_embeddings", "momentum", "nesterov"].contains(&key),
            _ => ["beta1", "beta2", "epsilon", "lazy_embeddings"].contains(&key),
        };
        for assignment in values {
            let key = assignment.split('=').next().unwrap();
            for optimizer in ["adam", "adamw", "sgd"] {
                let chosen = format!("train.optimizer={optimizer}");
                let config = with(&[&chosen, &format!("train.{assignment}")]);
                let result = config.validate().map_err(|error| error.to_string());
                if foreign(optimizer, key) {
                    let error = result.unwrap_err();
                    let both = format!(
                        "train.{key} does not apply to train.optimizer = \"{optimizer}\"; it is for "
                    );
                    assert!(error.starts_with(&both), "{error}");
                } else {
                    result.unwrap();
                }
            }
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (optimizer, bad) in [
            ("adamw", "train.weight_decay=-0.1"),
            ("sgd", "train.weight_decay=inf"),
            ("sgd", "train.momentum=1.0"),
            ("sgd", "train.momentum=nan"),
            ("adam", "train.clip_norm=0.0"),
            ("adam", "train.clip_value=-1.0"),
            ("adamw", "train.beta1=1.0"),
            ("sgd", "train.learning_rate=0.0"),
        ] {
            let error = refused(&[&format!("train.optimizer={optimizer}"), bad]);
            let key = bad.split('=').next().unwrap();
            assert!(error.starts_with(key) && error.contains("is not allowed; it must be"));
        }
        let nesterov = refused(&["train.optimizer=sgd", "train.nesterov=true"]);
        assert_eq!(nesterov, "train.nesterov = true needs a train.momentum above 0");
        let both = refused(&["train.clip_norm=1.0", "train.clip_value=1.0"]);
        assert!(both.starts_with("train.clip_norm and train.clip_value cannot be used together"));
        let unknown = Config::default().with("train.optimizer=adagrad").unwrap_err().to_string();
        assert!(unknown.contains("`adam`, `adamw`, `sgd`"), "{unknown}");
    }

    #[test]
    fn keys_become_options() {
        let config = with(&[
            "train.optimizer=sgd",
            "train.momentum=0.5",
            "train.nesterov=true",
            "train.schedule=cosine",
            "train.warmup_steps=7",
            "train.epochs=3",
            "train.clip_value=2.0",
            "train.learning_rate=0.25",
        ]);
        let options = config.train.optimizer_options(11);
        let rule = Rule::Sgd { momentum: 0.5, nesterov: true, weight_decay: 0.0 };
        let decay = Decay::Cosine { total_steps: 33, final_factor: 0.0 };
        let schedule = Schedule { warmup_steps: 7, decay };
        let clipping = Clipping::Value(2.0);
        let groups = Vec::new();
        let expected = OptimizerOptions { rule, learning_rate: 0.25, schedule, clipping, groups };
        assert_eq!(options, expected);
        assert_eq!(TrainConfig::default().optimizer_options(11), OptimizerOptions::default());
    }

    #[test]
    fn a_complete_configuration_has_the_keys_of_its_optimiser() {
        for optimizer in ["adam", "adamw", "sgd"] {
            let mut config = with(&[&format!("train.optimizer={optimizer}")]);
            let options = config.train.optimizer_options(1);
            config.train = config.train.completed();
            config.validate().unwrap();
            assert_eq!(config.train.optimizer_options(1), options);
            let text = config.to_toml();
            assert_eq!(text.contains("beta1 = 0.9"), optimizer != "sgd", "{text}");
            assert_eq!(text.contains("weight_decay"), optimizer != "adam", "{text}");
            assert_eq!(text.contains("nesterov = false"), optimizer == "sgd", "{text}");
        }
    }
}
