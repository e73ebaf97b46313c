//! The interface of a command.

use clap::{Arg, ArgMatches, Args};
use moe_nn::Models;
use tracing_subscriber::filter::LevelFilter;

use crate::error::Error;
use crate::log;

/// A command of `moe`: a struct of its arguments, whose documentation is its description in `--help`.
pub(crate) trait Command: Args {
    /// Its name on the command line.
    const NAME: &'static str;

    /// Which events of training are shown on stderr, beside the warnings of the libraries.
    fn log(&self) -> LevelFilter {
        LevelFilter::OFF
    }

    /// Does the work and returns what goes to stdout.
    fn run(&self, models: &Models) -> Result<String, Error>;
}

/// A command in the table of all commands.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Describes its arguments to clap.
    pub(crate) arguments: fn() -> clap::Command,
    /// Runs it with arguments that clap has checked.
    pub(crate) run: fn(&ArgMatches, &Models) -> Result<String, Error>,
}

impl Entry {
    /// The entry of command `C`.
    pub(crate) const fn of<C: Command>() -> Self {
        Entry {
            name: C::NAME,
            arguments: || with_negative_numbers(C::augment_args(clap::Command::new(C::NAME))),
            run: |matches, models| {
                let command = C::from_arg_matches(matches).expect("clap has checked the arguments");
                log::start(command.log());
                command.run(models)
            },
        }
    }
}

/// Lets flags have values such as -1, so that the error about one names its flag.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let taking = |argument: Arg| {
        let takes_value = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_value)
    };
    command.mut_args(taking).mut_subcommands(with_negative_numbers)
}
