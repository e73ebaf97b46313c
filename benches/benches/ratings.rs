//! From a file of ratings to batches: a generated `ratings.dat` of 200,000 lines as text, compressed, and from the
//! prepared cache. Throughput in bytes of the text.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use flate2::Compression;
use flate2::write::GzEncoder;
use moe_core::batch::BatchSource;
use moe_data::{LoadOptions, load};

const USERS: usize = 1200;
const MOVIES: usize = 3706;
const RATINGS: usize = 200_000;
/// Rows of a batch.
const ROWS: u32 = 512;

pub(crate) fn bench(criterion: &mut Criterion) {
    let text = text();
    let dir = tempfile::tempdir().expect("a folder for the files");
    let folder = dir.path().join("movielens-1m");
    std::fs::create_dir(&folder).expect("a new folder");
    let mut group = criterion.benchmark_group("ratings");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Bytes(text.len() as u64));
    let lines = format!("L{RATINGS}");
    let options = |cache| LoadOptions {
        data_dir: Some(dir.path().into()),
        cache: Some(cache),
        ..LoadOptions::default()
    };
    let read = |cache| load("movielens-1m", black_box(&options(cache))).expect("good ratings");
    write(&folder.join("ratings.dat"), text.as_bytes());
    group.bench_function(BenchmarkId::new("text", &lines), |b| b.iter(|| read(false)));
    let data = read(true);
    group.bench_function(BenchmarkId::new("prepared", &lines), |b| b.iter(|| read(true)));
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut packer, text.as_bytes()).expect("memory");
    write(&folder.join("ratings.dat.gz"), &packer.finish().expect("memory"));
    group.bench_function(BenchmarkId::new("packed", &lines), |b| b.iter(|| read(false)));

    // Bytes of ids and targets as they are stored.
    group.throughput(Throughput::Bytes(u64::from(ROWS) * (4 + 4 + 1 + 4)));
    let rows: Vec<u32> = (0..ROWS).map(|row| row * 37).collect();
    group.bench_function(BenchmarkId::new("batch", format!("B{ROWS}")), |b| {
        b.iter(|| data.train.batch(black_box(&rows)));
    });
    group.finish();
}

/// Lines of MovieLens 1M, no pair twice.
fn text() -> String {
    let line = |i: usize| {
        let (user, turn) = (i % USERS, i / USERS);
        let movie = (user * 31 + turn * 1237) % MOVIES;
        format!("{}::{}::{}::978300760\n", user + 1, movie + 1, (user + turn) % 5 + 1)
    };
    (0..RATINGS).map(line).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("room for a file");
}
