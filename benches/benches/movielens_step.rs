//! A training step of COMET's MovieLens model on synthetic ids: forward, backward, Adam. Throughput in rows. The dense
//! twin is the same model with the softmax gate, which computes every expert.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use moe_core::batch::{Batch, IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::rand::Rng;
use moe_core::tape::Tape;
use moe_nn::{Mixture, MixtureDescription, Optimizer, OptimizerOptions, StepContext, train_step};
use moe_routers::Registry;

use crate::data::{OUTPUTS, ROWS, ids, rng, uniform};

const EXPERTS: usize = 16;
const K: usize = 2;
const ROUTERS: [&str; 2] = ["top-k", "softmax"];
/// Name and vocabulary of each column of ids.
const COLUMNS: [(&str, usize); 2] = [("user", 6040), ("movie", 3952)];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("movielens_step");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    let (batch, tasks) = (batch(), tasks());
    let start =
        StepContext { seed: 1, step: 0, epoch: 0, tasks: &tasks, task_weights: &[0.5, 0.5] };
    for router in ROUTERS {
        let mut model = model(router);
        // With a step size of 0 every iteration routes alike.
        let options = OptimizerOptions { learning_rate: 0.0, ..OptimizerOptions::default() };
        let mut optimizer = Optimizer::new(options);
        let mut tape = Tape::new();
        let mut steps = 0;
        let id = BenchmarkId::new(router, format!("B{ROWS}-N{EXPERTS}-K{K}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let at = StepContext { step: steps, ..start };
                let parts = black_box(std::slice::from_ref(&batch));
                train_step(&mut tape, &mut model, &mut optimizer, &at, parts)
                    .expect("loss and gradients are finite");
                steps += 1;
            });
        });
    }
    group.finish();
}

fn tasks() -> Vec<TaskSpec> {
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    vec![task("watch", TaskKind::Binary), task("rating", TaskKind::Regression)]
}

fn model(router: &str) -> Mixture {
    let column = |(name, vocabulary): (&str, usize)| IdColumn { name: name.into(), vocabulary };
    let description = MixtureDescription {
        input: InputSpec::Ids { columns: COLUMNS.map(column).to_vec() },
        tasks: tasks(),
        embedding_width: 128,
        experts: EXPERTS,
        k: K,
        expert_hidden_widths: vec![],
        expert_width: OUTPUTS,
        expert_dropout: 0.5,
        head_widths: vec![256],
        router: router.into(),
        router_parameters: BTreeMap::new(),
    };
    description.build(&Registry::standard(), 1).expect("the router is known")
}

fn batch() -> Batch {
    let mut rng = rng("movielens_step");
    let columns = COLUMNS.map(|(_, vocabulary)| ids(vocabulary, ROWS, &mut rng)).to_vec();
    let watched: Vec<bool> = (0..ROWS).map(|_| rng.random()).collect();
    Batch {
        row_ids: (0..ROWS as u64).collect(),
        keys: columns[0].iter().map(|&user| user.into()).collect(),
        inputs: Inputs::Ids(columns),
        targets: vec![
            Target::Binary(
                watched.iter().map(|&watched| if watched { 1.0 } else { 0.0 }).collect(),
            ),
            Target::Regression {
                values: uniform([ROWS], &mut rng).as_slice().to_vec(),
                present: watched,
            },
        ],
    }
}
