//! The model in the whole `moe` command: trained, resumed, evaluated, inspected, and compared.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str], place: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_custom-model")).args(args).current_dir(place).output().unwrap()
}

fn succeeded(args: &[&str], place: &Path) -> String {
    let output = run(args, place);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str], place: &Path) -> Value {
    serde_json::from_str(&succeeded(&[args, &["--format", "json"]].concat(), place)).unwrap()
}

#[test]
fn it_is_trained_evaluated_and_inspected_by_name() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let train = ["train", "--preset", "smoke", "--progress", "none", "--router"];
    for (router, out) in [("stack-top-k", "plain"), ("stack-comet+", "searched")] {
        let trained = json(&[&train[..], &[router, "--out", out]].concat(), place);
        let evaluated = json(&["eval", out], place);
        assert_eq!(evaluated["loss"], trained["test"]["loss"], "{router}");
        let inspected = json(&["inspect", out], place);
        let layers = inspected["gates"].as_array().unwrap().iter().map(|gate| &gate["layer"]);
        assert_eq!(layers.collect::<Vec<_>>(), ["layers.0", "layers.1"]);
        assert_eq!(inspected["nearest"].as_array().unwrap().len(), 2 * 4);
        let text = succeeded(&["inspect", out], place);
        assert!(text.contains("layers.1 gate 0"), "{text}");
    }
    // A finished run that goes on has the same results.
    let resumed = [&train[..], &["stack-top-k", "--out", "plain", "--resume"]].concat();
    let before = std::fs::read(place.join("plain/best.safetensors")).unwrap();
    succeeded(&resumed, place);
    assert_eq!(std::fs::read(place.join("plain/best.safetensors")).unwrap(), before);
}

#[test]
fn what_it_cannot_be_is_refused() {
    let place = tempfile::tempdir().unwrap();
    for (args, says) in [
        (["--set", "routers.stack-top-k.depth=0"], "depth = 0 is not allowed; it must be"),
        (["--set", "model.k=9"], "k = 9 is not allowed with 4 experts"),
        (["--set", "run.baseline=\"stack-comet\""], "did you mean \"stack-comet+\"?"),
    ] {
        let compare = ["compare", "--preset", "smoke", "--routers", "stack-top-k"];
        let output = run(&[&compare[..], &args].concat(), place.path());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(says), "{error}");
    }
}
