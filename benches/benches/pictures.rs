//! From picture files to batches: IDX plain and compressed, and a MAT file, each of 5,000 pictures. Throughput in bytes of
//! the pictures.

use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use moe_core::batch::BatchSource;
use moe_data::{LoadOptions, load};

const PICTURES: u32 = 5000;
/// Rows of a batch.
const ROWS: u32 = 512;

pub(crate) fn bench(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder for the files");
    let options = LoadOptions { data_dir: Some(dir.path().into()), ..LoadOptions::default() };
    let mut group = criterion.benchmark_group("pictures");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let number = format!("P{PICTURES}");

    group.throughput(Throughput::Bytes(u64::from(PICTURES) * 784));
    let [images, labels] = idx();
    write(dir.path(), "mnist/t10k-images-idx3-ubyte", &images);
    write(dir.path(), "mnist/t10k-labels-idx1-ubyte", &labels);
    let read = |id| load(id, black_box(&options)).expect("good pictures");
    group.bench_function(BenchmarkId::new("idx", &number), |b| b.iter(|| read("mnist")));
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&images).expect("memory");
    let packed = packer.finish().expect("memory");
    write(dir.path(), "mnist/t10k-images-idx3-ubyte.gz", &packed);
    group.bench_function(BenchmarkId::new("idx packed", &number), |b| b.iter(|| read("mnist")));
    let data = read("multi-mnist");

    group.throughput(Throughput::Bytes(u64::from(PICTURES) * 256));
    write(dir.path(), "usps/USPS.mat", &mat());
    group.bench_function(BenchmarkId::new("mat", &number), |b| b.iter(|| read("usps")));

    // Bytes of pixels as they are stored.
    group.throughput(Throughput::Bytes(u64::from(ROWS) * 36 * 36));
    let rows: Vec<u32> = (0..ROWS).map(|row| row * 11).collect();
    group.bench_function(BenchmarkId::new("batch", format!("B{ROWS} D1296")), |b| {
        b.iter(|| data.train.batch(black_box(&rows)));
    });
    group.finish();
}

/// Something that packs about as well as digits do: mostly dark, bright in the middle.
fn pixel(place: u32) -> u8 {
    let (x, y) = (place % 28, place / 28 % 28);
    let bright = (9..19).contains(&x) && (6..22).contains(&y);
    if bright { place.wrapping_mul(2_654_435_761).to_le_bytes()[3] } else { 0 }
}

fn idx() -> [Vec<u8>; 2] {
    let head = |sizes: &[u32]| {
        let sizes_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes_bytes).collect::<Vec<u8>>()
    };
    let mut images = head(&[PICTURES, 28, 28]);
    images.extend((0..PICTURES * 784).map(pixel));
    let mut labels = head(&[PICTURES]);
    labels.extend((0..PICTURES).map(|i| (i % 10) as u8));
    [images, labels]
}

/// `fea` and `gnd`, each packed.
fn mat() -> Vec<u8> {
    fn element(kind: u32, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32).to_le_bytes();
        let mut bytes = [&kind.to_le_bytes()[..], &length, content].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
    let variable = |name: &str, columns: u32, values: Vec<u8>| {
        let sizes = [PICTURES, columns].map(u32::to_le_bytes).concat();
        let flags = element(6, &[9, 0, 0, 0, 0, 0, 0, 0]);
        let rest = [element(5, &sizes), element(1, name.as_bytes()), element(2, &values)];
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&element(14, &[flags, rest.concat()].concat())).expect("memory");
        let packed = packer.finish().expect("memory");
        [&15u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &packed].concat()
    };
    let fea = variable("fea", 256, (0..PICTURES * 256).map(pixel).collect());
    let gnd = variable("gnd", 1, (0..PICTURES).map(|i| (i % 10 + 1) as u8).collect());
    [&[b' '; 124][..], b"\0\x01IM", &fea, &gnd].concat()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
    std::fs::write(path, bytes).expect("room for a file");
}
