//! The commands of `moe`, each with its arguments, its work and what it prints in a file of its own.
//!
//! To add one, write `NAME.rs` with a struct that implements [`Command`](command::Command), declare it here, and add it
//! to [`COMMANDS`].

mod command;
mod compare;
mod data;
mod eval;
mod inspect;
mod predict;
mod report;
mod routers;
mod train;
mod tune;

/// All commands, in the order in which `moe --help` lists them.
pub(crate) const COMMANDS: &[command::Entry] = &[
    command::Entry::of::<compare::Compare>(),
    command::Entry::of::<train::Train>(),
    command::Entry::of::<tune::Tune>(),
    command::Entry::of::<eval::Eval>(),
    command::Entry::of::<inspect::Inspect>(),
    command::Entry::of::<report::Report>(),
    command::Entry::of::<predict::Predict>(),
    command::Entry::of::<routers::Routers>(),
    command::Entry::of::<data::Data>(),
];
