//! Small data sets in memory, models over them and comparisons that the suites share.
#![allow(dead_code)] // each suite uses its part

pub(crate) mod matrices;
pub(crate) mod saved_runs;

use std::collections::BTreeMap;

use moe_core::batch::{
    Batch, BatchSource, IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec, Tokens,
};
use moe_core::rand::Rng;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Gradient, Gradients, Tape, Var};
use moe_core::{Mode, Pass, Real, StateRef, Tensor, random};
use moe_nn::{
    Mixture, MixtureDescription, Model, Models, Module, OptimizerOptions, Output, TrainOptions,
    Weights,
};
use moe_routers::{Registry, Value};
use proptest::test_runner::{Config, FileFailurePersistence};

/// Whether this build uses double precision.
pub(crate) const DOUBLE: bool = size_of::<Real>() == 8;

/// This number of cases; failing ones are saved beside the source of the suite, to be committed.
pub(crate) fn cases(count: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    Config { failure_persistence: Some(Box::new(kept)), ..Config::with_cases(count) }
}

/// Draws for the suite: any number of independent streams under one seed.
pub(crate) fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    random::chacha(seed, "tests", stream)
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) input: InputSpec,
    pub(crate) tasks: Vec<TaskSpec>,
    pub(crate) inputs: Inputs,
    pub(crate) targets: Vec<Target>,
}

impl BatchSource for Memory {
    fn rows(&self) -> usize {
        self.inputs.rows()
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        let dense = |x: Tensor| {
            let picked = rows.iter().flat_map(|&row| x.row(row as usize)).copied().collect();
            Tensor::new(self.input.dense_shape(rows.len()), picked)
        };
        let of_rows = |tokens: &Tokens| {
            Tokens::from_rows(rows.iter().map(|&row| tokens.of_row(row as usize)))
        };
        let inputs = Inputs {
            ids: self.inputs.ids.iter().map(|ids| pick(ids, rows)).collect(),
            dense: self.inputs.dense_rows().map(dense),
            tokens: self.inputs.tokens.as_ref().map(of_rows),
        };
        let targets = self.targets.iter().map(|target| Target {
            values: rows.iter().flat_map(|&row| target.values_of(row as usize).to_vec()).collect(),
            classes: rows
                .iter()
                .flat_map(|&row| target.classes_of(row as usize).to_vec())
                .collect(),
            present: pick(&target.present, rows),
        });
        // Row ids that are not positions, some above 32 bits.
        let row_ids = rows.iter().map(|&row| u64::from(row).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Batch {
            row_ids: row_ids.collect(),
            keys: rows.iter().map(|&row| row.into()).collect(),
            groups: None,
            inputs,
            targets: targets.collect(),
        }
    }
}

fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}

pub(crate) fn task(name: &str, kind: TaskKind) -> TaskSpec {
    TaskSpec { name: name.into(), kind }
}

/// The kinds of the tasks of [`dense`] and [`ids`].
pub(crate) fn kinds() -> [TaskKind; 3] {
    [TaskKind::binary(), TaskKind::multiclass(3), TaskKind::regression()]
}

/// The three kinds of task, as functions of two hidden numbers in [-1, 1) per row; every fourth value of the
/// regression is missing.
fn targets(hidden: &[[Real; 2]]) -> (Vec<TaskSpec>, Vec<Target>) {
    let names = ["positive", "third", "product"].into_iter();
    let tasks = names.zip(kinds()).map(|(name, kind)| task(name, kind)).collect();
    let positive = hidden.iter().map(|[a, b]| if a + b > 0.0 { 1.0 } else { 0.0 }).collect();
    let third = hidden.iter().map(|[a, _]| ((a + 1.0) * 1.5).clamp(0.0, 2.0) as u32).collect();
    let regression = Target::regression(
        hidden.iter().map(|[a, b]| a * b).collect(),
        (0..hidden.len()).map(|row| row % 4 != 3).collect(),
    );
    (tasks, vec![Target::binary(positive), Target::classes(third), regression])
}

/// Rows of `width` (at least 2) numbers; the targets follow from the first two.
pub(crate) fn dense(seed: u64, rows: usize, width: usize) -> Memory {
    let x = random::uniform([rows, width], 1.0, &mut rng(seed, 0));
    let hidden: Vec<[Real; 2]> = (0..rows).map(|row| [x.row(row)[0], x.row(row)[1]]).collect();
    let (tasks, targets) = targets(&hidden);
    Memory { input: InputSpec::dense(width), tasks, inputs: Inputs::dense(x), targets }
}

/// Rows of a user and an item; the targets follow from a hidden number of each.
pub(crate) fn ids(seed: u64, rows: usize) -> Memory {
    let vocabulary = [12, 9];
    let mut rng = rng(seed, 1);
    let columns: Vec<Vec<u32>> = vocabulary
        .iter()
        .map(|&size| (0..rows).map(|_| rng.random_range(0..size as u32)).collect())
        .collect();
    let taste = |column: usize, id: u32| ((id as usize * 7 + column) % 11) as Real / 5.5 - 1.0;
    let hidden: Vec<[Real; 2]> =
        (0..rows).map(|row| [taste(0, columns[0][row]), taste(1, columns[1][row])]).collect();
    let (tasks, targets) = targets(&hidden);
    let column = |(name, vocabulary): (&str, usize)| IdColumn { name: name.into(), vocabulary };
    let columns_spec = ["user", "item"].into_iter().zip(vocabulary).map(column).collect();
    let input = InputSpec::ids(columns_spec);
    Memory { input, tasks, inputs: Inputs::ids(columns), targets }
}

/// A small mixture for `source`: four experts, K = 2.
pub(crate) fn description(source: &Memory, router: &str) -> MixtureDescription {
    MixtureDescription::new(source.input.clone(), source.tasks.clone())
        .with_embedding_width(5)
        .with_experts(4)
        .with_k(2)
        .with_expert_hidden_widths(&[])
        .with_expert_width(8)
        .with_expert_dropout(0.0)
        .with_head_widths(&[6])
        .with_router(router)
}

/// The same with a load-balancing loss.
pub(crate) fn balanced(source: &Memory, coefficient: f64) -> MixtureDescription {
    let parameter = ("load-balance".to_string(), Value::Real(coefficient));
    let router_parameters = BTreeMap::from([parameter]);
    description(source, "top-k").with_router_parameters(router_parameters)
}

pub(crate) fn build(description: &MixtureDescription, seed: u64) -> Mixture {
    description.build(&Registry::standard(), seed).unwrap()
}

/// The same, or the baseline that the router's id names.
pub(crate) fn build_any(description: &MixtureDescription, seed: u64) -> Box<dyn Model> {
    let models = Models::standard();
    models.build(&*models.describe(description.clone()).unwrap(), seed).unwrap()
}

/// One weight per task of [`dense`] and [`ids`]; short runs that learn quickly.
pub(crate) fn options(seed: u64) -> TrainOptions {
    TrainOptions {
        seed,
        batch_rows: 16,
        epochs: 4,
        patience: 100,
        max_seconds: None,
        micro_batch_rows: None,
        task_weights: vec![1.0, 0.5, 2.0],
        optimizer: rate(0.01),
    }
}

/// Adam with this learning rate.
pub(crate) fn rate(learning_rate: f64) -> OptimizerOptions {
    OptimizerOptions { learning_rate, ..OptimizerOptions::default() }
}

/// The rows `0..rows` of a source.
pub(crate) fn first_rows(source: &dyn BatchSource, rows: usize) -> Batch {
    source.batch(&(0..rows as u32).collect::<Vec<_>>())
}

/// The pass of `batch` in this mode.
pub(crate) fn pass(batch: &Batch, mode: Mode) -> Pass<'_> {
    Pass {
        mode,
        seed: 5,
        step: 0,
        epoch: 0,
        row_ids: &batch.row_ids,
        keys: &batch.keys,
        groups: None,
        batch_rows: None,
        experts: None,
    }
}

pub(crate) fn forward<'t>(
    model: &dyn Model,
    tape: &'t Tape,
    batch: &Batch,
    mode: Mode,
) -> Output<'t> {
    model.run(tape, &pass(batch, mode), &batch.inputs)
}

/// Values of all predictions of a pass in inference.
pub(crate) fn predictions(model: &dyn Model, batch: &Batch) -> Vec<Tensor> {
    let tape = Tape::inference();
    forward(model, &tape, batch, Mode::Infer).predictions.iter().map(Var::value).collect()
}

/// The losses of the tasks of [`dense`] or [`ids`].
pub(crate) fn losses<'t>(output: &Output<'t>, batch: &Batch) -> Vec<Var<'t>> {
    let terms = output.predictions.iter().zip(&batch.targets).zip(kinds());
    terms.map(|((prediction, target), kind)| kind.loss(*prediction, target)).collect()
}

/// Their sum, unweighted.
pub(crate) fn loss<'t>(output: &Output<'t>, batch: &Batch) -> Var<'t> {
    losses(output, batch).into_iter().reduce(|a, b| a + b).unwrap()
}

/// The gradient of every parameter by name; `None` where there is none.
pub(crate) fn by_name(
    module: &dyn Module,
    gradients: &Gradients,
) -> BTreeMap<String, Option<Tensor>> {
    let mut found = BTreeMap::new();
    module.visit(&mut |name, state| {
        if let StateRef::Parameter(parameter) = state {
            let gradient = gradients.get(parameter).cloned().map(Gradient::into_dense);
            found.insert(name.to_string(), gradient);
        }
    });
    found
}

/// Names, in the order of the visit.
pub(crate) fn names(module: &dyn Module) -> Vec<String> {
    let mut names = Vec::new();
    module.visit(&mut |name, _| names.push(name.to_string()));
    names
}

/// Every number of a module, as bits.
pub(crate) fn bits(module: &dyn Module) -> Vec<u64> {
    Weights::of(module).iter().flat_map(|(_, tensor)| tensor_bits(tensor)).collect()
}

/// Every tensor of a module, in the order of its visit.
pub(crate) fn tensors(module: &dyn Module) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    module.visit(&mut |_, state| tensors.push(state.tensor().clone()));
    tensors
}

/// Puts [`tensors`] back.
pub(crate) fn put(module: &mut dyn Module, tensors: &[Tensor]) {
    let mut next = tensors.iter();
    module.visit_mut(&mut |_, mut state| *state.tensor_mut() = next.next().unwrap().clone());
    assert!(next.next().is_none());
}

/// Every tensor of two modules of one kind, by name.
pub(crate) fn side_by_side(a: &dyn Module, b: &dyn Module) -> Vec<(String, Tensor, Tensor)> {
    let (a, b) = (Weights::of(a), Weights::of(b));
    let both = a.iter().zip(b.iter());
    both.map(|((name, a), (_, b))| (name.to_string(), a.clone(), b.clone())).collect()
}

/// Every number of a tensor, as bits (of its double, which is exact).
pub(crate) fn tensor_bits(tensor: &Tensor) -> Vec<u64> {
    tensor.as_slice().iter().map(|&v| f64::from(v).to_bits()).collect()
}

/// Sets element `element` of the parameter or buffer `name`.
pub(crate) fn set(module: &mut dyn Module, name: &str, element: usize, value: Real) {
    let mut found = false;
    module.visit_mut(&mut |visited, mut state| {
        if visited == name {
            state.tensor_mut().as_mut_slice()[element] = value;
            found = true;
        }
    });
    assert!(found, "no parameter {name}");
}

/// Runs `f` in a pool of this number of threads.
pub(crate) fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
