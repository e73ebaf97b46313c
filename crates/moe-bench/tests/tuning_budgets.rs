//! What the routers of a study are given, who has worked on it, and studies that are kept compressed.

mod common;

use common::journal::trials;
use common::pages::{section, write_study};
use common::{Place, check_refused, gzip};

/// A study of two routers, whose trials have two epochs, with a number of epochs for each router.
fn study<'a>(epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let study = ["tune", "study.log", "--preset", "smoke", "--routers", "top-k,comet"];
    let few = ["--jobs", "1", "--trials", "50", "--progress", "none", "--set", epochs];
    [&study[..], &few, more].concat()
}

/// Number of trials of each of the two routers.
fn counts(place: &Place) -> [usize; 2] {
    let all = trials(&place.path("study.log"));
    [0.0, 1.0].map(|router| all.iter().filter(|trial| trial.params["router"] == router).count())
}

#[test]
fn a_number_of_epochs_ends_a_study() {
    let place = Place::new();
    let made = place.run(&study("tune.epochs=5", &["--format", "json"])).succeeded().json();
    // The third trial begins after four epochs.
    assert_eq!(counts(&place), [3, 3]);
    assert_eq!(
        (&made["routers"][0]["epochs"], &made["routers"][1]["epochs"]),
        (&6.into(), &6.into())
    );
    let before = place.read("study.log");
    place.run(&["tune", "study.log"]).succeeded();
    assert_eq!(place.read("study.log"), before, "all is done");
    let more = ["tune", "study.log", "--jobs", "2", "--set", "tune.epochs=7"];
    place.run(&more).succeeded();
    assert_eq!(counts(&place), [4, 4]);
    place.run(&["tune", "study.log"]).succeeded();
    assert_eq!(counts(&place), [4, 4], "the study keeps its number");
    place
        .run(&study("tune.epochs=0", &[]))
        .failed(2, &["tune.epochs = 0 is not allowed; it must be at least 1"]);
}

#[test]
fn routers_with_different_budgets_are_not_compared() {
    let place = Place::new();
    write_study(&place.path("study.log"), &["top-k", "comet"], 4);
    place.run(&["report", "study.log"]).succeeded();
    // Without the last trial.
    let text = place.text("study.log");
    let last = text.rfind("{\"datetime_start\"").unwrap();
    let last = text[..last].len();
    place.write("study.log", &text[..last]);
    let says = "study.log: the routers had different budgets: top-k 4 trials, comet 3 trials; a comparison needs equal ones; \
                continue the study with moe tune, or pass --unequal-budgets to compare them all the same";
    place.run(&["report", "study.log", "--out", "no.html"]).failed(1, &[says]);
    assert!(!place.path("no.html").exists());
    let forced = ["report", "study.log", "--unequal-budgets", "--format", "md"];
    let forced = place.run(&forced).succeeded().stdout;
    let says = "The routers had different budgets (top-k 4 trials, comet 3 trials): a difference may be one of the budgets.";
    assert!(forced.contains(says), "{forced}");

    place.smoke(&["--out", "cmp", "--set", "run.seeds=1"]).succeeded();
    let says: &[&str] = &["--unequal-budgets needs a study, which cmp is not"];
    check_refused(&place, &["report"], &[("cmp --unequal-budgets", 2, says)]);
}

/// The best parameters of a study that was stopped are those of different budgets.
#[test]
fn best_parameters_come_from_equal_budgets() {
    let place = Place::new();
    place.run(&study("tune.epochs=2", &[])).succeeded();
    let text = place.text("study.log");
    let more = "tune study.log --timeout 0.000001 --write-best best.toml";
    let more: Vec<&str> = more.split(' ').collect();
    // The second router's only trial, as if it were to come.
    let lines: Vec<&str> = text.lines().collect();
    let second = lines.iter().rposition(|line| line.contains("\"op_code\":4")).unwrap();
    place.write("study.log", lines[..second].join("\n") + "\n");
    place.run(&more).failed(1, &["top-k 2 epochs, comet 0 epochs"]);
    place.run(&[&more[..], &["--unequal-budgets"]].concat()).succeeded();
    assert!(place.text("best.toml").contains("routers = [\"top-k\"]"));
    place.write("study.log", text);
    place.run(&more).succeeded();
    assert!(place.text("best.toml").contains("routers = [\"top-k\", \"comet\"]"));
}

#[test]
fn a_study_names_the_machines_that_have_worked_on_it() {
    let place = Place::new();
    place.run(&study("tune.epochs=2", &["--threads", "1"])).succeeded();
    let more = study("tune.epochs=4", &["--threads", "2", "--format", "json"]);
    let made = place.run(&more).succeeded().json();
    let mut threads: Vec<_> = made["hosts"].as_array().unwrap().iter().collect();
    threads.sort_by_key(|host| host["threads"].as_u64());
    assert_eq!(threads.len(), 2);
    assert_eq!((&threads[0]["threads"], &threads[1]["threads"]), (&1.into(), &2.into()));
    assert!(threads[0]["instruction_set"].is_string() && threads[0]["version"].is_string());
    place.run(&["report", "study.log"]).succeeded();
    let html = place.text("study.log.html");
    assert_eq!(section(&html, "versions").matches("<tr>").count(), 3, "a head and two lines");
}

#[test]
fn a_compressed_study_is_read() {
    let place = Place::new();
    place.run(&study("tune.epochs=4", &[])).succeeded();
    place.write("study.log.gz", gzip(&place.text("study.log")));
    let before = place.read("study.log.gz");
    let [plain, packed] = ["study.log", "study.log.gz"].map(|name| {
        let args = ["report", name, "--format", "csv"];
        place.run(&args).succeeded().stdout
    });
    assert_eq!(packed, plain);
    let train = ["train", "--from-trial", "study.log.gz#1", "--out", "run", "--format", "json"];
    let run = place.run(&train).succeeded().json();
    let value = trials(&place.path("study.log"))[1].value.unwrap();
    assert_eq!(run["val_loss"], serde_json::json!(value));

    let says: &[&str] = &["study.log.gz: a compressed study can only be read", "gunzip --keep"];
    let cases = [("study.log.gz", 1, says), ("study.log.gz --repair", 1, says)];
    check_refused(&place, &["tune"], &cases);
    assert_eq!(place.read("study.log.gz"), before);
    place.write("other.gz", "not compressed");
    place.run(&["report", "other.gz"]).failed(1, &["other.gz: is not the file of a study"]);
}
