//! Rows in clusters at the corners of a cube, with one teacher per cluster.

use moe_core::Tensor;
use moe_core::batch::{Batch, BatchSource, InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::random::{chacha, permutation, uniform};

/// Number of inputs (D). The first three identify the cluster.
pub(crate) const WIDTH: usize = 8;
/// Number of experts (N), a power of two. Cluster c is at the corner given by its bits.
pub(crate) const EXPERTS: usize = 8;

/// A split: rows with their targets.
pub(crate) struct Split {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    first_row: u64,
    rows: Tensor,
    targets: Vec<moe_core::Real>,
}

/// Training, validation and test rows, and the teachers in permuted order.
pub(crate) struct Planted {
    pub(crate) train: Split,
    pub(crate) val: Split,
    pub(crate) test: Split,
    /// `[N, D, 1]`
    pub(crate) experts: Tensor,
}

impl Planted {
    pub(crate) fn new(seed: u64) -> Self {
        let teachers = uniform([EXPERTS, WIDTH], 1.0, &mut chacha(seed, "teachers", 0));
        let order = permutation(EXPERTS, seed, "order", 0);
        let mut experts = Tensor::zeros([EXPERTS, WIDTH, 1]);
        for (teacher, &expert) in order.iter().enumerate() {
            let place = expert as usize * WIDTH..(expert as usize + 1) * WIDTH;
            experts.as_mut_slice()[place].copy_from_slice(teachers.row(teacher));
        }
        let mut first_row = 0;
        let mut split = |rows: u64| {
            let split = Split::new(first_row, rows, &teachers, seed);
            first_row += rows;
            split
        };
        Planted { train: split(2000), val: split(500), test: split(1000), experts }
    }
}

impl Split {
    fn new(first_row: u64, count: u64, teachers: &Tensor, seed: u64) -> Self {
        let mut rows = uniform([count as usize, WIDTH], 1.0, &mut chacha(seed, "rows", first_row));
        let cluster = |row: usize| (first_row as usize + row) % EXPERTS;
        for (r, row) in rows.as_mut_slice().chunks_exact_mut(WIDTH).enumerate() {
            for (bit, x) in row.iter_mut().take(EXPERTS.ilog2() as usize).enumerate() {
                *x += if cluster(r) >> bit & 1 == 1 { 1.2 } else { -1.2 };
            }
        }
        let target = |r: usize| {
            let products = rows.row(r).iter().zip(teachers.row(cluster(r)));
            products.map(|(x, w)| x * w).sum()
        };
        let targets = (0..count as usize).map(target).collect();
        let tasks = vec![TaskSpec { name: "y".into(), kind: TaskKind::regression() }];
        Split { input: InputSpec::dense(WIDTH), tasks, first_row, rows, targets }
    }
}

impl BatchSource for Split {
    fn rows(&self) -> usize {
        self.targets.len()
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        let picked = rows.iter().flat_map(|&row| self.rows.row(row as usize)).copied().collect();
        let row_ids: Vec<u64> = rows.iter().map(|&row| self.first_row + u64::from(row)).collect();
        let values = rows.iter().map(|&row| self.targets[row as usize]).collect();
        Batch {
            keys: row_ids.clone(),
            groups: None,
            row_ids,
            inputs: Inputs::dense(Tensor::new([rows.len(), WIDTH], picked)),
            targets: vec![Target::values(values, 1)],
        }
    }
}
