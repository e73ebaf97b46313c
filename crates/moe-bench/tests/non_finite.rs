//! Predictions that are not finite are counted and named, and never passed on as numbers.

mod common;

use std::fs;
use std::ops::Range;

use common::Place;
use common::people::{csv, jsonl, predict, row, table};
use moe_core::Real;
use moe_data::FeatureSchema;
use moe_nn::{Models, OptimizerOptions, RunDir, RunInfo, SavedModel, TrainState};
use serde_json::Value;

/// A folder with a run over the table, in which `part` of the weights with this name is not a number.
fn with_nan(name: &str, part: impl FnOnce(&FeatureSchema) -> Range<usize>) -> Place {
    let place = table();
    let (path, models) = (place.path("run"), Models::standard());
    let saved = SavedModel::open(&path).unwrap();
    let description = saved.description(&models).unwrap();
    let mut model = models.build(&*description, 1).unwrap();
    saved.weights().put_into(&mut *model).unwrap();
    let [config, features] = [saved.config(), saved.features()].map(|text| text.map(str::to_owned));
    let part = part(&serde_json::from_str(features.as_ref().unwrap()).unwrap());
    let mut names = Vec::new();
    model.visit_mut(&mut |weights, mut state| {
        names.push(weights.to_owned());
        if weights == name {
            state.tensor_mut().as_mut_slice()[part.clone()].fill(Real::NAN);
        }
    });
    assert!(names.contains(&name.to_owned()), "{names:?}");
    fs::remove_dir_all(&path).unwrap();
    let state = TrainState::new(&*model, OptimizerOptions::default());
    let info = RunInfo { config, features, model: description.to_json(), fold: None, seed: 1 };
    RunDir::create(&path, info, &state).unwrap().finish().unwrap();
    place
}

/// With this user's embedding, so that rows of this user have no prediction.
fn without_user(name: &str) -> Place {
    with_nan("encoder.user.weight", |schema| {
        let id = schema.ids[0].vocabulary.names().position(|user| user == name).unwrap();
        id * 3..id * 3 + 3
    })
}

#[test]
fn rows_without_a_finite_prediction_are_refused_or_left_empty() {
    let place = without_user("u4");
    place.write("rows.csv", csv(0..60));
    place.write("rows.jsonl", jsonl(0..60));
    let of_user = |i: &usize| row(*i)[1] == "u4";
    let count = (0..60).filter(of_user).count();
    let found = format!("{count} of 60 rows have predictions that are not finite");

    // A text of two lines is in each row.
    let ran = predict(&place, "--input rows.csv --output out.csv");
    let first = "the first in line 10, task bought (all are in out.csv.";
    ran.failed(1, &["error: rows.csv: ", &found, first, "--non-finite null"]);
    assert!(!place.path("out.csv").exists());
    let ran = predict(&place, "--input rows.jsonl");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("error: rows.jsonl: ") && ran.stderr.contains(&found));
    assert!(ran.stderr.contains("the first in line 5, task bought;"), "{}", ran.stderr);
    let refused = ran.stdout;

    let ran = predict(&place, "--input rows.jsonl --non-finite null").succeeded();
    let warning =
        format!("warning: rows.jsonl: {found}, left empty; the first in line 5, task bought\n");
    assert!(ran.stderr.contains(&warning), "{}", ran.stderr);
    assert_eq!(ran.stdout, refused, "stdout has no number that is none in either case");
    for (i, line) in ran.stdout.lines().enumerate() {
        let object: Value = serde_json::from_str(line).unwrap();
        for (key, value) in object.as_object().unwrap() {
            assert_eq!(value.is_null(), of_user(&i) && key != "line", "{line}");
        }
    }
    let args =
        "--input rows.csv --output out.csv.gz --output-format csv --keep user --non-finite null";
    predict(&place, args).succeeded();
    let ran = predict(&place, "--input rows.csv --keep user --non-finite null").succeeded();
    for (i, line) in ran.stdout.lines().skip(1).enumerate() {
        assert_eq!(line == "u4,,,,,", of_user(&i), "{line}");
    }
    // A row that cannot be read ends it first, and the count is told.
    place.write("rows.csv", csv(0..8) + "x\n");
    let ran = predict(&place, "--input rows.csv");
    assert!(ran.stderr.contains("warning: rows.csv: 1 of 8 rows have"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: rows.csv, line 18: 1 fields"), "{}", ran.stderr);
}

#[test]
fn an_evaluation_of_them_is_refused() {
    let place = without_user("u4");
    let says = [
        "run: the predictions of the task bought are not finite for ",
        " of 20 rows of the test split",
    ];
    for more in ["", "--format json", "--sweep k=1,2"] {
        let args: Vec<&str> = ["eval", "run"].into_iter().chain(more.split_whitespace()).collect();
        place.run(&args).failed(1, &says);
    }
    // One task alone: it is the one that is named.
    let place = with_nan("heads.1.1.bias", |_| 0..1);
    let says = ["the predictions of the task stars are not finite for 20 of 20 rows"];
    place.run(&["eval", "run"]).failed(1, &says);
}
