//! `moe compare` with good input: what it prints, what it leaves, and that its flags do what they say.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Place, Ran, SMOKE, gzip, movielens, timeless};
use moe_bench::Config;
use serde_json::Value;

/// The values at a path, in which `*` stands for every item of a list or object.
fn at<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    path.split('/').filter(|part| !part.is_empty()).fold(vec![value], |values, part| {
        let children = |value: &'a Value| -> Vec<&'a Value> {
            match (part, value) {
                ("*", Value::Array(items)) => items.iter().collect(),
                ("*", Value::Object(fields)) => fields.values().collect(),
                (key, _) => vec![value.get(key).unwrap_or_else(|| panic!("no {path} in {value}"))],
            }
        };
        values.into_iter().flat_map(children).collect()
    })
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().filter(|v| v.is_finite()).unwrap_or_else(|| panic!("{value} is not a number"))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// The keys of a host.
const HOST: &str = "commit instruction_set jobs name precision system threads version";

/// Holds a comparison against the contract `moe.compare/1`: every field, its type, and what must agree.
fn check_contract(object: &Value) {
    // What is an object has these keys, and no others. (serde_json sorts them.)
    for (path, wanted) in [
        ("", "config dataset host runs schema summary"),
        ("dataset", "name rows tasks"),
        ("dataset/tasks/*", "kind main_metric name"),
        ("dataset/rows", "test train val"),
        ("config", "dataset model routers run train"),
        ("host", HOST),
        ("runs/*/host", HOST),
        (
            "runs/*/cost",
            "cpu_seconds peak_memory_bytes test_microseconds_per_row train_rows_per_second wall_seconds",
        ),
        (
            "runs/*",
            "best_epoch cost curve epochs host k num_experts parameters router routing seconds seed steps \
             steps_per_second test val_loss",
        ),
        ("runs/*/test", "ci95 loss tasks"),
        ("runs/*/curve", "experts_per_row seconds train val"),
        ("summary/*", "router runs test_loss vs_baseline"),
        ("summary/*/test_loss", "mean stderr"),
    ] {
        for value in at(object, path) {
            let wanted: Vec<&str> = wanted.split_whitespace().collect();
            assert_eq!(keys(value), wanted, "keys of {path:?}");
        }
    }
    assert_eq!(object["schema"], "moe.compare/1");
    for path in ["dataset/name", "dataset/tasks/*/name", "runs/*/router", "summary/*/router"] {
        assert!(
            at(object, path).iter().all(|v| v.as_str().is_some_and(|s| !s.is_empty())),
            "{path}"
        );
    }
    for path in [
        "dataset/rows/*",
        "host/threads",
        "host/jobs",
        "runs/*/num_experts",
        "runs/*/k",
        "runs/*/parameters",
        "runs/*/epochs",
        "runs/*/best_epoch",
        "runs/*/steps",
        "summary/*/runs",
    ] {
        assert!(at(object, path).iter().all(|v| v.as_u64().is_some_and(|v| v > 0)), "{path}");
    }
    for path in [
        "runs/*/val_loss",
        "runs/*/test/loss",
        "runs/*/seconds",
        "runs/*/steps_per_second",
        "runs/*/cost/wall_seconds",
        "runs/*/cost/train_rows_per_second",
        "runs/*/cost/test_microseconds_per_row",
    ] {
        assert!(at(object, path).iter().all(|value| number(value) > 0.0), "{path}");
    }
    at(object, "runs").iter().for_each(|runs| assert!(runs.is_array()));
    for run in at(object, "runs/*") {
        check_run(run, object);
    }
    check_summary(object);
}

fn check_run(run: &Value, object: &Value) {
    assert!(run["seed"].is_u64());
    let epochs = run["epochs"].as_u64().unwrap();
    assert!(run["best_epoch"].as_u64().unwrap() <= epochs);
    let losses = run["curve"]["val"].as_array().unwrap();
    assert_eq!(losses.len() as u64, epochs);
    let best = losses.iter().map(number).fold(f64::INFINITY, f64::min);
    assert_eq!(best, number(&run["val_loss"]));
    let rows = object["dataset"]["rows"]["train"].as_u64().unwrap();
    let batch_rows = object["config"]["train"]["batch_rows"].as_u64().unwrap();
    assert_eq!(run["steps"], epochs * rows.div_ceil(batch_rows));

    let tasks = object["dataset"]["tasks"].as_array().unwrap();
    let results = &run["test"]["tasks"];
    assert_eq!(keys(results).len(), tasks.len());
    for task in tasks {
        let result = &results[task["name"].as_str().unwrap()];
        let metrics: &[&str] = match task["kind"].as_str().unwrap() {
            "binary" => &["accuracy", "auc", "loss"],
            "multiclass" => &["accuracy", "loss"],
            "regression" => &["loss", "mse"],
            other => panic!("kind {other}"),
        };
        assert_eq!(keys(result), metrics);
        for (name, value) in result.as_object().unwrap() {
            let most = if ["accuracy", "auc"].contains(&&name[..]) { 1.0 } else { f64::MAX };
            assert!((0.0..=most).contains(&number(value)), "{name} {value}");
        }
    }
    let sum: f64 = at(results, "*/loss").into_iter().map(number).sum();
    assert!(close(number(&run["test"]["loss"]), sum), "all weights are 1");

    let routing = &run["routing"];
    let mut wanted = vec![
        "alarms",
        "dead_experts",
        "experts_per_row_eval",
        "experts_per_row_train",
        "gates",
        "load_entropy",
        "max_load",
        "mutual_information",
        "rows_up_to_k",
        "top_set_share",
    ];
    if object["dataset"]["name"] == "synthetic" {
        wanted.insert(0, "adjusted_rand_index");
        assert!((-1.0..=1.0).contains(&number(&routing["adjusted_rand_index"])));
    }
    assert_eq!(keys(routing), wanted);
    let experts = number(&run["num_experts"]);
    assert!(routing["dead_experts"].is_u64() && number(&routing["dead_experts"]) < experts);
    assert!((0.0..=1.0).contains(&number(&routing["load_entropy"])));
    assert!((1.0 / experts..=1.0).contains(&number(&routing["max_load"])));
    for key in ["mutual_information", "rows_up_to_k", "top_set_share"] {
        assert!((0.0..=1.0).contains(&number(&routing[key])), "{key}");
    }
    let gates = routing["gates"].as_array().unwrap();
    assert_eq!(gates.len(), tasks.len());
    for gate in gates {
        assert_eq!(gate["rows"], object["dataset"]["rows"]["test"]);
        assert_eq!(gate["load_share"].as_array().unwrap().len() as f64, experts);
    }
    for key in ["experts_per_row_train", "experts_per_row_eval"] {
        let found = number(&routing[key]);
        match run["router"].as_str().unwrap() {
            "softmax" => assert_eq!(found, experts, "{key}"),
            "hash" | "switch" => assert_eq!(found, 1.0, "{key}"),
            "comet" | "dselect-k" | "expert-choice" => assert!(found > 0.0 && found <= experts),
            _ => assert_eq!(found, number(&run["k"]), "{key}"),
        }
    }
}

/// Routers in the order asked for, each seed once, and means that are the means.
fn check_summary(object: &Value) {
    let run = &object["config"]["run"];
    let (seeds, first) = (run["seeds"].as_u64().unwrap(), run["first_seed"].as_u64().unwrap());
    let routers = run["routers"].as_array().unwrap();
    let wanted: Vec<(&Value, u64)> =
        routers.iter().flat_map(|router| (0..seeds).map(move |i| (router, first + i))).collect();
    let found = at(object, "runs/*");
    let found: Vec<_> =
        found.iter().map(|run| (&run["router"], run["seed"].as_u64().unwrap())).collect();
    assert_eq!(found, wanted);
    assert_eq!(at(object, "summary/*/router"), routers.iter().collect::<Vec<_>>());

    let mut means: BTreeMap<&str, f64> = BTreeMap::new();
    for run in at(object, "runs/*") {
        *means.entry(run["router"].as_str().unwrap()).or_default() +=
            number(&run["test"]["loss"]) / seeds as f64;
    }
    for line in at(object, "summary/*") {
        let mean = means[line["router"].as_str().unwrap()];
        assert_eq!(line["runs"], seeds);
        assert!(close(number(&line["test_loss"]["mean"]), mean));
        assert_eq!(line["test_loss"]["stderr"].is_null(), seeds == 1, "one run has no error");
        let against = &line["vs_baseline"];
        if against.is_null() {
            continue;
        }
        let wanted =
            "baseline bootstrap95 ci95 corrected95 p_adjusted p_value pairs relative verdict";
        assert_eq!(keys(against), wanted.split(' ').collect::<Vec<_>>());
        assert_eq!(against["pairs"], seeds);
        for key in ["bootstrap95", "corrected95", "p_adjusted", "p_value", "verdict"] {
            assert_eq!(against[key].is_null(), seeds == 1, "{key}");
        }
        let baseline = means[against["baseline"].as_str().unwrap()];
        let relative = number(&against["relative"]);
        assert!(close(1.0 + relative, mean / baseline));
        assert_eq!(against["ci95"].is_null(), seeds == 1);
        if let Some(interval) = against["ci95"].as_array() {
            assert!(number(&interval[0]) <= relative && relative <= number(&interval[1]));
            assert_eq!(interval.len(), 2);
            let corrected = at(against, "corrected95/*").into_iter().map(number);
            let [low, high] = corrected.collect::<Vec<_>>()[..] else { panic!("{against}") };
            assert!(low <= number(&interval[0]) && number(&interval[1]) <= high, "{against}");
            assert!(number(&against["p_value"]) <= number(&against["p_adjusted"]));
            let excludes_zero = low > 0.0 || high < 0.0;
            let verdict = against["verdict"].as_str().unwrap();
            assert!(excludes_zero || !["better", "worse"].contains(&verdict), "{against}");
            assert_eq!(verdict == "better", high < 0.0, "{against}");
        }
    }
    let baselines = at(object, "summary/*/vs_baseline");
    assert_eq!(baselines.iter().filter(|against| against.is_null()).count(), 1);
}

/// The files of a comparison.
const FILES: [&str; 5] =
    ["config.resolved.toml", "report.html", "report.md", "results.json", "runs.jsonl"];

#[test]
fn json_keeps_the_contract_and_is_what_the_files_hold() {
    let place = Place::new();
    let args = ["compare", "--preset", "smoke", "--progress", "plain", "--format", "json"];
    let ran = place.run(&[&args[..], &["--out", "a"]].concat()).succeeded();
    let object = ran.json();
    check_contract(&object);
    assert!(ran.stderr.contains("top-k seed 2: epoch 2, train loss"), "{}", ran.stderr);
    for says in ["results are in a\n", "the page about them is a/report.html\n"] {
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }

    assert_eq!(place.list("a"), FILES);
    assert_eq!(place.json("a/results.json"), object);
    let runs: Vec<serde_json::Value> =
        place.text("a/runs.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(runs, *object["runs"].as_array().unwrap());
    let resolved = Config::read(&place.path("a/config.resolved.toml")).unwrap();
    assert_eq!(serde_json::to_value(&resolved).unwrap(), object["config"]);
    assert_eq!(object["config"]["routers"]["top-k"]["load-balance"], 0.0, "defaults are recorded");
    let report = place.text("a/report.md");
    for text in [
        "# softmax, top-k, noisy-top-k, switch, ",
        " compared on multi-optdigits",
        "| top-k ",
        "batch_rows = 100",
    ] {
        assert!(report.contains(text), "{report}");
    }

    let config = ["compare", "--config", "a/config.resolved.toml", "--out", "b"];
    let again = place.run(&[&config[..], &["--format", "json"]].concat()).succeeded().json();
    assert_eq!(timeless(again), timeless(object));
    assert_eq!(place.read("a/config.resolved.toml"), place.read("b/config.resolved.toml"));
}

#[test]
fn results_do_not_depend_on_the_threads() {
    let place = Place::new();
    let calls = [(1, 1), (2, 1), (3, 1), (4, 3), (1, 2)];
    let objects = calls.map(|(threads, jobs)| {
        let [threads, jobs] = [threads, jobs].map(|count: u32| count.to_string());
        place.smoke_json(&["--threads", &threads, "--jobs", &jobs])
    });
    for (object, (threads, jobs)) in objects.iter().zip(calls) {
        check_contract(object);
        // Each job has one thread at least.
        assert_eq!(object["host"]["threads"], threads.max(jobs));
        assert_eq!(object["host"]["jobs"], jobs);
        assert_eq!(object["runs"][0]["host"]["jobs"], jobs);
        assert_eq!(object["runs"][0]["cost"]["cpu_seconds"].is_null(), jobs > 1);
        assert_eq!(timeless(object.clone()), timeless(objects[0].clone()), "{threads} {jobs}");
    }
}

#[test]
fn tables_are_for_people() {
    let place = Place::new();
    let routers = ["--routers", "softmax,top-k"];
    let ran = place.smoke(&[&routers[..], &["--set", "dataset.seed=3", "--wide"]].concat());
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.len() >= 5, "head, two routers, a blank line, how to read it: {}", ran.stdout);
    assert_eq!((lines[3], lines.len() > 5), ("", lines.get(5) == Some(&"")), "{}", ran.stdout);
    for head in ["router", "test loss", "left accuracy", "dead", "seconds", "vs baseline"] {
        assert!(lines[0].contains(head), "{head:?}: {}", lines[0]);
    }
    assert!(lines[1].starts_with(" softmax ") && lines[1].contains(" % ["), "{}", lines[1]);
    assert!(lines[2].starts_with(" top-k ") && lines[2].contains(" baseline"), "{}", lines[2]);
    assert!(lines[4].contains("600 training, 200 validation, 200 test rows; 2 seed(s)"));

    let markdown = place.smoke(&[&routers[..], &["--format", "md"]].concat()).stdout;
    let rows: Vec<&str> = markdown.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 4, "{markdown}");
    let bars = |row: &str| row.matches('|').count();
    assert!(
        rows.iter().all(|row| row.starts_with('|') && bars(row) == bars(rows[0])),
        "{markdown}"
    );

    // A gate that is the same for all rows is pointed out.
    let one_set = ["--routers", "dselect-k", "--set", "routers.dselect-k.static=true"];
    let table = place.smoke(&one_set).stdout;
    assert!(table.contains("\n- same weights: dselect-k 4 of 4"), "{table}");
    assert!(rows[1].bytes().all(|byte| b"|-: ".contains(&byte)), "{markdown}");
}

#[test]
fn flags_change_what_they_name() {
    let place = Place::new();
    let one = place.smoke_json(&["--routers", "top-k,softmax", "--seeds", "1", "--epochs", "1"]);
    check_contract(&one);
    assert_eq!(one["config"]["run"]["routers"], serde_json::json!(["top-k", "softmax"]));
    assert_eq!((&one["runs"][0]["epochs"], one["runs"].as_array().unwrap().len()), (&1.into(), 2));

    let three = place.smoke_json(&["--routers", "softmax", "--seeds", "3", "--epochs", "1"]);
    check_contract(&three);
    assert_eq!(three["runs"][0]["test"], one["runs"][1]["test"], "the same run among others");

    let set = ["run.first_seed=2", "model.expert_width=8", "model.head_widths=[4, 4]"];
    let set = set.iter().flat_map(|set| ["--set", *set]).collect::<Vec<_>>();
    let set = place.smoke_json(
        &[&["--seeds", "1", "--epochs", "1", "--set", "train.epochs=1"], &set[..]].concat(),
    );
    check_contract(&set);
    assert_eq!(set["runs"][0]["epochs"], 1);
    assert_eq!(set["runs"][0]["seed"], 2);
    // 4 experts of 144 -> 8, two gates, two heads 8 -> 4 -> 4 -> 10.
    let (experts, gate, head) = (4 * 145 * 8, 145 * 4, 9 * 4 + 5 * 4 + 5 * 10);
    assert_eq!(set["runs"][0]["parameters"], experts + 2 * gate + 2 * head);
}

#[test]
fn a_parameter_of_a_router_reaches_it() {
    let place = Place::new();
    let short = ["--routers", "top-k", "--seeds", "1", "--epochs", "2"];
    let without = place.smoke_json(&short);
    let key = ["--set", "routers.top-k.load-balance=10"];
    let with = place.smoke_json(&[&short[..], &key].concat());
    assert_eq!(with["config"]["routers"]["top-k"]["load-balance"], 10.0);
    assert_ne!(with["runs"][0]["test"]["loss"], without["runs"][0]["test"]["loss"]);
    let entropy = |object: &Value| number(&object["runs"][0]["routing"]["load_entropy"]);
    assert!(entropy(&with) > entropy(&without), "the load is more balanced");
}

#[test]
fn every_optimiser_and_schedule_runs() {
    let place = Place::new();
    let short = ["--routers", "top-k", "--seeds", "1", "--epochs", "2"];
    let mut losses = vec![number(&place.smoke_json(&short)["runs"][0]["test"]["loss"])];
    for keys in [
        "optimizer=adamw weight_decay=0.5",
        "optimizer=sgd momentum=0.9 nesterov=true",
        "schedule=cosine",
        "schedule=inverse-sqrt warmup_steps=3",
        "clip_norm=0.01 epsilon=0.01",
        "clip_value=0.001 epsilon=0.01",
    ] {
        let keys: Vec<String> = keys.split(' ').map(|key| format!("train.{key}")).collect();
        let set = keys.iter().flat_map(|key| ["--set", key]);
        let args: Vec<&str> = short.into_iter().chain(set).collect();
        losses.push(number(&place.smoke_json(&args)["runs"][0]["test"]["loss"]));
    }
    // Each key reaches training: no two runs are the same.
    for (i, loss) in losses.iter().enumerate() {
        assert!(loss.is_finite() && !losses[..i].contains(loss), "{losses:?}");
    }
}

#[test]
fn every_embedded_data_set_runs() {
    let place = Place::new();
    for (name, tasks) in [
        ("optdigits", vec!["digit"]),
        ("multi-optdigits", vec!["left", "right"]),
        ("restaurant", vec!["rating", "food_rating", "service_rating"]),
        ("synthetic", vec!["y"]),
    ] {
        let object = place.smoke_json(&["--dataset", name, "--seeds", "1", "--epochs", "1"]);
        check_contract(&object);
        assert_eq!(object["dataset"]["name"], name);
        assert_eq!(at(&object, "dataset/tasks/*/name"), tasks);
        assert!(place.list("runs").contains(&format!("compare-{name}")));
    }
    let wide = ["--dataset", "synthetic", "--seeds", "1", "--epochs", "1", "--wide"];
    let table = place.smoke(&wide).stdout;
    assert!(table.contains("rand index"), "{table}");
}

#[test]
fn files_are_found_through_the_flag_and_the_variable() {
    let place = Place::new();
    place.write("packed/movielens-1m-mtl/val.csv.gz", gzip(&movielens(200)));
    place.write("plain/movielens-1m-mtl/val.csv", movielens(200));
    let args = ["--dataset", "movielens-1m-mtl", "--seeds", "1", "--format", "json"];
    let args = [&SMOKE, &args[..]].concat();
    let packed = place.run(&[&args[..], &["--data-dir", "packed"]].concat()).succeeded().json();
    check_contract(&packed);
    let rows = serde_json::json!({"train": 160, "val": 20, "test": 20});
    assert_eq!(packed["dataset"]["rows"], rows);
    assert_eq!(at(&packed, "dataset/tasks/*/kind"), ["binary", "regression"]);

    let mut from_variable = place.command(&args);
    let plain = Ran::of(from_variable.env("MOE_DATA_DIR", place.path("plain"))).succeeded().json();
    assert_eq!(timeless(plain["runs"].clone()), timeless(packed["runs"].clone()));
    // The flag counts more than the variable.
    let mut both = place.command(&[&args[..], &["--data-dir", "packed"]].concat());
    Ran::of(both.env("MOE_DATA_DIR", place.path("nowhere"))).succeeded();

    // A test split of its own: the file's rows, all of one class, so there is no curve to measure.
    let watched: String =
        movielens(50).lines().filter(|l| l.contains(",1,")).map(|l| format!("{l}\n")).collect();
    place.write("other.csv", watched);
    let other = ["--data-dir", "packed", "--set", "dataset.test_file=other.csv"];
    let other = place.run(&[&args[..], &other].concat()).succeeded().json();
    assert_eq!(other["dataset"]["rows"]["test"], 29);
    assert!(other["runs"][0]["test"]["tasks"]["watch"]["auc"].is_null());
    assert_eq!(other["runs"][0]["val_loss"], packed["runs"][0]["val_loss"]);
}

#[test]
fn each_comparison_gets_a_directory_of_its_own() {
    let place = Place::new();
    let short = ["--routers", "top-k", "--seeds", "1", "--epochs", "1"];
    for (call, folder) in [(1, "compare-multi-optdigits"), (2, "compare-multi-optdigits-2")] {
        let ran = place.smoke(&short);
        assert!(ran.stderr.contains(folder), "{}", ran.stderr);
        assert_eq!(place.list("runs").len(), call);
        assert_eq!(place.list(&format!("runs/{folder}")), FILES);
    }
    place.smoke(&[&short[..], &["--out", "deep/new/folder"]].concat());
    fs::create_dir(place.path("empty")).unwrap();
    place.smoke(&[&short[..], &["--out", "empty"]].concat());
    for folder in ["deep/new/folder", "empty"] {
        assert_eq!(place.list(folder), FILES);
    }
    assert_eq!(place.list("runs").len(), 2);
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let place = Place::new();
    place.write("full/results.json", "mine");
    let args = [&SMOKE[..], &["--out", "full"]].concat();
    place.run(&args).failed(1, &["full: is not empty", "--out"]);
    assert_eq!(place.list("full"), ["results.json"]);
    assert_eq!(place.text("full/results.json"), "mine");
    assert!(place.list("runs").is_empty());
}
