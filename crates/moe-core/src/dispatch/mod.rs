//! Sparse dispatch: which experts each row goes to, and in which order they are computed.

mod assignments;
mod plan;

pub use assignments::{AssignmentError, Assignments};
pub use plan::ExpertPlan;
