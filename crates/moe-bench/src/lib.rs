//! Experiments with routers for mixtures of experts: the library behind the `moe` command.
//!
//! `cli.rs` reads the command line, `commands/` has a file per command, `config/` the configuration, `experiment/` what
//! is computed, [`statistics`] the formulas over runs and trials, `report/` what is printed and written, `log.rs` shows the
//! warnings of the libraries.
//!
//! # The command with your own router
//! A program of a few lines is the whole `moe` command with an additional router:
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
//! use moe_nn::Models;
//!
//! let mut config = Config::preset("smoke")?;
//! config.dataset.name = "synthetic".into();
//! config.run.seeds = 1;
//! config.run.routers = vec!["top-k".into()];
//! let comparison = compare(&config, &Models::standard(), &())?;
//! assert_eq!(comparison.runs.len(), 1);
//! # Ok::<(), moe_bench::Error>(())
//! ```

mod args;
mod cli;
mod commands;
mod config;
mod error;
mod experiment;
mod journal;
mod log;
mod output;
mod report;
pub mod statistics;
mod study;

pub use cli::run;
pub use config::train::{OptimizerKind, ScheduleKind, TrainConfig};
pub use config::{Config, DatasetConfig, ImportConfig, ModelConfig, RunConfig};
pub use error::Error;
pub use experiment::metadata::{Host, RunCost};
pub use experiment::results::{Comparison, DivergedRun, RunOutcome, RunResult};
pub use experiment::run_all::compare;
pub use experiment::run_curve::RunCurve;
pub use journal::error::JournalError;
pub use report::progress::Progress;
