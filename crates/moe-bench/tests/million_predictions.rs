//! A million rows through `moe predict`: memory, order, rows per second. Alone in its program, whose peak of memory is
//! measured.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::Place;
use moe_core::batch::InputRow;
use moe_nn::{ModelScratch, Models, Predictions, Predictor};
use moe_routers::Registry;

/// Fewer than promised, where that would take minutes.
const ROWS: usize = if cfg!(debug_assertions) { 300_000 } else { 1_000_000 };
const USERS: usize = 31;
const MOVIES: usize = 53;

/// What the peak may differ by: buffers of threads that had nothing to do with few rows. Kept rows would be several times
/// as much, a hundred bytes and more each.
const NOISE: usize = ROWS * 40;

/// The user and the movie of a row, both from 0.
fn pair(row: usize) -> [usize; 2] {
    [row % USERS, row * 7 % MOVIES]
}

fn write_rows(place: &Place, name: &str, rows: usize) {
    let mut file = BufWriter::new(File::create(place.path(name)).unwrap());
    writeln!(file, "n,user,movie").unwrap();
    for n in 0..rows {
        let [user, movie] = pair(n);
        writeln!(file, "{n},{user},{movie}").unwrap();
    }
    file.flush().unwrap();
}

/// The command in this program.
fn run(args: &[&str]) -> Duration {
    let args = ["moe"].iter().chain(args).map(Into::into);
    let start = Instant::now();
    let status = moe_bench::run(args, Registry::standard());
    assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::SUCCESS));
    start.elapsed()
}

/// The most memory in bytes that this program has held, as Linux tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

#[test]
fn memory_order_and_speed() {
    let place = Place::new();
    let path = |name: &str| place.path(name).display().to_string();
    place.write("mine.csv", format!("user,movie,watch,rating\n{}", common::movielens(2000)));
    let file = format!("dataset.ratings_file='{}'", path("mine.csv"));
    let mut train = vec!["train", "--preset", "smoke", "--dataset", "movielens-csv"];
    train.extend(["--router", "top-k", "--epochs", "1", "--progress", "none", "--set", &file]);
    train.extend(["--set", "dataset.user_column=user", "--set", "dataset.item_column=movie"]);
    let out = path("run");
    run(&[&train[..], &["--set", "dataset.cache=false", "--out", &out]].concat());

    let predict = |rows: usize| {
        let (input, output) = (path("rows.csv"), path("out.csv"));
        write_rows(&place, "rows.csv", rows);
        let predict = ["predict", &out, "--input", &input, "--output", &output];
        let time = run(&[&predict[..], &["--keep", "n,user", "--progress", "none"]].concat());
        (time, peak())
    };
    let (_, before) = predict(ROWS / 10);
    let (time, after) = predict(ROWS);
    let line = format!(
        "{ROWS} rows in {time:?}, {:.0} rows a second; peak {:?} MiB, with a tenth of the rows {:?} MiB\n",
        ROWS as f64 / time.as_secs_f64(),
        after.map(|bytes| bytes >> 20),
        before.map(|bytes| bytes >> 20),
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(after.zip(before).is_none_or(|(after, before)| after < before + NOISE), "{line}");

    // Every row in its place, with what is said of its user and movie alone.
    let said = alone(&place);
    let lines = BufReader::new(File::open(place.path("out.csv")).unwrap()).lines();
    let mut count = 0;
    for (n, line) in lines.skip(1).map(Result::unwrap).enumerate() {
        let [user, movie] = pair(n);
        assert_eq!(line, format!("{n},{user},{}", said[user * MOVIES + movie]));
        count += 1;
    }
    assert_eq!(count, ROWS);
}

/// Probability and rating of each user and movie, row by row.
fn alone(place: &Place) -> Vec<String> {
    let run = place.path("run");
    let text = place.text("run/features.json");
    let schema: moe_data::FeatureSchema = serde_json::from_str(&text).unwrap();
    let (users, movies) = (schema.ids[0].vocabulary.ids(), schema.ids[1].vocabulary.ids());
    let predictor = Predictor::load(&run, &Models::standard()).unwrap();
    let (mut out, mut scratch, mut watch) =
        (Predictions::default(), ModelScratch::default(), Vec::new());
    (0..USERS * MOVIES)
        .map(|pair| {
            let ids = [users[&*(pair / MOVIES).to_string()], movies[&*(pair % MOVIES).to_string()]];
            let (row, key) = (InputRow::ids(&ids), ids[0].into());
            predictor.predict_row(&row, key, &mut out, &mut scratch).unwrap();
            out.probabilities(0, &mut watch);
            format!("{:?},{:?}", watch[0], out.raw(1)[0])
        })
        .collect()
}
