//! The sections of a page, a file per section; `comparison.rs`, `run.rs` and `study.rs` say which ones a page has.

mod about;
mod budget;
pub(super) mod comparison;
mod cost;
mod load;
mod losses;
mod pace;
mod reduction;
mod rows;
pub(super) mod run;
mod slices;
mod specialisation;
mod spread;
pub(super) mod study;
mod tuned;
mod verdict;
