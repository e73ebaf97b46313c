//! Tables of the user's own through the command: from any directory, with missing labels, and by their own column names.

mod common;

use std::path::Path;

use common::{Place, Ran};
use moe_core::batch::BatchSource;
use moe_data::{LoadOptions, TableOptions};
use serde_json::Value;

const TABLE: &str = r#"
[dataset]
name = "table"
[dataset.table]
file = "people.csv"
numbers = ["age"]
targets = [{ column = "stars", kind = "regression" },
           { column = "bought", kind = "binary", positive = "yes" },
           { column = "pay", kind = "regression" }]
[model]
experts = 4
expert_width = 4
head_widths = [4]
[train]
epochs = 2
[run]
routers = ["top-k"]
seeds = 1
"#;

/// Rows of which those that `is_labelled` have a label of `bought` and of `pay`.
fn csv(is_labelled: impl Fn(usize) -> bool) -> String {
    let line = |i: usize| {
        let [bought, pay] = match is_labelled(i) {
            true => [["yes", "no"][i % 2].to_owned(), (i % 7).to_string()],
            false => ["NA".into(), String::new()],
        };
        format!("{},{},{bought},{pay}\n", 20 + i % 37, i % 5)
    };
    format!("age,stars,bought,pay\n{}", (0..200).map(line).collect::<String>())
}

fn place() -> Place {
    let place = Place::new();
    place.write("work/people.csv", csv(|i| i % 4 > 0));
    place.write("work/table.toml", TABLE);
    place
}

/// Runs the command in a folder of the place.
fn run_in(place: &Place, folder: &str, args: &[&str]) -> Ran {
    let path = place.path(folder);
    std::fs::create_dir_all(&path).unwrap();
    Ran::of(place.command(args).current_dir(path))
}

const TRAIN: [&str; 7] =
    ["train", "--config", "table.toml", "--router", "top-k", "--progress", "none"];

fn train(place: &Place, more: &[&str]) -> Ran {
    run_in(place, "work", &[&TRAIN, more].concat())
}

fn eval(place: &Place, folder: &str, run: &Path, more: &[&str]) -> Value {
    let args = ["eval", run.to_str().unwrap(), "--format", "json"];
    run_in(place, folder, &[&args, more].concat()).succeeded().json()["tasks"].clone()
}

#[test]
fn a_run_is_evaluated_from_any_directory() {
    let place = place();
    train(&place, &["--out", "run"]).succeeded();
    let run = place.path("work/run");
    let here = eval(&place, "work", Path::new("run"), &[]);
    assert_eq!(eval(&place, "elsewhere", &run, &[]), here);
    run_in(&place, "elsewhere", &["inspect", run.to_str().unwrap()]).succeeded();
    // Resuming compares what the configuration means, from wherever it is resumed.
    train(&place, &["--out", "run", "--resume"]).succeeded();

    // In the data directory, also where that is named relative to the working directory.
    place.write("work/data/table/people.csv", place.read("work/people.csv"));
    std::fs::remove_file(place.path("work/people.csv")).unwrap();
    train(&place, &["--out", "second", "--data-dir", "data"]).succeeded();
    assert_eq!(eval(&place, "elsewhere", &place.path("work/second"), &[]), here);

    // Data that have moved, and others of the same name.
    let missing = run_in(&place, "elsewhere", &["eval", run.to_str().unwrap()]);
    missing.failed(1, &["the data set table needs the file ", "people.csv, which is not there"]);
    place.write("moved/table/people.csv", place.read("work/data/table/people.csv"));
    assert_eq!(eval(&place, "elsewhere", &run, &["--data-dir", "../moved"]), here);
    place.write("work/people.csv", csv(|i| i % 5 > 0));
    assert_eq!(eval(&place, "elsewhere", &run, &["--data-dir", "../moved"]), here);
    assert_ne!(eval(&place, "elsewhere", &run, &[]), here);
}

#[test]
fn stats_count_labels_that_are_missing() {
    let place = place();
    let text = run_in(&place, "work", &["data", "stats", "table", "--config", "table.toml"]);
    let text = text.succeeded().stdout;
    assert!(text.contains("bought: 150 rows; 50 rows have no label\n"), "{text}");
    // Of 150, 50 have an even number: yes.
    assert!(text.contains("    1        50  33.3 %"), "{text}");
    assert!(text.contains("stars: 200 rows, mean"), "{text}");
}

/// A task without a target in the test split has no score there, and the others have theirs.
#[test]
fn without_labels_there_is_no_score() {
    let place = place();
    let config: toml::Value = toml::from_str(TABLE).unwrap();
    let table = serde_json::to_value(&config["dataset"]["table"]).unwrap();
    let table: TableOptions = serde_json::from_value(table).unwrap();
    let table = TableOptions { file: place.path("work/people.csv"), ..table };
    let options = LoadOptions { table: Some(table), ..LoadOptions::default() };
    let data = moe_data::load("table", &options).unwrap();
    let test: Vec<usize> = data.test.row_ids().iter().map(|&row| row as usize).collect();
    assert_eq!(data.test.rows(), test.len());
    place.write("work/people.csv", csv(|i| !test.contains(&i)));

    let object = train(&place, &["--format", "json"]).succeeded().json();
    let tasks = &object["test"]["tasks"];
    assert!(tasks["stars"]["mse"].as_f64().unwrap() > 0.0);
    for (task, metrics) in
        [("bought", ["loss", "auc", "accuracy"]), ("pay", ["loss", "mse", "mse"])]
    {
        for metric in metrics {
            assert!(tasks[task].as_object().unwrap().contains_key(metric), "{tasks}");
            assert_eq!(tasks[task][metric], Value::Null, "{tasks}");
        }
        assert_eq!(object["test"]["ci95"][task]["rows"], 0);
    }
    // The loss is that of the task that has one.
    assert_eq!(object["test"]["loss"], tasks["stars"]["loss"]);
    assert!(!object.to_string().contains("-0.0"), "{object}");
    for args in [&TRAIN[..], &["compare", "--config", "table.toml", "--progress", "none"]] {
        let text = run_in(&place, "work", args).succeeded().stdout;
        assert!(text.contains("pay") && !text.contains("-0.0"), "{text}");
    }
    let text = run_in(&place, "work", &[&TRAIN[..], &["--out", "run"]].concat()).succeeded();
    drop(text);
    assert!(!place.text("work/run/model.md").contains("-0.0"));
}

/// A model knows the columns of ratings by the names in the user's file.
#[test]
fn columns_of_ratings_keep_their_names() {
    let place = Place::new();
    let line = |i: usize| format!("r{},b{},{}\n", i / 6, (i / 6 + 5 * (i % 6)) % 12, i % 4 + 1);
    let lines: String = (0..144).map(line).collect();
    place.write("books.csv", format!("reader,book,stars\n{lines}"));
    let train = [
        "train",
        "--preset=smoke",
        "--dataset=movielens-csv",
        "--router=top-k",
        "--out=run",
        "--set=dataset.ratings_file=books.csv",
        "--set=dataset.user_column=reader",
        "--set=dataset.item_column=book",
        "--set=dataset.rating_column=stars",
        "--progress=none",
    ];
    place.run(&train).succeeded();
    let predict =
        |input: &str| place.run(&["predict", "run", "--input", input, "--progress", "none"]);
    let rows = predict("books.csv").succeeded().stdout;
    assert_eq!(rows.lines().count(), 145);
    place.write("others.csv", "user,item\nr1,b1\n");
    let wrong = predict("others.csv");
    assert!(!wrong.stderr.contains("did you mean"), "{}", wrong.stderr);
    wrong.failed(1, &["no column \"reader\" in the header \"user,item\""]);
    // The file of the ratings is found from any directory, too.
    let run = place.path("run");
    eval(&place, "elsewhere", &run, &[]);
}
