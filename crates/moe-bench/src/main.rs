//! The `moe` command with the routers of this workspace.

use std::process::ExitCode;

fn main() -> ExitCode {
    moe_bench::run(std::env::args_os(), moe_routers::Registry::standard())
}
