//! `[tune]`: how `moe tune` searches.

use serde::{Deserialize, Serialize};

use crate::config::range::out_of_range;
use crate::error::Error;

/// How `moe tune` chooses the parameters of trials and which trials it stops early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuneConfig {
    /// Number of trials of each router.
    pub trials: usize,
    /// Number of epochs of each router: none of its trials begins once its trials have used them. Without it only `trials`
    /// ends a study.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// How parameters are chosen.
    pub sampler: SamplerKind,
    /// Which trials are stopped early.
    pub pruner: PrunerKind,
    /// Seed of the parameters and of the seeds of the trials.
    pub seed: u64,
    /// Number of random trials of a router before `tpe` chooses, and of trials that have reached an epoch before `median`
    /// stops any there.
    pub startup_trials: usize,
    /// Number of epochs after which a trial is first compared with the others (`median`, `halving`).
    pub warmup_epochs: usize,
    /// `halving` keeps one of this many trials at each of the epochs warmup, warmup x factor, warmup x factor², ...
    pub reduction_factor: usize,
}

/// Names of samplers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// `random`: independent draws, as in the supplement of COMET. A trial follows from the seed of the study and its index.
    #[default]
    Random,
    /// `tpe`: the tree-structured Parzen estimator of Bergstra and others (NeurIPS 2011), each parameter by itself. A trial
    /// also follows from the trials that have ended before.
    Tpe,
}

/// Names of pruners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrunerKind {
    /// `none`: all trials run to their end.
    #[default]
    None,
    /// `median`: stops a trial whose lowest validation loss so far is above the median of the other trials of its router.
    Median,
    /// `halving`: asynchronous successive halving (Li and others, MLSys 2020) among the trials of a router.
    Halving,
}

impl Default for TuneConfig {
    fn default() -> Self {
        TuneConfig {
            trials: 100,
            epochs: None,
            sampler: SamplerKind::Random,
            pruner: PrunerKind::None,
            seed: 1,
            startup_trials: 10,
            warmup_epochs: 5,
            reduction_factor: 4,
        }
    }
}

impl TuneConfig {
    /// Checks the range of every value.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (key, value, least, most) in [
            ("tune.trials", self.trials, 1, 1_000_000),
            ("tune.startup_trials", self.startup_trials, 1, 1_000_000),
            ("tune.warmup_epochs", self.warmup_epochs, 1, 1_000_000),
            ("tune.reduction_factor", self.reduction_factor, 2, 1000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(out_of_range(key, value, &format!("from {least} to {most}")));
            }
        }
        if self.epochs == Some(0) {
            return Err(out_of_range("tune.epochs", 0, "at least 1"));
        }
        if self.seed > i64::MAX as u64 {
            let allowed = format!("at most {}", i64::MAX);
            return Err(out_of_range("tune.seed", self.seed, &allowed));
        }
        Ok(())
    }
}
