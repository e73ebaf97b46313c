//! Data with planted groups: the fixed points `hash`, `static` and `oracle`, and what is reported of the routers between them.

mod common;

use common::{Place, check_refused};
use serde_json::Value;

/// Eight experts that each can learn one domain, and a few epochs.
const CONFIG: &str = "
    [dataset]
    name = \"domain-optdigits\"
    [model]
    experts = 8
    k = 1
    expert_width = 16
    expert_dropout = 0.0
    head_widths = []
    [train]
    epochs = 4
    batch_rows = 512
    learning_rate = 1e-2
    [run]
    seeds = 2
    baseline = \"hash\"
";

fn place() -> Place {
    let place = Place::new();
    place.write("domains.toml", CONFIG);
    place
}

fn compare(place: &Place, routers: &str, more: &[&str]) -> Value {
    let args = ["compare", "--config", "domains.toml", "--format", "json", "--progress", "none"];
    place.run(&[&args, &["--routers", routers][..], more].concat()).succeeded().json()
}

/// The mean test loss of a router.
fn loss(comparison: &Value, router: &str) -> f64 {
    summary(comparison, router)["test_loss"]["mean"].as_f64().unwrap()
}

fn summary<'a>(comparison: &'a Value, router: &str) -> &'a Value {
    let summaries = comparison["summary"].as_array().unwrap();
    summaries.iter().find(|summary| summary["router"] == router).unwrap()
}

/// A number of the routing of a router's first run.
fn routing(comparison: &Value, router: &str, key: &str) -> f64 {
    let runs = comparison["runs"].as_array().unwrap();
    let run = runs.iter().find(|run| run["router"] == router).unwrap();
    run["routing"][key].as_f64().unwrap()
}

#[test]
fn routers_lie_between_hash_and_oracle() {
    let found = compare(&place(), "hash,oracle,static,x-moe", &[]);
    let of = |router| loss(&found, router);
    assert!(of("oracle") < 0.6 * of("static"), "{found}");
    assert!(of("static") < of("hash") && of("oracle") < of("x-moe"), "{found}");
    for router in ["static", "x-moe"] {
        let gap = &summary(&found, router)["gap_closed"];
        let share = (of("hash") - of(router)) / (of("hash") - of("oracle"));
        assert!((gap["share"].as_f64().unwrap() - share).abs() < 1e-12, "{gap}");
        assert!(gap["ci95"].is_array(), "{gap}");
    }
    for end in ["hash", "oracle"] {
        assert!(summary(&found, end).get("gap_closed").is_none());
    }
    assert_eq!(routing(&found, "oracle", "adjusted_rand_index"), 1.0);
    for router in ["hash", "static"] {
        assert!(routing(&found, router, "adjusted_rand_index").abs() < 0.01, "{router}");
    }
    assert_eq!(routing(&found, "oracle", "load_entropy"), 1.0);
    assert_eq!(routing(&found, "static", "top_set_share"), 1.0);
    assert_eq!(routing(&found, "static", "dead_experts"), 7.0);
}

#[test]
fn the_gap_is_told_where_both_ends_are_there() {
    let place = place();
    let text = |routers| {
        let args = ["compare", "--config", "domains.toml", "--epochs", "1", "--progress", "none"];
        place.run(&[&args[..], &["--routers", routers, "--wide"]].concat()).succeeded().stdout
    };
    let whole = text("hash,oracle,switch");
    assert!(whole.contains("that a router closes, with its 95 % interval"), "{whole}");
    assert!(whole.contains("rand index"), "{whole}");
    assert!(!text("hash,switch").contains("closes"));
}

/// Two experts a row for some and one for the others is no comparison.
#[test]
fn the_ends_of_the_gap_have_k_experts_too() {
    let place = place();
    let two = ["--epochs", "1", "--set", "model.k=2"];
    let one_each = compare(&place, "hash,oracle,top-k", &two);
    assert!(summary(&one_each, "top-k").get("gap_closed").is_none());
    let k = ["--set", "routers.hash.k-experts=true", "--set", "routers.oracle.k-experts=true"];
    let found = compare(&place, "hash,oracle,top-k", &[two, k].concat());
    assert!(summary(&found, "top-k")["gap_closed"]["share"].is_number());
    for router in ["hash", "oracle"] {
        assert_eq!(routing(&found, router, "experts_per_row_train"), 2.0);
    }
    assert!(loss(&found, "oracle") < loss(&found, "hash"), "{found}");
}

#[test]
fn a_router_that_reads_groups_needs_them() {
    let place = place();
    for id in ["oracle", "oracle+"] {
        let dataset = ["--dataset", "optdigits", "--progress", "none"];
        let args =
            [&["compare", "--config", "domains.toml", "--routers", id][..], &dataset].concat();
        let says = format!(
            "router {id} needs a data set with planted groups: domain-optdigits, synthetic; optdigits has none"
        );
        place.run(&args).failed(2, &[&says]);
    }
    let synthetic = ["--dataset", "synthetic", "--epochs", "1", "--set", "run.seeds=1"];
    let found = compare(&place, "oracle", &synthetic);
    assert_eq!(routing(&found, "oracle", "adjusted_rand_index"), 1.0);
}

#[test]
fn a_saved_oracle_is_evaluated_and_predicts_nothing() {
    let place = place();
    let train = ["train", "--config", "domains.toml", "--router", "oracle", "--epochs", "1"];
    place.run(&[&train[..], &["--out", "run"]].concat()).succeeded();
    let result = place.json("run/result.json");
    let found = place.run(&["eval", "run", "--format", "json"]).succeeded().json();
    assert_eq!(found["loss"], result["test"]["loss"]);
    let inspected = place.run(&["inspect", "run", "--format", "json"]).succeeded().json();
    let groupings = inspected["gates"][0]["groups"].as_array().unwrap();
    let planted = groupings.iter().find(|grouping| grouping["by"] == "planted").unwrap();
    assert_eq!(
        (&planted["of"], planted["groups"].as_array().unwrap().len()),
        (&"domain".into(), 8)
    );
    for (domain, group) in planted["groups"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&group["load_share"][domain], &group["rows"]), (&1.0.into(), &1797.into()));
    }
    let text = place.run(&["inspect", "run"]).succeeded().stdout;
    assert!(text.contains("planted domain"), "{text}");

    place.write("rows.csv", "a\n1\n");
    let says = ["run: the model routes rows by their planted group"];
    place.run(&["predict", "run", "--input", "rows.csv"]).failed(1, &says);
    check_refused(&place, &["eval"], &[("run --sweep k=2", 2, &["oracle does not use K"])]);
}

/// With one expert a row, MOESART as published learns nothing; its fallback weights the drawn expert by its probability.
#[test]
fn moesart_with_one_expert_a_row_needs_its_fallback() {
    let place = place();
    let args = ["compare", "--config", "domains.toml", "--routers", "moesart"];
    place.run(&args).failed(2, &["k = 1 is not allowed", "or set k1-fallback = true"]);
    let fallback = ["--set", "routers.moesart.k1-fallback=true"];
    let found = compare(&place, "hash,moesart", &fallback);
    assert_eq!(routing(&found, "moesart", "experts_per_row_train"), 1.0);
    assert!(loss(&found, "moesart") < loss(&found, "hash"), "{found}");
}

#[test]
fn data_with_groups_are_described() {
    let place = place();
    let listed = place.run(&["data", "list"]).succeeded().stdout;
    let entry = listed.split("\ndomain-optdigits\n").nth(1).unwrap();
    assert!(entry.contains("\n    planted groups: the domain of each row\n"), "{listed}");
    let stats = place.run(&["data", "stats", "domain-optdigits"]).succeeded().stdout;
    for line in [
        "domain-optdigits: 44960 rows (train 26000, val 4584, test 14376)",
        "planted groups: 8, the domain of each row, 5620 rows each",
        "the original has rows = 44960: the same here",
    ] {
        assert!(stats.contains(line), "{line}: {stats}");
    }
    let stats = place.run(&["data", "stats", "synthetic"]).succeeded().stdout;
    assert!(stats.contains("planted groups: 8, the expert of each row, 1"), "{stats}");
    let stats = place.run(&["data", "stats", "optdigits"]).succeeded().stdout;
    assert!(!stats.contains("planted"), "{stats}");
}
