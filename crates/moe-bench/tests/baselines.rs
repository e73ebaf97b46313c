//! Models without a mixture beside the mixtures: in comparisons and in runs of their own.

mod common;

use moe_nn::Models;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::training::{self, check_same_end};
use common::{Case, Place, SMOKE, check_refused, gzip, movielens};
use moe_bench::{Config, compare};
use moe_routers::Registry;
use serde_json::{Value, json};

const ALL: [&str; 3] = ["shared-bottom", "single", "bias"];

/// The runs of a comparison, by router.
fn run<'a>(object: &'a Value, router: &str) -> &'a Value {
    let runs = object["runs"].as_array().unwrap();
    runs.iter().find(|run| run["router"] == router).unwrap()
}

#[test]
fn all_of_them_beside_a_mixture() {
    let place = Place::new();
    let routers = ["--dataset", "restaurant", "--routers", "shared-bottom,single,bias,top-k"];
    let more = ["--set", "routers.bias.ridge=3", "--set", "model.embedding_width=8"];
    let object = place.smoke_json(&[&routers[..], &more].concat());
    let zeros = json!({
        "experts_per_row_train": 0.0, "experts_per_row_eval": 0.0, "load_entropy": 0.0,
        "max_load": 0.0, "dead_experts": 0, "mutual_information": 0.0, "rows_up_to_k": 0.0,
        "top_set_share": 0.0, "gates": [], "alarms": []
    });
    for id in ALL {
        let run = run(&object, id);
        assert_eq!(run["routing"], zeros, "{id}");
        assert_eq!((&run["k"], &run["num_experts"]), (&json!(2), &json!(4)), "{id}");
        for task in ["rating", "food_rating", "service_rating"] {
            let mse = run["test"]["tasks"][task]["mse"].as_f64().unwrap();
            assert!((0.0..3.0).contains(&mse), "{id}: {task} {mse}");
        }
    }
    let of = |id, key: &str| run(&object, id)[key].as_u64().unwrap();
    // 138 users and 130 places. Three tasks with two experts each, but no more than the four there are: experts of 16
    // + 1 times 16, heads of 17 · 16 + 17. With width w the bottom has 17 w, the heads 3 · ((w + 1) · 16 + 17): 65 w
    // + 99 against 4 · 272 + 867, w = 28.55.
    let embeddings = 268 * 8;
    assert_eq!(of("single", "parameters"), embeddings + 272 + 3 * (272 + 17));
    assert_eq!(of("shared-bottom", "parameters"), embeddings + 65 * 28 + 99);
    assert_eq!(of("bias", "parameters"), 3 * (1 + 268));
    assert_eq!((of("bias", "epochs"), of("bias", "best_epoch")), (1, 1));
    assert_eq!((of("single", "epochs"), of("single", "steps")), (2, 2 * 10));
    assert!(of("bias", "steps") > 2, "passes over the training part");
    assert_eq!(object["config"]["routers"]["bias"], json!({"ridge": 3.0}));
    // It draws nothing: both seeds give the same model.
    let summary = object["summary"].as_array().unwrap();
    let bias = summary.iter().find(|line| line["router"] == "bias").unwrap();
    assert_eq!(bias["test_loss"]["stderr"], 0.0);
    assert_eq!(bias["vs_baseline"]["baseline"], "top-k");
}

#[test]
fn they_can_be_what_others_are_held_against() {
    let place = Place::new();
    place.write("data/movielens-1m-mtl/val.csv.gz", gzip(&movielens(400)));
    let args = ["--dataset", "movielens-1m-mtl", "--data-dir", "data", "--seeds", "1"];
    let routers = ["--routers", "top-k,single,bias", "--set", "run.baseline=single", "--wide"];
    let ran = place.smoke(&[&args[..], &routers].concat());
    let lines: Vec<Vec<&str>> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2][0], "single");
    assert_eq!(lines[2].last(), Some(&"baseline"), "{}", ran.stdout);
    // Loss, curve and error are numbers; of routing there is none.
    assert_eq!(lines[3][0], "bias");
    assert!(lines[3][1..4].iter().all(|cell| cell.parse::<f64>().is_ok()), "{}", ran.stdout);
    assert!(lines[3][4..9].iter().all(|cell| *cell == "-"), "{}", ran.stdout);
}

#[test]
fn a_run_of_each_is_kept_and_resumed() {
    let place = training::place();
    let dataset = ["--dataset", "restaurant", "--set", "model.embedding_width=4", "--epochs", "2"];
    for id in ALL {
        let train = |out: &str, more: &[&str]| {
            let args = ["train", "--config", "short.toml", "--router", id, "--progress", "none"];
            place.run(&[&args[..], &["--out", out], &dataset, more].concat()).succeeded();
        };
        let [whole, resumed] = ["whole", "resumed"].map(|name| format!("{id}-{name}"));
        train(&whole, &[]);
        // Ids have names, which the run keeps.
        let mut files = [&training::FILES[..], &["features.json"]].concat();
        files.sort_unstable();
        // It is fitted without an optimiser.
        files.retain(|name| id != "bias" || *name != "moments.safetensors");
        assert_eq!(place.list(&whole), files);
        let manifest = place.json(&format!("{whole}/manifest.json"));
        let model = if id == "bias" { "bias" } else { "shared-bottom" };
        assert_eq!(manifest["models"]["best"]["model"], model);
        // From a directory in which nothing was kept yet, and again when all is over.
        std::fs::create_dir(place.path(&resumed)).unwrap();
        for _ in 0..2 {
            train(&resumed, &["--resume"]);
            check_same_end(&place, &whole, &resumed);
        }
    }
}

#[test]
fn the_command_lists_them_apart() {
    let text = Place::new().run(&["routers"]).succeeded().stdout;
    let (routers, baselines) = text.split_once("\nBaselines without a mixture").unwrap();
    for id in ALL {
        let line = format!("\n{id}\n    ");
        assert!(baselines.contains(&line) && !routers.contains(&line), "{text}");
    }
    assert!(baselines.contains("    ridge = 4    rows without any deviation"), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let place = Place::new();
    let cases: [Case<'_>; 6] = [
        (
            "--routers bias",
            2,
            &["data set multi-optdigits: bias is for rows of two ids", "a row has 144 numbers"],
        ),
        (
            "--routers shared-botom",
            2,
            &["unknown router \"shared-botom\", did you mean \"shared-bottom\"?", "single, bias"],
        ),
        ("--set run.baseline=bais", 2, &["run.baseline: unknown router", "\"bias\"?"]),
        (
            "--routers bias --set routers.bias.ridge=0",
            2,
            &["bias: ridge = 0 is not allowed; it must be a number from 0.01 to 1000000"],
        ),
        (
            "--routers single --set routers.single.ridge=1",
            2,
            &["single has no parameter \"ridge\"; it has none"],
        ),
        (
            "--routers shared-bottom --set model.k=5",
            2,
            &["shared-bottom: k = 5 is not allowed with 4 experts; k must be from 1 to 4"],
        ),
    ];
    check_refused(&place, &SMOKE, &cases);
}

#[test]
fn a_router_with_the_id_of_a_baseline_is_refused() {
    let mut registry = Registry::standard();
    let info = moe_routers::RouterInfo::new("single", "one expert", "this test");
    let top = |spec: &moe_routers::GateSpec, _: &moe_routers::Parameters| {
        Box::new(moe_routers::TopK::new(spec, 0.0)) as Box<dyn moe_routers::Router>
    };
    registry.register(moe_routers::RouterEntry::per_gate(info, top)).unwrap();
    let mut config = Config::preset("smoke").unwrap();
    config.run.routers = vec!["single".into()];
    let error = compare(&config, &registry.into(), &()).unwrap_err();
    assert_eq!(error.to_string(), "there is already a router \"single\"");
    assert_eq!(error.exit_status(), 2);
}

/// The folder of data sets that may not travel with this repository, if there is one.
fn shared_data() -> Option<PathBuf> {
    let found = match std::env::var_os("MOE_SHARED") {
        Some(folder) => vec![Path::new(&folder).join("data")],
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("../shared/data"))
            .collect(),
    };
    let found = found.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        // Not println: the test harness would keep it to itself.
        let line = "skipped: bias needs the shared data folder (set MOE_SHARED)\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    found
}

#[test]
fn biases_of_movielens_are_those_of_another_program() {
    let Some(data_dir) = shared_data() else { return };
    // By NumPy in double precision: mean, users and items in turn with the penalties of `Bias`, to a change below 1e-9.
    for (ridge, rating_mse, watch_loss, watch_auc) in
        [(4.0, 0.866547, 0.492277, 0.841772), (8.0, 0.873756, 0.494850, 0.843056)]
    {
        let mut config = Config::default();
        config.dataset.name = "movielens-1m-mtl".into();
        config.dataset.options.data_dir = Some(data_dir.clone());
        config.run.routers = vec!["bias".into()];
        config.run.seeds = 1;
        let config = config.with(&format!("routers.bias.ridge={ridge}")).unwrap();
        let comparison = compare(&config, &Models::standard(), &()).unwrap();
        let found = |task, metric| comparison.runs[0].test.metric(task, metric).unwrap();
        for (found, expected) in [
            (found("rating", "mse"), rating_mse),
            (found("watch", "loss"), watch_loss),
            (found("watch", "auc"), watch_auc),
        ] {
            assert!((found - expected).abs() < 2e-6, "ridge {ridge}: {found}, not {expected}");
        }
        assert_eq!(comparison.runs[0].parameters, 2 * (1 + 6040 + 3952));
    }
}
