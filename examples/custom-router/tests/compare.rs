//! The router in a comparison, through the library and through the program.

use std::process::Command;

use custom_router::TopP;
use moe_bench::{Config, RunResult, compare};
use moe_routers::Registry;

#[test]
fn top_p_is_compared_with_top_k() {
    let mut registry = Registry::standard();
    registry.register(TopP::entry()).unwrap();
    let mut config = Config::preset("smoke").unwrap();
    config.run.routers = vec!["top-k".into(), "top-p".into()];
    let config = config.with("routers.top-p.p=0.6").unwrap();
    let config = config.with("routers.top-p.entropy=0.01").unwrap();

    let comparison = compare(&config, &registry.into(), &()).unwrap();
    let runs: Vec<&RunResult> =
        comparison.runs.iter().filter(|run| run.router == "top-p").collect();
    assert_eq!(runs.len(), config.run.seeds);
    for run in runs {
        assert!(run.test.loss.is_finite());
        let experts = run.routing.experts_per_row_eval;
        assert!((1.0..4.0).contains(&experts), "{experts} of 4 experts per row");
    }
    assert_eq!(comparison.summary[1].vs_baseline.as_ref().unwrap().baseline, "top-k");
}

#[test]
fn the_program_knows_the_router() {
    let program = env!("CARGO_BIN_EXE_custom-router");
    let output = Command::new(program).arg("routers").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for expected in ["top-k\n", "top-p\n", "top-p+\n", "p = 0.5", "a number from 0.01 to 0.99"] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
}
