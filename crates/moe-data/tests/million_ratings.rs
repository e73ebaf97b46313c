//! A million ratings: time and memory from the file to batches. Alone in its program, whose peak of memory is measured.

mod common;

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use moe_core::batch::BatchSource;
use moe_data::{Dataset, LoadOptions, load};
use tempfile::TempDir;

const USERS: u64 = 6040;
const MOVIES: u64 = 3706;
const RATINGS: u64 = 1_000_209;

/// Bytes of all columns and splits of the two million rows: two ids, the watch label, a rating, the row's index in its
/// split.
const ARRAYS: usize = 2 * RATINGS as usize * (4 + 4 + 1 + 4 + 4);

/// A `ratings.dat` of the size of MovieLens 1M, no pair twice.
fn place() -> TempDir {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("movielens-1m");
    std::fs::create_dir(&folder).unwrap();
    let mut file = BufWriter::new(std::fs::File::create(folder.join("ratings.dat")).unwrap());
    for i in 0..RATINGS {
        // Steps of a prime number through the movies of each user.
        let (user, turn) = (i % USERS, i / USERS);
        let movie = (user * 31 + turn * 1237) % MOVIES;
        writeln!(file, "{}::{}::{}::978300760", user + 1, movie + 1, (user + turn) % 5 + 1)
            .unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    dir
}

/// The most memory in bytes that this program has held, as Linux tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Time that this program has had a processor, as Linux tells in hundredths of a second: all is done in one thread, and
/// other programs may be running.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let [user, system] = [fields.next()?.parse::<u64>().ok()?, fields.next()?.parse().ok()?];
    Some(Duration::from_millis(10 * (user + system)))
}

/// The shortest of five times: of the processor where that is known, else of the clock.
fn shortest(load: impl Fn() -> Dataset) -> Duration {
    let time = || {
        let (start, before) = (Instant::now(), busy());
        let data = load();
        let clock = start.elapsed();
        assert_eq!(data.splits().map(|(_, split)| split.rows()).iter().sum::<usize>(), 2_000_418);
        busy().zip(before).map_or(clock, |(after, before)| after - before)
    };
    (0..5).map(|_| time()).min().unwrap()
}

#[test]
fn time_and_memory() {
    let dir = place();
    let options = |cache| LoadOptions {
        data_dir: Some(dir.path().into()),
        cache: Some(cache),
        ..LoadOptions::default()
    };
    let load = |cache| load("movielens-1m", &options(cache)).unwrap();
    let before = peak();
    drop(load(true));
    let used = peak().zip(before).map(|(after, before)| after - before);
    let cached = shortest(|| load(true));
    let parsed = shortest(|| load(false));
    let line = format!(
        "a million ratings: {parsed:?} from the text, {cached:?} from the cache; peak {:.2} times the arrays\n",
        used.unwrap_or_default() as f64 / ARRAYS as f64
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(used.is_none_or(|used| used > ARRAYS / 2 && used < 6 * ARRAYS), "{line}");
    // Times are promised of optimised builds.
    if !cfg!(debug_assertions) {
        assert!(parsed < Duration::from_millis(1500), "{line}");
        assert!(cached < Duration::from_millis(100), "{line}");
    }
}
