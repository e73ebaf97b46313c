//! `moe predict` reads what it needs of a run, once. Alone in its program, whose reading is counted.

mod common;

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use common::Place;
use moe_routers::Registry;

/// The size of the best weights in megabytes: `MOE_WEIGHTS_MB`, or a size for every day.
fn megabytes() -> usize {
    std::env::var("MOE_WEIGHTS_MB").map_or(8, |text| text.parse().expect("a number"))
}

/// The number of bytes that this program has read so far, as Linux tells.
fn read_so_far() -> Option<u64> {
    let counts = fs::read_to_string("/proc/self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("rchar: "))?.trim().parse().ok()
}

fn say(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The command in this program.
fn run(args: &[&str]) {
    let status = moe_bench::run(["moe"].iter().chain(args).map(Into::into), Registry::standard());
    assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::SUCCESS), "{args:?}");
}

#[test]
fn predict_reads_the_best_weights_once_and_never_the_moments() {
    let place = Place::new();
    let path = |name: &str| place.path(name).display().to_string();
    place.write("mine.csv", format!("user,item,watch,rating\n{}", common::movielens(200)));
    place.write("rows.csv", "user,item\n1,1\n2,3\n");
    // A unit has an input for each of 2 x 32 numbers, and a bias.
    let width = megabytes() * (1 << 20) / (4 * 16 * 65);
    let file = format!("dataset.ratings_file='{}'", path("mine.csv"));
    let width = format!("model.expert_width={width}");
    let (out, rows, predictions) = (path("run"), path("rows.csv"), path("predictions.csv"));
    let train = ["train", "--dataset", "movielens-csv", "--router", "top-k", "--epochs", "1"];
    let columns = ["dataset.user_column=user", "dataset.item_column=item", "dataset.cache=false"];
    let sizes = ["model.experts=16", "model.k=1", "model.embedding_width=32", &file, &width];
    let sizes = sizes.iter().chain(&columns).flat_map(|key| ["--set", key]);
    let quiet = ["--progress", "none", "--out", &out, "--format", "json"];
    run(&train.into_iter().chain(sizes).chain(quiet).collect::<Vec<_>>());

    let size = |name: &str| fs::metadata(place.path(name)).unwrap().len();
    let (weights, moments) = (size("run/best.safetensors"), size("run/moments.safetensors"));
    assert!(weights > megabytes() as u64 * 900_000 && moments > 2 * weights - 10_000, "{weights}");
    for unread in ["moments.safetensors", "last.safetensors", "state", "metrics.jsonl"] {
        fs::write(place.path("run").join(unread), "not what the manifest says").unwrap();
    }
    let Some(before) = read_so_far() else {
        return say("skipped: this system does not count what a program reads\n");
    };
    run(&["predict", &out, "--input", &rows, "--output", &predictions, "--progress", "none"]);
    let read = read_so_far().unwrap() - before;
    let times = read as f64 / weights as f64;
    say(&format!("{weights} bytes of weights, {read} bytes read: {times:.3} times\n"));
    assert!(read >= weights && read < weights + (1 << 20), "{read} bytes of {weights}");
    assert_eq!(fs::read_to_string(&predictions).unwrap().lines().count(), 3);
}
