//! `moe tune`: studies that are made, continued and read.

mod common;

use common::journal::{complete, trials};
use common::{Place, check_refused};
use moe_core::Real;
use serde_json::json;

/// A study of two routers with three trials each.
const STUDY: [&str; 10] = [
    "tune",
    "study.log",
    "--preset",
    "smoke",
    "--routers",
    "top-k,comet",
    "--trials",
    "3",
    "--progress",
    "none",
];

#[test]
fn a_study_is_made_and_continued_with_its_path_alone() {
    let place = Place::new();
    let made = place.run(&[&STUDY[..], &["--format", "json"]].concat()).succeeded().json();
    assert_eq!(made["schema"], "moe.tune/1");
    assert_eq!(
        (&made["study"], &made["dataset"]),
        (&json!("study.log"), &json!("multi-optdigits"))
    );
    let first = trials(&place.path("study.log"));
    assert_eq!(first.len(), 6);
    for (number, trial) in first.iter().enumerate() {
        assert_eq!((trial.state, &trial.attrs["moe.index"]), (1, &json!(number)));
        // The routers take turns; comet has a parameter of its own.
        assert_eq!(trial.params["router"], (number % 2) as f64);
        assert_eq!(trial.params.contains_key("routers.comet.gamma"), number % 2 == 1);
        assert!((1e-3..=1e-2).contains(&trial.params["train.learning_rate"]));
        assert_eq!(trial.steps.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(trial.steps[&2], trial.value.unwrap());
        assert!(trial.attrs["moe.found"]["test"]["loss"].as_f64().unwrap() > 0.0);
    }
    for (i, router) in ["top-k", "comet"].iter().enumerate() {
        let of = &made["routers"][i];
        assert_eq!((&of["router"], &of["complete"]), (&json!(router), &json!(3)));
        let losses = first.iter().skip(i).step_by(2).map(|trial| trial.value.unwrap());
        assert_eq!(of["best"]["val_loss"], json!(losses.fold(f64::INFINITY, f64::min)));
        assert_eq!(of["top"]["kept"], 1);
        assert_eq!(of["top"]["test"]["mean"], of["best"]["test_loss"]);
    }
    let before = place.read("study.log");
    let table = place.run(&["tune", "study.log"]).succeeded();
    assert!(table.stdout.contains("Best parameters by validation loss:"), "{}", table.stdout);
    assert_eq!(place.read("study.log"), before, "all is done");
    place.run(&["tune", "study.log", "--trials", "4"]).succeeded();
    let longer = trials(&place.path("study.log"));
    assert_eq!(longer.len(), 8);
    assert_eq!(complete(&longer[..6]), complete(&first));
    // Fewer than there are is no reason to do anything.
    place.run(&["tune", "study.log", "--trials", "1"]).succeeded();
    assert_eq!(trials(&place.path("study.log")).len(), 8);
}

#[test]
fn the_trials_do_not_depend_on_jobs_and_threads() {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    for more in [["--jobs", "3"], ["--threads", "1"]] {
        let mut args = STUDY.to_vec();
        args[1] = more[0];
        args.splice(1..2, ["other.log", more[0], more[1]]);
        place.run(&args).succeeded();
        let [one, other] = ["study.log", "other.log"].map(|name| trials(&place.path(name)));
        assert_eq!(complete(&other), complete(&one), "{more:?}");
        std::fs::remove_file(place.path("other.log")).unwrap();
    }
    // Another seed gives other trials.
    let mut args = STUDY.to_vec();
    args.splice(1..2, ["other.log", "--seed", "2"]);
    place.run(&args).succeeded();
    let [one, other] = ["study.log", "other.log"].map(|name| complete(&trials(&place.path(name))));
    assert!(one.iter().all(|trial| !other.contains(trial)));
}

#[test]
fn a_trial_is_trained_again_to_the_same_loss() {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    let all = trials(&place.path("study.log"));
    for number in [2, 3] {
        let trial = format!("study.log#{number}");
        let out = format!("run-{number}");
        let train = ["train", "--from-trial", &trial, "--out", &out, "--format", "json"];
        let run = place.run(&train).succeeded().json();
        assert_eq!(run["val_loss"], json!(all[number].value.unwrap()));
        assert_eq!(run["seed"], all[number].attrs["moe.trial_seed"]);
    }
    check_refused(
        &place,
        &["train", "--progress", "none", "--out", "run"],
        &[
            (
                "--from-trial study.log#6",
                1,
                &["study.log: there is no trial 6; the study has trials 0 to 5"],
            ),
            ("--from-trial study.log", 2, &["--from-trial study.log: write the file"]),
            ("--from-trial study.log#x", 2, &["such as study.journal#17"]),
            ("--from-trial none.log#1", 1, &["none.log: has no study named moe-tune"]),
            ("--from-trial study.log#1 --router top-k", 2, &["cannot be used with"]),
        ],
    );
}

#[test]
fn the_best_parameters_are_a_configuration() {
    let place = Place::new();
    let none = ["tune", "none.log", "--preset", "smoke", "--timeout", "0.000001", "--write-best"];
    place
        .run(&[&none[..], &["best.toml"]].concat())
        .failed(1, &["none.log: no trial of the study"]);
    assert!(!place.path("best.toml").exists());
    let made = [&STUDY[..], &["--write-best", "best.toml", "--format", "json"]].concat();
    let made = place.run(&made).succeeded().json();
    let text = place.text("best.toml");
    let best = |i: usize| &made["routers"][i]["best"];
    for (i, router) in ["top-k", "comet"].into_iter().enumerate() {
        let says = format!("#   {router}: trial {}, the best of 3 by a ", best(i)["number"]);
        assert!(text.contains(&says) && text.contains("; 6 epochs in all\n"), "{text}");
    }
    // Trained again from the seed of the trial, a router reaches what the trial reached.
    let seed = best(1)["seed"].to_string();
    let again = ["compare", "--config", "best.toml", "--format", "json", "--seeds", "1", "--set"];
    let again = place.run(&[&again[..], &[&format!("run.first_seed={seed}")]].concat());
    let again = again.succeeded().json();
    let runs = again["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[1]["router"], &runs[1]["val_loss"]), (&json!("comet"), &best(1)["val_loss"]));
    let rate = |i: usize| best(i)["parameters"]["train.learning_rate"].clone();
    for (i, router) in ["top-k", "comet"].into_iter().enumerate() {
        let own = &again["config"]["per_router"][router]["train"]["learning_rate"];
        assert_eq!(own, &rate(i));
    }
    let gamma = &again["config"]["routers"]["comet"]["gamma"];
    assert_eq!(gamma, &best(1)["parameters"]["routers.comet.gamma"]);
}

#[test]
fn what_is_wrong_is_said_before_a_study_is_made() {
    let place = Place::new();
    let base = ["tune", "study.log", "--preset", "smoke", "--progress", "none"];
    check_refused(
        &place,
        &base,
        &[
            ("--trials 0", 2, &["tune.trials = 0 is not allowed"]),
            ("--jobs 0", 2, &["--jobs 0 is not allowed; it must be from 1 to 1024"]),
            ("--timeout 0", 2, &["--timeout 0 is not allowed"]),
            ("--sampler grid", 2, &["grid", "random, tpe"]),
            ("--routers none", 2, &["none"]),
            ("--set run.seeds=3", 2, &["--set run.seeds=3 has no effect: the seeds of the trials"]),
            ("--set search={}", 2, &["the configuration has no [search]"]),
            (
                "--set search.train.epocs={suggest='int',low=1,high=2}",
                2,
                &["search.train.epocs: ", "did you mean \"epochs\"?"],
            ),
            (
                "--set search.train.learning_rate={suggest='float',low=0,high=1}",
                2,
                &["search.train.learning_rate: train.learning_rate = 0.0 is not allowed"],
            ),
            (
                "--set search.routers.comet.gama={suggest='float',low=1,high=2}",
                2,
                &["search.routers.comet.gama: ", "gamma"],
            ),
            (
                "--set search.routers.none.gamma={suggest='float',low=1,high=2}",
                2,
                &["search.routers.none.gamma: ", "none"],
            ),
            (
                "--set search.dataset.seed={suggest='int',low=1,high=2}",
                2,
                &["search.dataset.seed is not allowed; only keys of model, train and routers"],
            ),
            (
                "--set search.train.task_weights={suggest='categorical',choices=[[1,0]]}",
                2,
                &["losses with different weights cannot be compared"],
            ),
        ],
    );
    assert_eq!(place.list("."), [] as [&str; 0]);
    check_refused(
        &place,
        &["compare", "--preset", "smoke"],
        &[("--set tune.trials=3", 2, &["only moe tune reads [search] and [tune]"])],
    );
}

#[test]
fn a_study_keeps_its_configuration() {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    let before = place.read("study.log");
    let base = ["tune", "study.log", "--progress", "none"];
    let differs =
        "study.log: the study was started with another configuration; the first difference is";
    check_refused(
        &place,
        &base,
        &[
            (
                "--set train.batch_rows=50",
                1,
                &[differs, "`batch_rows = 100`, now `batch_rows = 50`"],
            ),
            ("--seed 7", 1, &[differs, "`seed = 1`, now `seed = 7`"]),
            ("--routers top-k", 1, &[differs]),
            ("--preset quick", 1, &[differs]),
            (
                "--set search.train.learning_rate.high=0.5",
                1,
                &[differs, "`high = 0.01`, now `high = 0.5`"],
            ),
        ],
    );
    assert_eq!(place.read("study.log"), before);
    // A file that is something else stays as it is.
    place.write("text.log", "no journal\n");
    place.run(&["tune", "text.log"]).failed(1, &["text.log, line 1"]);
    assert_eq!(place.text("text.log"), "no journal\n");
    place.write("newer.log", "{\"op_code\":77,\"worker_id\":\"x\"}\n");
    place.run(&["tune", "newer.log"]).failed(1, &["newer.log, line 1: operation 77 is unknown"]);
}

#[test]
fn a_damaged_study_is_repaired() {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    let whole = place.text("study.log");
    let repair = ["tune", "study.log", "--repair"];
    let says = place.run(&repair).succeeded().stdout;
    assert_eq!(says, format!("study.log is not damaged; it has {} lines\n", whole.lines().count()));
    // Half a line, and the next one on the same line.
    let (before, last) = whole.trim_end().rsplit_once('\n').unwrap();
    let damaged = format!("{before}\n{}{last}\n", &last[..last.len() / 2]);
    place.write("study.log", &damaged);
    let line = whole.lines().count();
    place.run(&["tune", "study.log"]).failed(
        1,
        &[&format!("study.log, line {line}: this line is damaged"), "moe tune --repair"],
    );
    let says = place.run(&repair).succeeded().stdout;
    assert!(says.contains(&format!("dropped the beginning of line {line}, which")), "{says}");
    assert_eq!(place.text("study.log"), whole);
    assert_eq!(place.text("study.log.damaged-1"), damaged);
    place.run(&["tune", "none.log", "--repair"]).failed(1, &["none.log"]);
}

#[test]
fn a_trial_that_diverges_fails_and_the_study_goes_on() {
    let place = Place::new();
    let rate = if size_of::<Real>() == 4 { "1e30" } else { "1e300" };
    let space =
        format!("search={{train.learning_rate={{suggest='categorical',choices=[{rate},1e-3]}}}}");
    let mut args = STUDY.to_vec();
    args.extend(["--set", &space, "--format", "json"]);
    args[7] = "6";
    let made = place.run(&args).succeeded().json();
    let all = trials(&place.path("study.log"));
    let is_wild = |choice: f64| choice == 0.0;
    assert!(all.iter().any(|trial| is_wild(trial.params["train.learning_rate"])));
    for trial in &all {
        let is_wild = is_wild(trial.params["train.learning_rate"]);
        assert_eq!(trial.state, if is_wild { 3 } else { 1 });
        // What it has cost counts, too.
        assert_eq!(trial.attrs["moe.found"].get("test").is_some(), !is_wild);
        let reason = trial.attrs.get("moe.error").map(|reason| reason.as_str().unwrap());
        assert_eq!(
            reason.is_some_and(|reason| reason.contains("learning rate")),
            is_wild,
            "{reason:?}"
        );
    }
    let count = |key: &str| (0..2).map(|i| made["routers"][i][key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(count("complete") + count("failed"), 12);
    assert!(count("failed") > 0);
}

#[test]
fn trials_that_another_program_queues_are_run() {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    let queued = json!({
        "op_code": 4, "worker_id": "optuna", "study_id": 0, "datetime_start": null, "state": 4, "value": null,
        "values": null, "distributions": {}, "params": {}, "user_attrs": {}, "intermediate_values": {},
        "system_attrs": { "fixed_params": { "router": "comet", "train.learning_rate": 0.005 } },
    });
    let text = format!("{}{queued}\n", place.text("study.log"));
    place.write("study.log", text);
    place.run(&["tune", "study.log", "--trials", "4"]).succeeded();
    let all = trials(&place.path("study.log"));
    // It counts as a trial of its own.
    assert_eq!(all.len(), 9);
    assert_eq!((all[6].state, all[6].params["router"]), (1, 1.0));
    assert_eq!(all[6].params["train.learning_rate"], 0.005);
    assert!(all[6].params.contains_key("routers.comet.gamma"), "the others are chosen");
}

#[test]
fn pruners_stop_trials() {
    let place = Place::new();
    let halving = "tune study.log --preset smoke --routers top-k --trials 12 --progress none --epochs 4 \
                   --pruner halving --set tune.warmup_epochs=1 --set tune.reduction_factor=3 --format json";
    let made = place.run(&halving.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
    let made = made.succeeded().json();
    let of = &made["routers"][0];
    let [complete, pruned] = ["complete", "pruned"].map(|key| of[key].as_u64().unwrap());
    assert_eq!(complete + pruned, 12);
    assert!(pruned >= 3 && complete >= 1, "{of}");
    for trial in trials(&place.path("study.log")).iter().filter(|trial| trial.state == 2) {
        let (epoch, loss) = trial.steps.last_key_value().unwrap();
        assert!([1, 3].contains(epoch) && trial.value == Some(*loss), "{trial:?}");
        assert_eq!(trial.attrs["moe.found"]["epochs"], json!(epoch));
    }
}
