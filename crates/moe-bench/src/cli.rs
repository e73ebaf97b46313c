//! The `moe` command: reads arguments, runs the command, and prints its results.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use moe_nn::Models;

use crate::commands::COMMANDS;
use crate::error::Error;
use crate::output;

/// Runs the `moe` command with these models, or mixtures with the routers of a
/// [`Registry`](moe_routers::Registry): prints results to stdout and everything else to stderr.
///
/// The exit status is 0 for success, 2 for a usage or configuration error, 1 for anything else. A comparison succeeds if at least
/// one of its runs was finished, even if others diverged. From the moment that `moe train` or `moe compare` has a directory
/// until the end of the process, the first SIGINT or SIGTERM ends training so that it can be resumed, with exit status 130 or
/// 143; the second one ends the process.
pub fn run(args: impl IntoIterator<Item = OsString>, models: impl Into<Models>) -> ExitCode {
    let models = models.into();
    let program = clap::Command::new("moe")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Train and compare routers for sparse mixtures of experts on CPU")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(COMMANDS.iter().map(|command| (command.arguments)()));
    let matches = match program.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(mut error) => {
            if error.kind() == ErrorKind::ArgumentConflict {
                // It would show one of the arguments without the other, as if that were the cure.
                error.remove(ContextKind::Usage);
            }
            // Help and version go to stdout with status 0, mistakes to stderr with status 2.
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let (name, arguments) = matches.subcommand().expect("a command is required");
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.expect("clap accepts only these commands");
    let printed = (command.run)(arguments, &models)
        .and_then(|results| output::print(&results).map_err(Error::file("standard output")));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error {
                Error::Interrupted { .. }
                | Error::ComparisonInterrupted { .. }
                | Error::StudyInterrupted { .. } => output::note(&error),
                _ => output::note(format_args!("error: {}", short_lines(&error.to_string()))),
            }
            ExitCode::from(error.exit_status())
        }
    }
}

/// The text with the middle of each line that is far too long left out, such as a value of a megabyte.
fn short_lines(text: &str) -> String {
    const LONGEST: usize = 2000;
    let short = |line: &str| match line.char_indices().nth(LONGEST / 2) {
        Some((middle, _)) if line.len() > LONGEST => {
            let end = line.char_indices().rev().nth(LONGEST / 4).map_or(middle, |(place, _)| place);
            format!("{} ... {}", &line[..middle], &line[end.max(middle)..])
        }
        _ => line.to_owned(),
    };
    text.split('\n').map(short).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_lose_their_middle() {
        let text = format!("a line\n{}é{}end", "x".repeat(99_999), "y".repeat(99_999));
        let short = short_lines(&text);
        assert!(short.starts_with("a line\nxxx") && short.ends_with("yyend"), "{short}");
        assert!(short.len() < 2000 && short.contains("x ... y"), "{short}");
        let words = "é".repeat(1001);
        for whole in ["", "one\ntwo\n", &words] {
            assert!(short_lines(whole).len() <= whole.len() + 5);
        }
        assert_eq!(short_lines("one\n\ntwo"), "one\n\ntwo");
    }
}
