//! Sparse dispatch: the experts that each row goes to, and the order in which they are computed.

pub(crate) mod assignments;
pub(crate) mod plan;

pub use assignments::{AssignmentError, Assignments};
pub use plan::ExpertPlan;
