//! Kinds of tasks: what a model puts out for a task, its loss, its metrics with intervals, and how predictions are shown.
//!
//! Each kind is a file with a [`Task`]: [`Binary`], [`Multiclass`], [`Regression`]. `task.rs` has the trait, `kind.rs` the
//! shared handle to a kind, `spec.rs` a task with its name and kind, `kinds.rs` the kinds that a program can read from a file.
//! `target.rs` has the targets of a batch, `task_rows.rs` predictions and targets of a split. `measure.rs` says what a metric
//! is, `task_metrics.rs` has those of a task by name, [`metrics`] and [`intervals`] have the formulas. `field.rs` has the
//! fields of a prediction.

mod binary;
mod field;
pub mod intervals;
mod kind;
mod kinds;
mod measure;
pub mod metrics;
mod multiclass;
mod regression;
mod spec;
mod target;
mod task;
mod task_metrics;
mod task_rows;
mod unresolved;

pub use binary::Binary;
pub use field::{Field, FieldValue};
pub use kind::TaskKind;
pub use kinds::{TaskError, TaskKinds};
pub use measure::{Estimate, Metric};
pub use multiclass::Multiclass;
pub use regression::Regression;
pub use spec::TaskSpec;
pub use target::Target;
pub use task::Task;
pub use task_metrics::{Measurement, TaskMetrics, UnknownMetric};
pub use task_rows::TaskRows;
