//! `model.md`, the card of a run: what it says is what the run found, and what it does not say.

mod common;

use std::error::Error;
use std::path::Path;

use common::training::{args, place};
use common::{Place, movielens};
use moe_core::Pass;
use moe_core::batch::Inputs;
use moe_core::random::{chacha, uniform};
use moe_core::tape::Tape;
use moe_nn::{ModelScratch, Models, Predictions, Predictor, Weights};
use moe_routers::Registry;
use moe_search::with_search;

/// A text with the cells of its tables as narrow as their content.
fn unpadded(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

/// The program that the card shows.
fn load(
    run: &Path,
    models: Models,
    inputs: Inputs,
    keys: Vec<u64>,
) -> Result<(Predictor, Predictions), Box<dyn Error>> {
    let predictor = Predictor::load(run, &models)?;
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    predictor.predict(&inputs, &keys, &mut out, &mut scratch)?;
    Ok((predictor, out))
}

#[test]
fn it_says_what_the_run_found() {
    let place = place();
    place.run(&args("run", &[])).succeeded();
    let (card, result) = (unpadded(&place.text("run/model.md")), place.json("run/result.json"));
    let says = |text: &str| assert!(card.contains(text), "{text:?} is not in:\n{card}");
    says("# top-k on multi-optdigits\n");
    says("- 300 training, 100 validation, 100 test rows; split with seed 0\n");
    says("- licence or terms: CC BY 4.0; E. Alpaydin and C. Kaynak");
    says("- 4 experts, 2 gates, K = 2\n");
    says(&format!("- {} parameters\n", result["parameters"]));
    says(&format!(
        "epochs, {} steps; the weights of epoch {}",
        result["steps"], result["best_epoch"]
    ));
    for task in ["left", "right"] {
        let accuracy = result["test"]["tasks"][task]["accuracy"].as_f64().unwrap();
        let interval = &result["test"]["ci95"][task]["accuracy"];
        let [low, high] = [0, 1].map(|end| interval[end].as_f64().unwrap());
        assert!(low < accuracy && accuracy < high, "{interval}");
        says(&format!("| {task} | 100 | accuracy | {accuracy:.4} | {low:.4} to {high:.4} |\n"));
    }
    let gate = &result["routing"]["gates"][1];
    let [entropy, most] = ["load_entropy", "max_load"].map(|key| gate[key].as_f64().unwrap());
    says(&format!("| 1 | 2.00 | {entropy:.3} | {most:.3} | {} |", gate["dead_experts"]));
    for alarm in result["routing"]["alarms"].as_array().unwrap() {
        says(alarm["text"].as_str().unwrap());
    }
    says(&format!("- moe {}\n", env!("CARGO_PKG_VERSION")));
    says(&format!("- instruction set: {}", moe_core::kernel::instruction_set()));
    says("\nrouters = [\"top-k\"]\n");
}

#[test]
fn the_model_is_loaded_as_it_says() {
    let place = place();
    let mut card = String::new();
    for router in ["top-k", "comet+"] {
        let run = ["train", "--config", "short.toml", "--router", router, "--epochs", "1", "--out"];
        place.run(&[&run[..], &[router]].concat()).succeeded();
        let run = place.path(router);
        let (rows, keys) = (uniform([9, 1, 12, 12], 1.0, &mut chacha(1, "rows", 0)), vec![0; 9]);
        let (batch, models) =
            (Inputs::dense(rows), Models::from(with_search(Registry::standard())));
        let (predictor, found) = load(&run, models, batch.clone(), keys.clone()).unwrap();
        let weights = Weights::load(&run.join("best.safetensors")).unwrap();
        assert_eq!(Weights::of(predictor.model()), weights);
        let tape = Tape::inference();
        let on_tape = predictor.model().run(&tape, &Pass::of_keys(&keys), &batch);
        for (task, expected) in on_tape.predictions.iter().enumerate() {
            assert_eq!(found.raw(task), expected.value().as_slice(), "{router}");
        }
        card = place.text(&format!("{router}/model.md"));
    }
    let code = card.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let here: Vec<&str> = include_str!("card.rs").lines().map(str::trim).collect();
    let is_here = |line: &str| here.contains(&line.trim());
    assert!(code.lines().count() == 3 && code.lines().all(is_here), "{code}");
}

#[test]
fn a_model_without_gates_has_a_card() {
    let place = place();
    let run = ["train", "--config", "short.toml", "--router", "shared-bottom", "--out", "run"];
    place.run(&run).succeeded();
    let card = place.text("run/model.md");
    assert!(card.contains("\nThe model has no gates.\n") && !card.contains("gates, K"), "{card}");
}

/// A run on files, with every option that is a place.
fn on_files(place: &Place) -> String {
    place.write("tables/mine.csv", format!("user,movie,watch,rating\n{}", movielens(400)));
    let place_of =
        |key: &str, name: &str| format!("dataset.{key}='{}'", place.path(name).display());
    let set = [
        place_of("ratings_file", "tables/mine.csv"),
        place_of("cache_dir", "cache"),
        place_of("data_dir", "tables"),
    ];
    let mut run = vec!["train", "--preset", "smoke", "--dataset", "movielens-csv", "--out", "run"];
    run.extend(["--router", "top-k", "--set", "dataset.user_column=user", "--set"]);
    run.extend(["dataset.item_column=movie", "--epochs", "1"]);
    set.iter().for_each(|set| run.extend(["--set", set]));
    place.run(&run).succeeded();
    unpadded(&place.text("run/model.md"))
}

#[test]
fn it_does_not_say_where_the_files_were() {
    let place = Place::new();
    let card = on_files(&place);
    let folder = place.path("").display().to_string();
    assert!(place.text("run/config.resolved.toml").contains(&folder), "the test has such paths");
    assert!(!card.contains(&folder), "{card}");
    assert!(card.contains("ratings_file = \"mine.csv\"\n"), "{card}");
    assert!(card.contains("| watch | 80 | auc | "), "{card}");
    assert!(card.contains("| rating | ") && card.contains(" | mse | "), "{card}");
}
