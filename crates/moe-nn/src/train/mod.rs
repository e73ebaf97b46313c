//! Training: one step, the loop over epochs, and its records.

pub(crate) mod clock;
pub(crate) mod contribution;
pub(crate) mod control;
pub(crate) mod epoch;
pub(crate) mod epoch_progress;
pub(crate) mod error;
pub(crate) mod gate_health;
pub(crate) mod gradient_health;
pub(crate) mod history;
pub(crate) mod memories;
pub(crate) mod not_finite_cause;
pub(crate) mod observer;
pub(crate) mod options;
pub(crate) mod step;
pub(crate) mod step_hook;
pub(crate) mod train_state;
pub(crate) mod trainer;
