//! The `moe` command with the routers of this workspace.

use std::process::ExitCode;

fn main() -> ExitCode {
    let routers = moe_search::with_search(moe_routers::Registry::standard());
    moe_bench::run(std::env::args_os(), routers)
}
