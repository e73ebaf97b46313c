//! `cargo xtask`: the checks of this workspace. It needs the Rust toolchain and nothing else.

mod ci;
mod code;
mod layers;
mod manifest;
mod miri;
mod package;
mod performance;
mod readme;
mod required;
mod run;
mod smoke;
mod sources;
mod structure;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask VERB

  ci [STEP...]   run all checks, cheapest first, or only the named ones
  ci --list      list the steps
  layers         check crate graph, manifests and sources (the step `layers` of ci)
  performance [SCRIPT]
                 measure peers, and PyTorch with the script if one is given, and rewrite docs/performance.md
  miri           run the tests of the unsafe kernels under miri, if it is installed
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci", "--list"] => {
            ci::list();
            Ok(())
        }
        ["ci", ref steps @ ..] => match ci::select(steps) {
            Ok(chosen) => ci::run(&chosen),
            Err(error) => return usage(&error.to_string()),
        },
        ["layers"] => structure::check(),
        ["performance"] => performance::measure(None),
        ["performance", script] => performance::measure(Some(script)),
        ["miri"] => miri::check().map(|outcome| println!("miri: {outcome}")),
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
