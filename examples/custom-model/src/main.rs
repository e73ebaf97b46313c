//! The `moe` command with one more model, which uses the router `top-k` or `comet+`.

use std::process::ExitCode;

use moe_nn::Models;
use moe_routers::Registry;

fn main() -> ExitCode {
    let mut models = Models::from(moe_search::with_search(Registry::standard()));
    for router in ["top-k", "comet+"] {
        models.register(custom_model::entry(router)).expect("the id is free");
    }
    moe_bench::run(std::env::args_os(), models)
}
