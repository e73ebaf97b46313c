//! The `moe` command with one more router.

use std::process::ExitCode;

use custom_router::TopP;
use moe_routers::Registry;

fn main() -> ExitCode {
    let mut routers = Registry::standard();
    routers.register(TopP::entry()).expect("the id is free");
    moe_bench::run(std::env::args_os(), moe_search::with_search(routers))
}
