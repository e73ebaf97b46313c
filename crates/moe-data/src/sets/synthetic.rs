//! Rows with a planted expert each, which measure whether a router finds the experts.
//!
//! With width D, experts N, separation s and noise q:
//! * centroids c_1..c_N are random unit vectors, the same for all splits;
//! * a row belongs to a cluster k drawn uniformly and is x = s c_k + z with z standard normal;
//! * its planted expert is e = argmax_n c_n·x, the nearest centroid (the lowest n where several are equally near): a
//!   linear gate without bias. With s = 0, x shows no clusters, and only that gate is left;
//! * its target is y = Σ_h v_eh relu(w_eh·x) + q ε over h = 1..4, with random unit vectors w_eh, standard
//!   normal v_eh and ε: one small teacher per expert. The noise does not change x or e.
//!
//! x is rounded to single precision, then e and y are computed in double precision, so both precisions of the workspace
//! see the same rows. Centroids and teachers come from the ChaCha8 stream `synthetic experts`, the inputs of each split
//! from its own `synthetic inputs`, ε from `synthetic noise`; so the first rows of a split do not depend on how many
//! follow. Row ids count through train, validation and test.

use moe_core::batch::{InputSpec, TaskKind};
use moe_core::rand::Rng;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::rand_distr::StandardNormal;
use moe_core::random::chacha;

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Dense, Features, Table};
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::options::in_range;

const ID: &str = "synthetic";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "rows planted for known experts, one regression task",
    groups: Some("expert"),
    defaults,
    load,
    ..Entry::NEW
};

fn defaults() -> LoadOptions {
    LoadOptions {
        train_rows: Some(8000),
        val_rows: Some(2000),
        test_rows: Some(2000),
        width: Some(16),
        experts: Some(8),
        noise: Some(0.1),
        separation: Some(3.0),
        ..LoadOptions::default()
    }
}

const MOST_ROWS: usize = 10_000_000;
const MOST_WIDTH: usize = 1 << 16;
const MOST_EXPERTS: usize = 1 << 12;
/// The greatest noise and separation.
const MOST_SCALE: f64 = 1e6;
/// The most numbers in all inputs (1 GiB), and in all teachers.
const MOST_NUMBERS: usize = 1 << 28;

/// Number of hidden units of a teacher.
const HIDDEN: usize = 4;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let rows = options.split_rows(ID, MOST_ROWS)?;
    let width = in_range(ID, "width", options.width, 1, MOST_WIDTH)?;
    let experts = in_range(ID, "experts", options.experts, 1, MOST_EXPERTS)?;
    let noise = in_range(ID, "noise", options.noise, 0.0, MOST_SCALE)?;
    let separation = in_range(ID, "separation", options.separation, 0.0, MOST_SCALE)?;
    let total: usize = rows.iter().sum();
    let vectors = total.max(experts * (HIDDEN + 1));
    in_range(ID, "width", Some(width), 1, MOST_NUMBERS / vectors)?;

    let world = World::new(options.seed, width, experts);
    let mut inputs = Vec::with_capacity(total * width);
    let mut planted = Vec::with_capacity(total);
    let mut targets = Vec::with_capacity(total);
    for (split, &rows) in rows.iter().enumerate() {
        let mut draws = chacha(options.seed, "synthetic inputs", split as u64);
        let mut noises = chacha(options.seed, "synthetic noise", split as u64);
        for _ in 0..rows {
            let start = inputs.len();
            world.draw(separation, &mut draws, &mut inputs);
            let x = &inputs[start..];
            let expert = world.expert(x);
            let wobble: f64 = noises.sample(StandardNormal);
            planted.push(expert as u32);
            targets.push((world.teach(expert, x) + noise * wobble) as f32);
        }
    }

    let features = Features::dense(Dense::Floats(inputs));
    let y = ("y", TaskKind::regression(), Column::Values(targets));
    let table = Table::new(InputSpec::dense(width), features, [y]);
    let table = Table { groups: Some(planted), ..table };
    Dataset::new(ID, table, split::consecutive(rows))
}

/// The centroids and the teachers.
struct World {
    width: usize,
    experts: usize,
    /// `[N, D]`
    centroids: Vec<f64>,
    /// `[N, HIDDEN, D]`
    hidden: Vec<f64>,
    /// `[N, HIDDEN]`
    output: Vec<f64>,
}

impl World {
    fn new(seed: u64, width: usize, experts: usize) -> Self {
        let mut rng = chacha(seed, "synthetic experts", 0);
        World {
            width,
            experts,
            centroids: unit_vectors(experts, width, &mut rng),
            hidden: unit_vectors(experts * HIDDEN, width, &mut rng),
            output: (0..experts * HIDDEN).map(|_| rng.sample(StandardNormal)).collect(),
        }
    }

    /// Appends one row of D numbers.
    fn draw(&self, separation: f64, rng: &mut ChaCha8Rng, inputs: &mut Vec<f32>) {
        let cluster = rng.random_range(0..self.experts as u32) as usize;
        let centroid = &self.centroids[cluster * self.width..][..self.width];
        inputs.extend(centroid.iter().map(|c| {
            let z: f64 = rng.sample(StandardNormal);
            (separation * c + z) as f32
        }));
    }

    fn expert(&self, x: &[f32]) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (n, centroid) in self.centroids.chunks_exact(self.width).enumerate() {
            let score = dot(centroid, x);
            if score > best.1 {
                best = (n, score);
            }
        }
        best.0
    }

    fn teach(&self, expert: usize, x: &[f32]) -> f64 {
        (expert * HIDDEN..(expert + 1) * HIDDEN)
            .map(|unit| {
                let weights = &self.hidden[unit * self.width..][..self.width];
                self.output[unit] * dot(weights, x).max(0.0)
            })
            .sum()
    }
}

/// `[count, width]`, each row of length 1 in a uniform direction.
fn unit_vectors(count: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut all: Vec<f64> = (0..count * width).map(|_| rng.sample(StandardNormal)).collect();
    for vector in all.chunks_exact_mut(width) {
        let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|v| *v /= length);
    }
    all
}

fn dot(a: &[f64], x: &[f32]) -> f64 {
    a.iter().zip(x).map(|(a, &x)| a * f64::from(x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centroids_have_length_one_and_attract_their_own() {
        let world = World::new(3, 7, 5);
        for (n, centroid) in world.centroids.chunks_exact(7).enumerate() {
            assert!((centroid.iter().map(|c| c * c).sum::<f64>() - 1.0).abs() < 1e-12);
            let x: Vec<f32> = centroid.iter().map(|&c| c as f32).collect();
            assert_eq!(world.expert(&x), n);
        }
    }

    #[test]
    fn a_teacher_is_a_sum_of_rectified_units() {
        let world = World {
            width: 2,
            experts: 1,
            centroids: vec![1.0, 0.0],
            hidden: vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0],
            output: vec![2.0, 3.0, 5.0, 7.0],
        };
        // 2 relu(1) + 3 relu(-1) + 5 relu(-2) + 7 relu(2)
        assert_eq!(world.teach(0, &[1.0, -2.0]), 16.0);
    }

    #[test]
    fn sizes_beyond_memory_are_refused() {
        for (message, options) in [
            ("train_rows = 0", LoadOptions { train_rows: Some(0), ..defaults() }),
            (
                "width = 65536",
                LoadOptions { train_rows: Some(MOST_ROWS), width: Some(MOST_WIDTH), ..defaults() },
            ),
            ("experts = 2147483648", LoadOptions { experts: Some(1 << 31), ..defaults() }),
            ("noise = inf", LoadOptions { noise: Some(f64::INFINITY), ..defaults() }),
            ("separation = -1", LoadOptions { separation: Some(-1.0), ..defaults() }),
        ] {
            let error = load(&options).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
