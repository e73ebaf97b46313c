//! Output for people and programs.
//!
//! A command puts its results into a [`document::Report`], which a file of `format/` writes; `glance.rs`, `comparison.rs`,
//! `training.rs`, `study.rs`, `evaluation.rs`, `inspection.rs` and `card.rs` say what is in one, `verdict.rs` what a comparison
//! says. `html/` makes the page of `moe report`, `compare` and `train`. `predictions/` writes the rows of `moe predict`,
//! `out_dir.rs` makes directories for results, and `progress.rs` shows progress on stderr.

pub(crate) mod card;
pub(crate) mod comparison;
pub(crate) mod counterfactual;
pub(crate) mod document;
pub(crate) mod evaluation;
pub(crate) mod format;
pub(crate) mod gap;
pub(crate) mod glance;
pub(crate) mod html;
pub(crate) mod inspection;
pub(crate) mod out_dir;
pub(crate) mod predictions;
pub(crate) mod progress;
pub(crate) mod study;
pub(crate) mod training;
pub(crate) mod trial_progress;
pub(crate) mod verdict;
