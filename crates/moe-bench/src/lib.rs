//! Experiments with routers for mixtures of experts: the library behind the `moe` command.
//!
//! # The command with a router of your own
//! A program of a few lines is the whole `moe` command with one more router:
//! ```no_run
//! use moe_routers::{Registry, RouterEntry, RouterInfo, TopK};
//!
//! fn main() -> std::process::ExitCode {
//!     let info = RouterInfo::new("mine", "top-1", "this program");
//!     let mut routers = Registry::standard();
//!     let entry = RouterEntry::per_gate(info, |spec, _| {
//!         Box::new(TopK::new(&moe_routers::GateSpec { k: 1, ..*spec }, 0.0))
//!     });
//!     routers.register(entry).expect("the id is free");
//!     moe_bench::run(std::env::args_os(), routers)
//! }
//! ```
//! Then `my-program compare --routers top-k,mine`.
//!
//! # An experiment in code
//! ```
//! use moe_bench::{Config, compare};
//! use moe_routers::Registry;
//!
//! let mut config = Config::preset("smoke")?;
//! config.dataset.name = "synthetic".into();
//! config.run.seeds = 1;
//! config.run.routers = vec!["top-k".into()];
//! let comparison = compare(&config, &Registry::standard(), &mut ())?;
//! assert_eq!(comparison.runs.len(), 1);
//! # Ok::<(), moe_bench::Error>(())
//! ```

mod args;
mod card;
mod cli;
mod commands;
mod compare;
mod config;
mod config_text;
mod data;
mod error;
mod eval;
mod experiment;
mod groups;
mod inspect;
mod inspect_text;
mod kept_run;
mod out_dir;
mod output;
mod predict;
mod predictions_out;
mod progress;
mod results;
mod statistics;
mod table;
mod train_config;

pub use cli::run;
pub use compare::compare;
pub use config::{Config, DatasetConfig, ImportConfig, ModelConfig, RunConfig};
pub use error::Error;
pub use experiment::Experiment;
pub use progress::Progress;
pub use results::{Comparison, RunResult};
pub use train_config::{OptimizerKind, ScheduleKind, TrainConfig};
