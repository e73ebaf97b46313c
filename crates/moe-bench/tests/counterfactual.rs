//! `moe inspect --counterfactual`: what rows would have lost with other experts.

mod common;

use common::{Place, check_refused};
use serde_json::Value;

/// Rows that were planted for four experts, and experts that each can learn what was planted for one.
const CONFIG: &str = "
    [dataset]
    name = \"synthetic\"
    train_rows = 2000
    val_rows = 500
    test_rows = 500
    experts = 4
    [model]
    experts = 4
    k = 1
    expert_width = 16
    expert_dropout = 0.0
    head_widths = []
    [train]
    epochs = 30
    batch_rows = 128
    learning_rate = 1e-2
";

fn place() -> Place {
    let place = Place::new();
    place.write("planted.toml", CONFIG);
    place
}

/// Trains a router as `run`, and returns the counterfactual of its gate.
fn counterfactual(place: &Place, router: &str, train: &[&str], inspect: &[&str]) -> Value {
    let run = ["train", "--config", "planted.toml", "--router", router, "--out", router];
    place.run(&[&run[..], train].concat()).succeeded();
    let args = ["inspect", router, "--counterfactual", "--format", "json"];
    let found = place.run(&[&args[..], inspect].concat()).succeeded().json();
    assert_eq!(found["schema"], "moe.inspect/1");
    let loss = place.json(&format!("{router}/result.json"))["test"]["loss"].as_f64().unwrap();
    let own = &found["gates"][0]["counterfactual"];
    assert!((number(own, "loss") - loss).abs() < 1e-6 * loss, "{own}");
    own.clone()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn oracle_has_hardly_any_regret_and_hash_much() {
    let place = place();
    let (oracle, hash) =
        (counterfactual(&place, "oracle", &[], &[]), counterfactual(&place, "hash", &[], &[]));
    let of = |key| [&oracle, &hash].map(|found| number(found, key));
    let [oracle_regret, hash_regret] = of("regret");
    assert!((0.0..0.1 * hash_regret).contains(&oracle_regret), "{oracle_regret} {hash_regret}");
    let [oracle_better, hash_better] = of("better_share");
    assert!(oracle_better < 0.5 && hash_better > 0.6, "{oracle_better} {hash_better}");
    // Rows at random: their own experts are no better than the others.
    let [oracle_others, hash_others] = of("others_loss");
    let [oracle_loss, hash_loss] = of("loss");
    assert!(oracle_others > 10.0 * oracle_loss, "{oracle}");
    assert!((hash_others / hash_loss - 1.0).abs() < 0.2, "{hash}");

    for found in [&oracle, &hash] {
        assert_eq!(found["sets"], serde_json::json!([{ "size": 1, "tried": 4, "of": 4.0 }]));
        assert_eq!((&found["passes"], &found["rows"]), (&(4 * 4).into(), &500.into()));
        let saved = number(found, "loss") - number(found, "best_loss");
        assert!((saved - number(found, "regret")).abs() < 1e-9, "{found}");
        // A mean over all rows is that of the groups.
        let grouping = &found["groups"][0];
        assert_eq!((&grouping["by"], &grouping["of"]), (&"planted".into(), &"expert".into()));
        let groups = grouping["groups"].as_array().unwrap();
        let sum = |key| groups.iter().map(|of| number(of, key) * number(of, "rows")).sum::<f64>();
        assert!((sum("regret") / 500.0 - number(found, "regret")).abs() < 1e-9, "{grouping}");
    }
}

#[test]
fn many_sets_are_sampled_from_the_seed_of_the_run() {
    let place = place();
    let eight = ["--epochs", "1", "--set", "model.experts=8", "--set", "model.k=3"];
    let found = counterfactual(&place, "top-k", &eight, &["--sets", "10"]);
    assert_eq!(found["sets"], serde_json::json!([{ "size": 3, "tried": 10, "of": 56.0 }]));
    assert_eq!((&found["seed"], &found["passes"]), (&1.into(), &(4 * 10).into()));
    assert_eq!(found["weights"], "equal shares of the row's total weight");
    assert!(number(&found, "regret") >= 0.0);
    let args = ["inspect", "top-k", "--counterfactual", "--sets"];
    let text = |most| place.run(&[&args[..], &[most]].concat()).succeeded().stdout;
    assert!(text("10").contains("10 of 56 sets of 3 (seed 1)"));
    assert_eq!(text("10"), text("10"));
    let all = text("56");
    for part in ["all 56 sets of 3", "224 forward passes", "planted expert", "better set"] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn it_is_asked_for_and_needs_other_sets() {
    let place = place();
    let found = counterfactual(&place, "softmax", &["--epochs", "1"], &[]);
    assert_eq!((&found["regret"], &found["others_loss"]), (&0.0.into(), &Value::Null));
    let text = place.run(&["inspect", "softmax", "--counterfactual"]).succeeded().stdout;
    assert!(text.contains("there is nothing to compare"), "{text}");
    let plain = place.run(&["inspect", "softmax", "--format", "json"]).succeeded().json();
    assert!(plain["gates"][0].get("counterfactual").is_none());
    check_refused(
        &place,
        &["inspect"],
        &[
            ("softmax --sets 10", 2, &["--counterfactual"]),
            ("softmax --counterfactual --sets 0", 2, &["--sets"]),
        ],
    );
}
