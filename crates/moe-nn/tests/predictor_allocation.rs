//! Prediction allocates nothing once its memory has grown: every router of the registry, a row at a time, and batches on
//! a thread of a pool; with several threads only small buffers for what one computes for another.

#[path = "../../moe-routers/tests/common/counting.rs"]
mod counting;

use counting::so_far;
use moe_core::batch::{IdColumn, InputRow, InputSpec, Inputs, TaskKind, TaskSpec};
use moe_core::random::{Philox, chacha, uniform};
use moe_core::tape::{Tape, Vars};
use moe_core::{Real, StateMut, Tensor, Visit, VisitMut};
use moe_nn::{
    Forward, LayerGates, MixtureDescription, Model, ModelDescription, ModelScratch, Models, Module,
    Predictions, Predictor,
};
use moe_routers::Registry;
use std::sync::Arc;

/// Different rows, each predicted once before and once while allocations are counted.
const ROWS: usize = 64;

fn input(mixed: bool) -> InputSpec {
    let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
    let columns = vec![column("user", 90), column("film", 70)];
    InputSpec::ids(columns).with_dense(if mixed { vec![1, 3, 1] } else { vec![] })
}

/// Wide enough that products of one row would be worth several threads.
fn description(router: &str, mixed: bool) -> Arc<dyn ModelDescription> {
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    let mixture = MixtureDescription::new(
        input(mixed),
        vec![
            task("rating", TaskKind::regression()),
            task("watch", TaskKind::binary()),
            task("genre", TaskKind::multiclass(5)),
        ],
    )
    .with_embedding_width(128)
    .with_experts(12)
    .with_k(2)
    .with_expert_hidden_widths(&if mixed { vec![140] } else { vec![] })
    .with_expert_width(160)
    .with_expert_dropout(0.5)
    .with_head_widths(&[220])
    .with_router(router);
    Models::standard().describe(mixture).expect("the parameters are allowed")
}

fn model(router: &str, mixed: bool) -> Box<dyn Model> {
    let description = description(router, mixed);
    let mut model = Models::standard().build(&*description, 1).expect("the router is known");
    // Away from zero biases and from splits that are all soft.
    let mut rng = chacha(2, "parameters", 0);
    model.visit_mut(&mut |_, state| {
        if let StateMut::Parameter(parameter) = state {
            let value = parameter.value_mut();
            value.add_assign(&uniform(*value.shape(), 0.1, &mut rng));
        }
    });
    model
}

fn predictor(model: Box<dyn Model>, mixed: bool) -> Predictor {
    let description = description("top-k", mixed);
    Predictor::of(model, description.input().clone(), description.tasks().to_vec())
}

fn id(row: usize, column: u32) -> u32 {
    Philox::new(1, "rows", 0).row_block(row as u64, column, 0)[0] % 70
}

/// Allocations of a second pass over the rows, one at a time.
fn of_rows(predictor: &Predictor) -> u64 {
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    let mut shown = Vec::new();
    let mut before = 0;
    for pass in 0..2 {
        if pass == 1 {
            before = so_far();
        }
        for row in 0..ROWS {
            let (ids, numbers) = ([id(row, 0), id(row, 1)], [row as Real, 1.0, -2.0]);
            let numbers = &numbers[..predictor.input().dense_width()];
            let key = ids[0].into();
            let row = InputRow { dense: numbers, ..InputRow::ids(&ids) };
            predictor.predict_row(&row, key, &mut out, &mut scratch).expect("such a row");
            for task in 0..out.num_tasks() {
                out.probabilities(task, &mut shown);
            }
        }
    }
    so_far() - before
}

/// Allocations of batches of these sizes after the largest of them.
fn of_batches(predictor: &Predictor, sizes: &[usize]) -> u64 {
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    let batch = |rows: usize| {
        let ids = (0..2).map(|column| (0..rows).map(|row| id(row, column)).collect()).collect();
        let dense = || Tensor::from_fn(predictor.input().dense_shape(rows), |i| (i % 7) as Real);
        let has_dense = predictor.input().dense_width() > 0;
        let inputs = Inputs { dense: has_dense.then(dense), ..Inputs::ids(ids) };
        (inputs, (0..rows as u64).collect::<Vec<_>>())
    };
    let batches: Vec<_> = sizes.iter().map(|&rows| batch(rows)).collect();
    let mut before = 0;
    for pass in 0..3 {
        if pass == 1 {
            before = so_far();
        }
        for (inputs, keys) in &batches {
            predictor.predict(inputs, keys, &mut out, &mut scratch).expect("such rows");
        }
    }
    so_far() - before
}

/// A model whose pass is recorded.
struct Recorded(Box<dyn Model>);

impl Module for Recorded {
    fn visit(&self, f: &mut Visit<'_>) {
        self.0.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.0.visit_mut(f);
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.0.gates_mut()
    }
}

impl Model for Recorded {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        self.0.run(&Tape::new(), pass, inputs);
        self.0.forward(tape, pass, inputs)
    }
}

fn main() {
    // Threads that are still starting allocate.
    rayon::broadcast(|_| ());
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let registry = Registry::standard();
    let infos = registry.entries().iter().map(|entry| entry.info());
    let routers = infos.filter(|info| !info.reads_groups).map(|info| info.id.as_str());
    for router in routers.chain(["shared-bottom", "bias"]) {
        for mixed in [false, true] {
            if mixed && router == "bias" {
                continue;
            }
            let predictor = predictor(model(router, mixed), mixed);
            assert_eq!(of_rows(&predictor), 0, "{router}, a row at a time");
            const SIZES: [usize; 4] = [512, 1, 300, 7];
            let found = alone.install(|| of_batches(&predictor, &SIZES));
            assert_eq!(found, 0, "{router}, batches on one thread");
            // Every thread takes its working memory with its first products.
            pool.broadcast(|_| of_batches(&predictor, &[100]));
            let found = pool.install(|| of_batches(&predictor, &SIZES));
            // Of each output that a thread computes for another one, a small buffer and the count of its owners.
            let most = 2 * 2 * SIZES.len() * predictor.tasks().len();
            assert!(found <= most as u64, "{router}, batches on two threads: {found}");
        }
    }
    // Allocations of a tape that records are counted.
    let recorded = predictor(Box::new(Recorded(model("top-k", false))), false);
    assert!(of_rows(&recorded) >= 10 * ROWS as u64);
}
