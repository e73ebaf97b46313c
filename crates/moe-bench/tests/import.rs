//! `[import]`: runs that start from weights of a file.

mod common;

use common::training::{args, place};
use moe_nn::Weights;

/// Steps that change nothing, from the gates of `first`.
const IMPORT: &str = r#"
[import]
file = "first/best.safetensors"

[import.tensors]
"layer.gates.0.weight" = "layer.gates.1.weight"
"layer.gates.0.bias" = "layer.gates.1.bias"
"#;

#[test]
fn a_run_starts_from_the_tensors_named() {
    let place = place();
    place.run(&args("first", &["--epochs", "1"])).succeeded();
    place.write("import.toml", place.text("short.toml") + IMPORT);
    let run = |out| {
        let config = ["train", "--config", "import.toml", "--router", "top-k", "--out", out];
        let still = ["--epochs", "1", "--set", "train.learning_rate=1e-30"];
        place.run(&[&config[..], &still].concat())
    };
    run("second").succeeded();
    let tensor = |run: &str, name: &str| {
        let weights = Weights::load(&place.path(run).join("best.safetensors")).unwrap();
        weights.iter().find(|(found, _)| *found == name).unwrap().1.clone()
    };
    let (given, other) = ("layer.gates.0.weight", "layer.gates.1.weight");
    assert_eq!(tensor("second", given), tensor("first", other));
    assert_ne!(tensor("second", other), tensor("first", other));
    assert!(place.text("second/config.resolved.toml").contains("[import.tensors]"));
    assert!(place.text("second/model.md").contains("file = \"best.safetensors\"\n"));

    place.write("import.toml", place.text("short.toml") + &IMPORT.replace("s.1.w", "s.7.w"));
    run("third")
        .failed(1, &["import: first/best.safetensors: tensor \"layer.gates.7.weight\" is missing"]);
    assert!(!place.path("third").exists());
    place.write("import.toml", place.text("short.toml") + &IMPORT.replace("tensors", "tensor"));
    run("third").failed(2, &["unknown field `tensor`"]);
}
