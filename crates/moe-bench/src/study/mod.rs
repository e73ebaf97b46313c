//! Studies: many trials of each router, to find its best parameters.
//!
//! `space.rs` has what is searched, `axis.rs` a parameter of it, `sampler.rs` chooses parameters, `pruner.rs` stops trials,
//! `turn.rs` says which router is next, `study.rs` hands out the trials of the journal, `stored.rs` reads and begins a study there, `trial.rs` names the attributes of
//! trials, `ending.rs` ends and repeats them, `worker.rs` runs them, `found.rs` is what it finds, and `worker_id.rs` says whether a
//! worker lives. `summary.rs` has what a study has found, `tuned.rs` its best parameters as a configuration.

pub(crate) mod axis;
pub(crate) mod ending;
pub(crate) mod found;
pub(crate) mod pruner;
pub(crate) mod sampler;
pub(crate) mod space;
pub(crate) mod stored;
pub(crate) mod study;
pub(crate) mod summary;
pub(crate) mod trial;
pub(crate) mod tuned;
pub(crate) mod turn;
pub(crate) mod worker;
pub(crate) mod worker_id;
