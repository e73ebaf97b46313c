//! Studies in the journal format of Optuna 5.0: a file to which Optuna, its dashboard and this crate append side by side.
//!
//! `journal.rs` reads and appends, under the lock of `lock.rs`; `entry.rs` reads a line, which is one of the operations of
//! `operation.rs`, `replay.rs` has its effect on the studies
//! and trials of `state.rs`; `distribution.rs`, `json.rs` and `time.rs` are Optuna's forms of parameters, numbers and times;
//! `repair.rs` makes a damaged journal readable; `error.rs` has the errors.

pub(crate) mod distribution;
mod entry;
pub(crate) mod error;
pub(crate) mod journal;
pub(crate) mod json;
mod lock;
pub(crate) mod operation;
pub(crate) mod repair;
mod replay;
pub(crate) mod state;
pub(crate) mod time;

#[cfg(test)]
mod tests;
