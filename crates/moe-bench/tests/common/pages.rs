//! Pages for people, as their tests read them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A name with everything that means something in HTML, LaTeX, CSV or Markdown.
pub const EVIL: &str = "<script>alert(1)</script>\" & 'x'\n% \\input{y} #_^~ |";

/// Asserts that the page is one file that loads nothing, and that its elements are closed in order.
#[track_caller]
pub fn check_page(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>\n"), "{}", &html[..100.min(html.len())]);
    for loads in [
        "http:",
        "https:",
        " src=",
        "url(",
        "@import",
        "<link rel=\"stylesheet\"",
        "<img",
        "<iframe",
    ] {
        assert!(!html.contains(loads), "the page has {loads}");
    }
    const VOID: [&str; 5] = ["meta", "link", "br", "rect", "circle"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, next) = after.split_once('>').expect("a tag ends");
        rest = next;
        let name = tag.trim_start_matches('/');
        let name = name.split([' ', '\n', '/']).next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()) && !name.is_empty(), "<{tag}>");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed.trim()), "</{closed}> in {open:?}");
        } else if !(tag.ends_with('/') || VOID.contains(&name)) {
            open.push(name);
            if ["script", "style"].contains(&name) {
                let (_, after) = rest.split_once(&format!("</{name}>")).expect("it ends");
                rest = after;
                open.pop();
            }
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert_eq!(html.matches("<script").count(), 1, "the page's own");
}

/// The ids of the page's sections.
pub fn sections(html: &str) -> Vec<&str> {
    let after = html.split("<section id=\"").skip(1);
    after.map(|text| text.split_once('"').unwrap().0).collect()
}

/// The text of a section.
#[track_caller]
pub fn section<'a>(html: &'a str, id: &str) -> &'a str {
    let start = html.find(&format!("<section id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}"));
    html[start..].split_once("</section>").unwrap().0
}

/// A study of `routers` in the journal `path` with so many trials each, as a search of five parameters would leave it. Every
/// seventh trial was stopped, every eleventh failed.
pub fn write_study(path: &Path, routers: &[&str], trials: usize) {
    let mut config = moe_bench::Config::preset("smoke").unwrap();
    config.run.routers = routers.iter().map(|router| (*router).to_owned()).collect();
    config.run.baseline = routers[0].to_owned();
    let categorical = |choices: &[&str]| {
        json!({"name": "CategoricalDistribution", "attributes": {"choices": choices}}).to_string()
    };
    let float = |low: f64, high: f64, log: bool| {
        let attributes = json!({"step": null, "low": low, "high": high, "log": log});
        json!({"name": "FloatDistribution", "attributes": attributes}).to_string()
    };
    let int = |low: i64, high: i64| {
        let attributes = json!({"log": false, "step": 1, "low": low, "high": high});
        json!({"name": "IntDistribution", "attributes": attributes}).to_string()
    };
    let distributions = json!({
        "router": categorical(routers),
        "train.learning_rate": float(1e-4, 1e-2, true),
        "model.expert_dropout": float(0.0, 0.5, false),
        "model.expert_width": int(4, 64),
        "train.optimizer": categorical(&["adam", "sgd", "adamw"]),
        "model.embedding_width": int(1, 9),
    });
    let mut lines: Vec<Value> = vec![
        json!({"op_code": 0, "study_name": "moe-tune", "directions": [1]}),
        json!({"op_code": 2, "study_id": 0, "user_attr": {"moe.config": config.to_toml()}}),
    ];
    for i in 0..trials * routers.len() {
        // Equally spread numbers between 0 and 1.
        let part = |step: f64| (i as f64 * step + 0.5).fract();
        let (x, y) = (part(0.618_034), part(0.754_878));
        let router = i % routers.len();
        let params = json!({
            "router": router,
            "train.learning_rate": 10f64.powf(-4.0 + 2.0 * x),
            "model.expert_dropout": 0.5 * y,
            "model.expert_width": 4 + (60.0 * part(0.569_84)).floor() as i64,
            "train.optimizer": i % 3,
            "model.embedding_width": 1 + (i % 9) as i64,
        });
        lines.push(json!({
            "op_code": 4, "study_id": 0, "datetime_start": "2026-01-01T00:00:00.000000+00:00", "state": 0, "value": null,
            "values": null, "distributions": distributions, "params": params,
            "user_attrs": {"moe.index": i, "moe.trial_seed": i}, "system_attrs": {}, "intermediate_values": {},
        }));
        let loss = 0.4 + (x - 0.6).powi(2) + 0.1 * y * (1 + router) as f64;
        let (state, epochs) = if i % 11 == 10 {
            (3, 0)
        } else if i % 7 == 6 {
            (2, 3)
        } else {
            (1, 20)
        };
        for epoch in 1..=epochs {
            let value = loss + 2.0 / f64::from(epoch);
            lines.push(
                json!({"op_code": 7, "trial_id": i, "step": epoch, "intermediate_value": value}),
            );
        }
        let mut found = json!({"epochs": epochs, "seconds": 1.5 + x});
        if state == 1 {
            found["test"] = json!({
                "loss": loss + 0.02 * part(0.301), "tasks": {}, "experts_per_row_train": 2.0, "experts_per_row_eval": 2.0,
                "top_set_share": 0.5, "mutual_information": 0.5,
            });
        }
        lines.push(json!({"op_code": 8, "trial_id": i, "user_attr": {"moe.found": found}}));
        let values = if state == 3 { Value::Null } else { json!([loss]) };
        let time = "2026-01-01T00:00:02.000000+00:00";
        lines.push(json!({
            "op_code": 6, "trial_id": i, "state": state, "values": values, "datetime_complete": time,
        }));
    }
    let text = lines.into_iter().map(|mut line| {
        line["worker_id"] = "test".into();
        line.to_string() + "\n"
    });
    fs::write(path, text.collect::<String>()).unwrap();
}

/// Chromium: what the environment variable `MOE_CHROMIUM` names, else the one on the path; `None` if there is none.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MOE_CHROMIUM") {
        return Some(path.into());
    }
    let dirs = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&dirs);
    places.map(|dir| dir.join("chromium")).find(|path| path.is_file())
}

/// Renders a page `width` pixels wide and returns its facts: `overflow` in pixels, number of `requests`, of elements that the
/// script has made sortable (`sortable`), of `plots` without a size, of shapes that are dimmed after one and two clicks on the
/// first router (`clicks`), and whether a click on a head has `sorted` its table. `None` without chromium, which is then said.
pub fn rendered(place: &super::Place, html: &str, width: u32) -> Option<Value> {
    let Some(chromium) = chromium() else {
        let line = "skipped: there is no chromium, neither in MOE_CHROMIUM nor on the path\n";
        // Past the capture of passing tests.
        io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    let page = html.replace('&', "&amp;").replace('"', "&quot;");
    let script = "
        const frame = document.querySelector('iframe');
        frame.addEventListener('load', () => {
            const page = frame.contentDocument, root = page.documentElement;
            const plots = [...page.querySelectorAll('svg')].filter((svg) => !(svg.getBoundingClientRect().width > 100));
            const key = page.querySelector('.keys button');
            const dimmed = () => page.querySelectorAll('.dim').length;
            const clicks = [1, 2].map(() => { key.click(); return dimmed(); });
            const [head] = page.querySelectorAll('th.sortable');
            head.click();
            const [first, second] = [...head.closest('table').tBodies[0].rows].map((row) => row.cells[0].textContent);
            document.getElementById('facts').textContent = JSON.stringify({
                overflow: root.scrollWidth - root.clientWidth,
                width: root.clientWidth,
                requests: frame.contentWindow.performance.getEntriesByType('resource').length,
                sortable: page.querySelectorAll('th.sortable').length,
                plots: plots.length,
                clicks,
                sorted: first <= second,
            });
        });";
    // The script first, so that it hears of the load.
    let wrapper = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><pre id=\"facts\"></pre>\n\
         <iframe style=\"width:{width}px;height:900px;border:0\"></iframe>\n\
         <script>{script}</script>\n<template id=\"page\" data-page=\"{page}\"></template>\n\
         <script>frame.srcdoc = document.getElementById('page').dataset.page;</script>\n"
    );
    let file = place.write(&format!("wrapper-{width}.html"), wrapper);
    let profile = tempfile::tempdir().unwrap();
    let ran = Command::new(chromium)
        .args([
            "--headless",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-quic", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("chromium starts");
    let log = String::from_utf8_lossy(&ran.stderr);
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:?}");
    let dom = String::from_utf8_lossy(&ran.stdout).into_owned();
    let facts = dom.split_once("<pre id=\"facts\">").expect("the page was dumped").1;
    let facts = facts.split_once("</pre>").unwrap().0;
    let facts = serde_json::from_str(facts);
    Some(facts.unwrap_or_else(|error| panic!("{error}: the page was not loaded; {log}")))
}
