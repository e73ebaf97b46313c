//! `cargo xtask`: the checks of this workspace. It needs the Rust toolchain and nothing else.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that reports on the terminal"
)]

mod ci;
mod circles;
mod code;
mod contract;
mod layers;
mod manifest;
mod performance;
mod reliability;
mod required;
mod run;
mod smoke;
mod sources;
mod steps;
mod structure;
mod studies;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask VERB

  ci [STEP...]   run all checks, cheapest first, or only the named ones
  ci --list      list the steps
  layers         check crate graph, manifests and sources (the step `layers` of ci)
  performance [SCRIPT]
                 measure this workspace, and PyTorch if its script is given, and rewrite the tables of
                 docs/performance.md
  reliability [SUITE...]
                 run the long form of the tests of kills, of several writers and of malicious files
  reliability --list
                 list the suites
  studies [NAME...]
                 continue the studies of configs/studies, all or the named ones, in target/studies; keep them in
                 docs/results/studies, and write configs/tuned
  miri           run the tests of the unsafe kernels under miri, if it is installed
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [verb @ ("ci" | "reliability"), ref names @ ..] => {
            let all = if verb == "ci" { ci::STEPS } else { reliability::STEPS };
            if names == ["--list"] {
                steps::list(all);
                return ExitCode::SUCCESS;
            }
            match steps::select(all, names) {
                Ok(chosen) => steps::run(verb, &chosen),
                Err(error) => return usage(&error.to_string()),
            }
        }
        ["layers"] => structure::check(),
        ["studies", ref names @ ..] => studies::run(names),
        ["performance"] => performance::measure(None),
        ["performance", script] => performance::measure(Some(script)),
        ["miri"] => ci::miri().map(|outcome| println!("miri: {outcome}")),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        [] => return usage("no verb given"),
        _ => return usage(&format!("cannot read `{}`", args.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage(error: &str) -> ExitCode {
    eprint!("error: {error}\n\n{USAGE}");
    ExitCode::from(2)
}
