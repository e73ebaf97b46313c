//! `moe inspect`: how the gates of a saved run route, in numbers and for people.

mod common;

use common::training::{args, place};
use common::{Place, check_refused};
use serde_json::Value;

fn inspect(place: &Place, more: &[&str]) -> Value {
    let args = [&["inspect", "run", "--format", "json"], more].concat();
    place.run(&args).succeeded().json()
}

fn sum(values: &Value) -> f64 {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).sum()
}

fn is_near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5, "{a} {b}");
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn it_says_how_the_run_routes() {
    let place = place();
    place.run(&args("run", &[])).succeeded();
    let (found, result) = (inspect(&place, &[]), place.json("run/result.json"));
    assert_eq!(
        keys(&found),
        [
            "dataset", "epoch", "experts", "gates", "k", "nearest", "part", "router", "rows",
            "run", "schema", "seed"
        ]
    );
    assert_eq!((&found["schema"], &found["experts"]), (&"moe.inspect/1".into(), &4.into()));
    let gates = found["gates"].as_array().unwrap();
    assert_eq!(gates.len(), 2);
    for (i, gate) in gates.iter().enumerate() {
        assert_eq!(keys(gate), ["alarms", "gate", "groups", "layer", "summary", "task", "trees"]);
        assert_eq!(gate["summary"], result["routing"]["gates"][i]);
        assert_eq!(gate["task"], ["left", "right"][i]);
        assert_eq!(gate["trees"], Value::Array(Vec::new()));
        let groupings = gate["groups"].as_array().unwrap();
        assert_eq!(groupings.len(), 2, "the classes of both tasks");
        for grouping in groupings {
            assert_eq!(grouping["by"], "class");
            let groups = grouping["groups"].as_array().unwrap();
            let rows: u64 = groups.iter().map(|group| group["rows"].as_u64().unwrap()).sum();
            assert_eq!(rows, 100);
            // The loads of the classes are the load.
            let mut load = [0.0; 4];
            for group in groups {
                is_near(sum(&group["load_share"]), 1.0);
                for (expert, load) in load.iter_mut().enumerate() {
                    let share = group["load_share"][expert].as_f64().unwrap();
                    *load += share * group["rows"].as_f64().unwrap() / 100.0;
                }
            }
            for (expert, load) in load.iter().enumerate() {
                is_near(*load, gate["summary"]["load_share"][expert].as_f64().unwrap());
            }
        }
    }
    for (expert, nearest) in found["nearest"].as_array().unwrap().iter().enumerate() {
        assert_eq!(nearest["expert"], expert);
        assert_ne!(nearest["nearest"], expert);
        assert!((-1.0..=1.0).contains(&nearest["cosine"].as_f64().unwrap()));
    }
    assert_eq!(inspect(&place, &["--split", "train"])["rows"], 300);
}

#[test]
fn the_trees_of_comet() {
    for router in ["comet", "comet+"] {
        let place = place();
        let gamma = format!("routers.{router}.gamma=0.3");
        let five = ["--set", "model.experts=5", "--set", &gamma];
        let run = ["train", "--config", "short.toml", "--router", router, "--out", "run"];
        place.run(&[&run[..], &five].concat()).succeeded();
        let found = inspect(&place, &[]);
        for gate in found["gates"].as_array().unwrap() {
            let trees = gate["trees"].as_array().unwrap();
            assert_eq!(trees.len(), 2, "K trees");
            for tree in trees {
                assert_eq!(keys(tree), ["leaves", "splits"]);
                let splits = tree["splits"].as_array().unwrap();
                let levels: Vec<_> = splits.iter().map(|s| s["level"].as_u64().unwrap()).collect();
                assert_eq!(levels, [0, 1, 1, 2]);
                assert_eq!(splits[0]["reached"], 1.0);
                let leaves = tree["leaves"].as_array().unwrap();
                let mut experts: Vec<_> =
                    leaves.iter().map(|l| l["expert"].as_u64().unwrap()).collect();
                if router == "comet" {
                    assert_eq!(experts, [0, 1, 2, 3, 4], "leaves from left to right");
                }
                experts.sort_unstable();
                assert_eq!(experts, [0, 1, 2, 3, 4]);
                let shares: Vec<f64> =
                    leaves.iter().map(|l| l["share"].as_f64().unwrap()).collect();
                is_near(shares.iter().sum(), 1.0);
                // Of five leaves the last two are those right of the root.
                is_near(splits[0]["right"].as_f64().unwrap(), shares[3] + shares[4]);
                for split in splits {
                    for key in ["right", "decided"] {
                        let is_share = |v: f64| (0.0..=1.0).contains(&v);
                        assert!(split[key].as_f64().is_none_or(is_share), "{split}");
                    }
                }
            }
        }
        let text = place.run(&["inspect", "run"]).succeeded().stdout;
        for part in ["Tree 1: ", "level 0 ", "level 2 ", "leaves "] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn rows_that_were_planted_are_found() {
    let place = place();
    let set = ["--dataset", "synthetic", "--set", "dataset.experts=3", "--epochs", "1"];
    place.run(&args("run", &set)).succeeded();
    let gate = &inspect(&place, &[])["gates"][0];
    let groupings = gate["groups"].as_array().unwrap();
    let planted = groupings.iter().find(|grouping| grouping["by"] == "planted").unwrap();
    let names: Vec<_> = planted["groups"].as_array().unwrap().iter().map(|g| &g["name"]).collect();
    assert_eq!(names, ["0", "1", "2"]);
}

#[test]
fn users_and_items_are_grouped_by_how_often_they_occur() {
    let place = place();
    place.run(&args("run", &["--dataset", "restaurant", "--epochs", "1"])).succeeded();
    let found = inspect(&place, &[]);
    let groupings = found["gates"][0]["groups"].as_array().unwrap();
    let by_frequency: Vec<_> = groupings.iter().filter(|g| g["by"] == "frequency").collect();
    assert_eq!(by_frequency.len(), 2);
    for grouping in by_frequency {
        let groups = grouping["groups"].as_array().unwrap();
        assert!((2..=5).contains(&groups.len()), "{grouping}");
        let rows: u64 = groups.iter().map(|group| group["rows"].as_u64().unwrap()).sum();
        assert_eq!(found["rows"], rows);
    }
    let text = place.run(&["inspect", "run"]).succeeded().stdout;
    assert!(text.contains(" in training") && text.contains(" times"), "{text}");
}

#[test]
fn it_is_for_people() {
    let place = place();
    place.run(&args("run", &[])).succeeded();
    let json = inspect(&place, &[]);
    let text = place.run(&["inspect", "run"]).succeeded().stdout;
    let entropy = json["gates"][1]["summary"]["load_entropy"].as_f64().unwrap();
    let cosine = json["nearest"][2]["cosine"].as_f64().unwrap();
    let parts = ["Gate 1 (right)\n---", "class of left", "█", "2.00 experts per row"];
    for part in parts
        .map(String::from)
        .into_iter()
        .chain([format!("load entropy {entropy:.3}"), format!("{cosine:.3}")])
    {
        assert!(text.contains(&part), "{part}: {text}");
    }
    for gate in json["gates"].as_array().unwrap() {
        for alarm in gate["alarms"].as_array().unwrap() {
            assert!(text.contains(alarm["text"].as_str().unwrap()), "{text}");
        }
    }
    let md = ["inspect", "run", "--format", "md", "--out", "routing.md"];
    assert_eq!(place.run(&md).succeeded().stdout, "");
    let file = place.text("routing.md");
    assert!(
        file.starts_with("# top-k on multi-optdigits") && file.contains("\n## Gate 0 (left)\n")
    );
}

#[test]
fn a_model_without_gates_has_none() {
    let place = place();
    let run = ["train", "--config", "short.toml", "--router", "shared-bottom", "--out", "run"];
    place.run(&run).succeeded();
    let found = inspect(&place, &[]);
    assert_eq!((&found["gates"], &found["experts"]), (&Value::Array(Vec::new()), &0.into()));
    assert!(place.run(&["inspect", "run"]).succeeded().stdout.contains("The model has no gates."));
}

#[test]
fn wrong_input() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    check_refused(
        &place,
        &["inspect"],
        &[
            ("", 2, &["<RUN>"]),
            ("nothing", 1, &["nothing: is not the directory of a run"]),
            ("run --split tset", 2, &["'tset'", "test, validation, train"]),
            ("run --format csv", 2, &["'csv'", "--format"]),
            ("run --sweep k=1", 2, &["'--sweep'"]),
            ("run --out nowhere/file", 1, &["nowhere/file"]),
        ],
    );
}
