//! Running routers side by side: single runs, whole comparisons, their results and statistics, saved runs.

pub(crate) mod experiment;
pub(crate) mod groups;
pub(crate) mod kept_run;
pub(crate) mod results;
pub(crate) mod run_all;
pub(crate) mod statistics;
