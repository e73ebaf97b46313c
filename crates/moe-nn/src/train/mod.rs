//! Training: one step, the loop over epochs, and what is recorded on the way.

pub(crate) mod gate_health;
pub(crate) mod gradient_health;
pub(crate) mod history;
pub(crate) mod one_ahead;
pub(crate) mod step;
pub(crate) mod task_loss;
pub(crate) mod train_state;
pub(crate) mod trainer;
