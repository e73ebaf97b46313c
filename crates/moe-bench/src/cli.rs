use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use moe_routers::Registry;

use crate::args::{CompareArgs, TrainArgs};
use crate::commands::data;
use crate::commands::data::{DataArgs, FetchArgs};
use crate::commands::eval;
use crate::commands::eval::EvalArgs;
use crate::commands::inspect;
use crate::commands::inspect::InspectArgs;
use crate::commands::predict;
use crate::commands::predict::PredictArgs;
use crate::error::Error;
use crate::{commands, output};

/// Trains and compares routers for sparse mixtures of experts on CPU.
#[derive(Debug, Parser)]
#[command(name = "moe", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains routers side by side and prints a table
    Compare(CompareArgs),
    /// Trains one router and keeps the model
    Train(TrainArgs),
    /// Tests a model that `moe train` has kept, also with another K
    Eval(EvalArgs),
    /// Shows how the gates of a model that `moe train` has kept route rows
    Inspect(InspectArgs),
    /// Predicts rows of a file with a model that `moe train` has kept
    Predict(PredictArgs),
    /// Lists the routers with their parameters
    Routers,
    /// Says what data sets there are
    #[command(subcommand)]
    Data(DataCommand),
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Lists the data sets
    List,
    /// Fetches the files of a data set from where they are published
    Fetch(FetchArgs),
    /// Checks that the files of a data set are the original ones
    Verify(DataArgs),
    /// Says what a data set is made of
    Stats(DataArgs),
}

/// The `moe` command: reads arguments, does the work, prints results to stdout and everything else to stderr.
///
/// The exit status is 0 for success, 2 for a usage or configuration error, 1 for anything else.
pub fn run(args: impl IntoIterator<Item = OsString>, registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with status 0, mistakes to stderr with status 2.
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let printed = execute(cli.command, &registry)
        .and_then(|results| output::print(&results).map_err(Error::file("standard output")));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("error: {error}"));
            ExitCode::from(error.exit_status())
        }
    }
}

fn execute(command: Command, registry: &Registry) -> Result<String, Error> {
    match command {
        Command::Compare(args) => {
            let config = args.shared.config(|config| {
                if let Some(routers) = &args.routers {
                    config.run.routers = routers.clone();
                }
                if let Some(seeds) = args.seeds {
                    config.run.seeds = seeds;
                }
            })?;
            args.shared.start_log();
            let pool = args.shared.pool()?;
            pool.install(|| commands::compare(&config, registry, &args.shared))
        }
        Command::Train(args) => {
            let mut config = args.shared.config(|config| {
                if let Some(router) = &args.router {
                    config.run.routers = vec![router.clone()];
                }
            })?;
            // What is recorded is what is run, also after `--set run.seeds=3`.
            config.run.routers.truncate(1);
            config.run.seeds = 1;
            args.shared.start_log();
            let pool = args.shared.pool()?;
            pool.install(|| commands::train(&config, registry, &args.shared, args.resume))
        }
        Command::Eval(args) => eval::eval(&args, registry),
        Command::Inspect(args) => inspect::inspect(&args, registry),
        Command::Predict(args) => predict::predict(&args, registry),
        Command::Routers => Ok(commands::routers(registry)),
        Command::Data(DataCommand::List) => Ok(data::list()),
        Command::Data(DataCommand::Fetch(args)) => data::fetch(&args),
        Command::Data(DataCommand::Verify(args)) => data::verify(&args),
        Command::Data(DataCommand::Stats(args)) => data::stats(&args),
    }
}
