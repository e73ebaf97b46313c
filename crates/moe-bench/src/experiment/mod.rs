//! Experiments: a configuration with its data, single runs, comparisons, and what is computed of a saved run.

pub(crate) mod checkpoints;
pub(crate) mod comparison_dir;
pub(crate) mod counterfactual;
pub(crate) mod evaluation;
pub(crate) mod experiment;
pub(crate) mod expert_sets;
pub(crate) mod gap;
pub(crate) mod groups;
pub(crate) mod inspection;
pub(crate) mod metadata;
pub(crate) mod regret;
pub(crate) mod results;
pub(crate) mod routing_result;
pub(crate) mod run_all;
pub(crate) mod run_curve;
pub(crate) mod saved_config;
pub(crate) mod saved_run;
pub(crate) mod signals;
pub(crate) mod test_result;
pub(crate) mod train_run;
