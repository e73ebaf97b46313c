//! `moe report`: pages about comparisons, runs and studies.

mod common;

use std::time::{Duration, Instant};

use common::pages::{EVIL, check_page, rendered, section, sections, write_study};
use common::{Place, TINY, check_refused};
use serde_json::Value;

/// A comparison of three routers in `cmp`.
fn compared(place: &Place) {
    let more = ["--routers", "top-k,comet,comet+", "--out", "cmp"];
    place.run(&[&TINY[..], &more].concat()).succeeded();
}

/// A run in `run`.
fn trained(place: &Place) {
    let train =
        ["train", "--preset", "smoke", "--router", "top-k", "--epochs", "3", "--out", "run"];
    let ran = place.run(&[&train[..], &["--progress", "none"]].concat()).succeeded();
    assert!(ran.stderr.contains("report.html"), "{ran:#?}");
}

const OF_COMPARISON: [&str; 12] = [
    "verdict",
    "results",
    "spread",
    "losses",
    "load",
    "specialisation",
    "rows",
    "pace",
    "cost",
    "configuration",
    "versions",
    "command",
];

#[test]
fn a_comparison_has_all_sections() {
    let place = Place::new();
    compared(&place);
    let written = place.text("cmp/report.html");
    let ran = place.run(&["report", "cmp"]).succeeded();
    assert!(ran.stderr.contains("report.html") && ran.stdout.is_empty(), "{ran:#?}");
    let html = place.text("cmp/report.html");
    assert_eq!(html, written, "the page that compare wrote");
    check_page(&html);
    assert_eq!(sections(&html), OF_COMPARISON);
    assert!(section(&html, "verdict").contains("cannot be told without several seeds"));
    let results = section(&html, "results");
    for router in ["<td>top-k</td>", "<td>comet</td>", "<td>comet+</td>", "baseline"] {
        assert!(results.contains(router), "{router}: {results}");
    }
    let losses = section(&html, "losses");
    assert_eq!((losses.matches("<svg").count(), losses.matches("class=\"key").count()), (2, 4));
    assert!(section(&html, "load").contains("var(--heat)"));
    assert!(section(&html, "specialisation").contains("<circle"));
    assert!(section(&html, "rows").contains("keeps no models"));
    assert!(section(&html, "configuration").contains("[dataset]"));
    assert!(section(&html, "versions").contains(env!("CARGO_PKG_VERSION")));
    let refused = place.run(&["report", "cmp", "--counterfactual"]);
    refused.failed(2, &["--counterfactual needs a model", "cmp is none"]);
}

/// Results that an earlier version wrote lack the losses by epoch, which are read again as they were written.
#[test]
fn losses_by_epoch_are_an_added_key() {
    let place = Place::new();
    compared(&place);
    let results = place.json("cmp/results.json");
    for run in results["runs"].as_array().unwrap() {
        for losses in ["train", "val"] {
            let losses = run["curve"][losses].as_array().unwrap();
            assert_eq!(losses.len() as u64, run["epochs"].as_u64().unwrap());
        }
    }
    // The order of the keys stays, which an object of JSON does not keep.
    let text = place.text("cmp/results.json");
    let mut parts = text.split("      \"curve\": {");
    let mut without = parts.next().unwrap().to_owned();
    for part in parts {
        without += part.split_once("      },\n").unwrap().1;
    }
    assert!(without.len() < text.len());
    place.write("cmp/results.json", &without);
    place.run(&["report", "cmp"]).succeeded();
    let html = place.text("cmp/report.html");
    check_page(&html);
    assert_eq!(sections(&html), OF_COMPARISON);
    let pace = section(&html, "pace");
    assert!(pace.contains("do not have the cost by epoch") && !pace.contains("<svg"), "{pace}");
    let losses = section(&html, "losses");
    assert!(losses.contains("no losses by epoch") && !losses.contains("<svg"), "{losses}");
    for text in [text, without] {
        let read: moe_bench::Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap() + "\n", text);
    }
}

#[test]
fn spread_and_cost_are_those_of_the_runs() {
    let place = Place::new();
    let more = ["--routers", "top-k,shared-bottom", "--set", "train.epochs=2", "--seeds", "4"];
    place.smoke(&[&more[..], &["--out", "cmp"]].concat()).succeeded();
    let results = place.json("cmp/results.json");
    let runs: Vec<&Value> = results["runs"].as_array().unwrap().iter().collect();
    let top_k: Vec<&Value> = runs.iter().filter(|run| run["router"] == "top-k").copied().collect();
    let of = |id: &str| {
        let args = ["report", "cmp", "--format", "csv", "--sections", id];
        place.run(&args).succeeded().stdout
    };
    let mut losses: Vec<f64> =
        top_k.iter().map(|run| run["test"]["loss"].as_f64().unwrap()).collect();
    losses.sort_by(f64::total_cmp);
    let [a, b, c, d] = losses[..] else { panic!("{losses:?}") };
    let mean = (a + b + c + d) / 4.0;
    let deviation = (losses.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
    let line = format!("top-k,4,{a:.4},{:.4},{d:.4},{d:.4},{deviation:.4}\n", (b + c) / 2.0);
    assert!(of("spread").contains(&line), "{} {line}", of("spread"));

    let curve = |run: &Value, key: &str, epoch: usize| run["curve"][key][epoch].as_f64().unwrap();
    let mean =
        |value: &dyn Fn(&Value) -> f64| top_k.iter().map(|run| value(run)).sum::<f64>() / 4.0;
    let experts = |epoch| mean(&|run| curve(run, "experts_per_row", epoch));
    let first = 1e3 * mean(&|run| curve(run, "seconds", 0));
    let last = 1e3 * mean(&|run| curve(run, "seconds", 1) - curve(run, "seconds", 0));
    let line = format!("top-k,{:.2},{:.2},{first:.1},{last:.1}\n", experts(0), experts(1));
    assert!(of("pace").contains(&line), "{} {line}", of("pace"));
    assert!(of("pace").contains("\nshared-bottom,-,-,"), "it has no gates");
    let html = place.text("cmp/report.html");
    assert_eq!(section(&html, "pace").matches("<svg").count(), 2);
}

#[test]
fn a_run_has_all_sections() {
    let place = Place::new();
    trained(&place);
    let written = place.text("run/report.html");
    place.run(&["report", "run"]).succeeded();
    let html = place.text("run/report.html");
    assert_eq!(html, written, "the page that train wrote");
    check_page(&html);
    let all = [
        "verdict",
        "results",
        "losses",
        "load",
        "rows",
        "specialisation",
        "regret",
        "cost",
        "configuration",
        "versions",
        "command",
    ];
    assert_eq!(sections(&html), all);
    // Two gates: a heat map each, and two plots of both.
    assert_eq!(section(&html, "load").matches("<svg").count(), 4);
    // Each gate by the classes of both tasks.
    assert_eq!(section(&html, "rows").matches("<svg").count(), 4);
    assert!(section(&html, "regret").contains("--counterfactual"));
    place.run(&["report", "run", "--counterfactual", "--out", "with.html"]).succeeded();
    let with = place.text("with.html");
    check_page(&with);
    assert!(section(&with, "regret").contains("The regret is"));
}

/// A page is never refused for what is missing.
#[test]
fn what_is_missing_is_said() {
    let place = Place::new();
    trained(&place);
    for file in ["best.safetensors", "metrics.jsonl"] {
        std::fs::remove_file(place.path(&format!("run/{file}"))).unwrap();
    }
    place.run(&["report", "run"]).succeeded();
    let html = place.text("run/report.html");
    check_page(&html);
    assert!(section(&html, "losses").contains("metrics.jsonl is missing"));
    assert!(section(&html, "load").contains("metrics.jsonl is missing"));
    for id in ["rows", "regret"] {
        assert!(section(&html, id).contains("The model was not looked at"), "{id}");
    }
    std::fs::remove_file(place.path("run/result.json")).unwrap();
    place.run(&["report", "run"]).succeeded();
    let html = place.text("run/report.html");
    assert!(section(&html, "results").contains("has not ended"));
    assert!(section(&html, "verdict").contains("has not ended"));
}

#[test]
fn a_study_of_500_trials() {
    // The program that users have is optimised; another one is some times slower.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
    let place = Place::new();
    write_study(&place.path("study.log"), &["top-k", "top-k+", "comet", "comet+", "hash"], 100);
    // Other tests run at the same time: the faster one of a few tries counts.
    let time = || {
        let start = Instant::now();
        place.run(&["report", "study.log"]).succeeded();
        start.elapsed()
    };
    let mut tries = (0..3).map(|_| time());
    assert!(tries.any(|took| took < limit), "more than {limit:?} each time");
    let html = place.text("study.log.html");
    assert!(html.len() < 3 << 20, "{} bytes", html.len());
    check_page(&html);
    let all = [
        "verdict",
        "results",
        "budget",
        "reduction",
        "losses",
        "slices",
        "versions",
        "configuration",
        "command",
    ];
    assert_eq!(sections(&html), all);
    // All routers, and two pairs.
    assert_eq!(section(&html, "budget").matches("<svg").count(), 3);
    assert!(section(&html, "budget").contains("<polygon"), "bands");
    assert!(section(&html, "reduction").contains("<td>comet+</td><td>comet</td>"));
    assert_eq!(section(&html, "reduction").matches("<svg").count(), 1);
    let slices = section(&html, "slices");
    assert_eq!(slices.matches("<svg").count(), 5);
    assert!(
        slices.contains("train.learning_rate") && slices.contains("\nadamw\n"),
        "a name on the axis"
    );
    assert!(slices.matches("<circle").count() > 5 * 300);
}

#[test]
fn a_study_that_has_just_begun() {
    let place = Place::new();
    write_study(&place.path("study.log"), &["top-k", "comet"], 0);
    place.run(&["report", "study.log"]).succeeded();
    let html = place.text("study.log.html");
    check_page(&html);
    for (id, says) in [
        ("verdict", "No trial has run"),
        ("budget", "No trial has run"),
        ("reduction", "without and with local search"),
        ("losses", "No trial has reported"),
        ("slices", "No trial has run"),
    ] {
        assert!(section(&html, id).contains(says), "{id}");
    }
}

#[test]
fn names_of_the_data_are_no_markup() {
    let place = Place::new();
    compared(&place);
    let mut text = place.text("cmp/results.json");
    let evil = serde_json::to_string(EVIL).unwrap();
    for name in ["multi-optdigits", "left", "comet"] {
        text = text.replace(&format!("\"{name}\""), &evil);
    }
    place.write("cmp/results.json", text);
    place.run(&["report", "cmp"]).succeeded();
    let html = place.text("cmp/report.html");
    check_page(&html);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; &amp;"));

    let tex = place.run(&["report", "cmp", "--format", "tex"]).succeeded().stdout;
    let (prose, _) = tex.split_once("\\begin{verbatim}").unwrap();
    assert!(!prose.contains("\\input") && tex.contains("\\textbackslash{}input\\{y\\}"), "{tex}");
    for line in tex.lines().filter(|line| line.ends_with("\\\\")) {
        assert!(!line.contains("\" & 'x'"), "{line}");
    }
    let args = ["report", "cmp", "--format", "csv", "--sections", "results"];
    let csv = place.run(&args).succeeded().stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    assert_eq!(names, ["top-k", EVIL, "comet+"]);

    write_study(&place.path("study.log"), &["top-k", "</title><script>alert(1)</script>"], 9);
    place.run(&["report", "study.log"]).succeeded();
    check_page(&place.text("study.log.html"));
}

#[test]
fn the_other_formats_have_the_same_tables() {
    let place = Place::new();
    compared(&place);
    let of = |format: &str| {
        let args = ["report", "cmp", "--format", format];
        place.run(&args).succeeded().stdout
    };
    let (md, tex, csv) = (of("md"), of("tex"), of("csv"));
    let html = place.text("cmp/report.html");
    let tables = html.matches("<table>").count();
    assert_eq!(tex.matches("\\begin{tabular}").count(), tables);
    assert_eq!(tex.matches("\\toprule").count(), tables);
    assert_eq!(md.matches("\n|---").count(), tables, "{md}");
    assert_eq!(csv.matches("# ").count(), tables, "{csv}");
    for text in [&md, &tex, &csv] {
        assert!(text.contains("comet+") && text.contains("Results"), "{text}");
    }
    let args = ["report", "cmp", "--format", "csv", "--sections", "cost", "--out", "cost.csv"];
    assert_eq!(place.run(&args).succeeded().stdout, "");
    assert!(place.text("cost.csv").starts_with("router,parameters,"));
}

#[test]
fn wrong_paths() {
    let place = Place::new();
    place.write("empty/other.txt", "");
    place.write("text.txt", "hello\nworld\n");
    place.write("begun/compare.lock", "");
    place.write("broken/results.json", "{}");
    write_study(&place.path("study.log"), &["top-k"], 1);
    let allowed = "pass the directory of a comparison (moe compare, with results.json)";
    check_refused(
        &place,
        &["report"],
        &[
            ("nothing", 1, &["nothing: there is nothing", allowed]),
            ("empty", 1, &["neither a comparison nor a run", allowed]),
            ("text.txt", 1, &["is not the file of a study", allowed]),
            ("begun", 1, &["the comparison has not ended", "--resume"]),
            ("broken", 1, &["is not the results of a comparison"]),
            ("study.log --sections regret", 2, &["--sections regret", "verdict, results, budget"]),
            ("study.log --data-dir x", 2, &["--data-dir needs a model"]),
        ],
    );
}

#[test]
fn pages_in_a_browser() {
    let place = Place::new();
    compared(&place);
    trained(&place);
    write_study(&place.path("study.log"), &["top-k", "top-k+", "comet", "comet+", "hash"], 20);
    place.run(&["report", "study.log"]).succeeded();
    for page in ["cmp/report.html", "run/report.html", "study.log.html"] {
        for width in [400, 1200] {
            let Some(facts) = rendered(&place, &place.text(page), width) else { return };
            assert_eq!(facts["width"], width, "{page}");
            assert_eq!(facts["overflow"], 0, "{page} {width}: it is wider than its window");
            assert_eq!(facts["requests"], 0, "{page}");
            assert_eq!(facts["plots"], 0, "{page} {width}: a plot is tiny");
            assert!(facts["sortable"].as_u64() > Some(3), "{page}: the script runs");
            assert!(facts["clicks"][0].as_u64() > Some(0), "{page}: {facts}");
            assert_eq!(
                (&facts["clicks"][1], &facts["sorted"]),
                (&0.into(), &true.into()),
                "{page}"
            );
        }
    }
}
