//! Training improves a model, and is deterministic.

mod common;

use std::sync::Mutex;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::{DOUBLE, Memory, build, description, options};
use moe_core::batch::{BatchSource, Inputs};
use moe_core::random::permutation;
use moe_core::tape::{Tape, Vars};
use moe_core::{Mode, Pass, Tensor, Visit, VisitMut};
use moe_nn::{
    EpochRecord, Forward, History, LayerGates, Mixture, MixtureDescription, Model, Module,
    Observer, TrainOptions, TrainState, evaluate, train,
};
use moe_routers::aux_loss::total_loss;

const ROUTERS: [&str; 2] = ["softmax", "top-k"];

/// Training and validation splits, of dense rows and of ids.
fn sources() -> [(Memory, Memory); 2] {
    [(common::dense(1, 200, 4), common::dense(2, 60, 4)), (common::ids(1, 200), common::ids(2, 60))]
}

fn trained(
    description: &MixtureDescription,
    (train_part, val): &(Memory, Memory),
    options: &TrainOptions,
) -> (Mixture, History) {
    let mut model = build(description, options.seed);
    let history = train(&mut model, train_part, val, options, &mut ()).unwrap();
    (model, history)
}

#[test]
fn training_lowers_the_loss() {
    for parts in sources() {
        for router in ROUTERS {
            let description = description(&parts.0, router);
            let options = TrainOptions { epochs: 15, ..options(3) };
            let before = evaluate(&build(&description, 3), &parts.1, &options.task_weights, 60);
            let (_, history) = trained(&description, &parts, &options);
            let (before, after) = (before.loss, history.best_val_loss);
            assert!(after < 0.6 * before, "{router}: from {before} to {after}");
            let losses: Vec<f64> = history.epochs.iter().map(|e| e.train_loss).collect();
            assert!(losses.last() < losses.first(), "{router}: {losses:?}");
        }
    }
}

#[test]
fn the_model_is_left_with_its_best_weights() {
    // Few rows and a large rate: the validation loss rises long before the end.
    for (train_part, val) in sources() {
        let few = train_part.batch(&(0..24).collect::<Vec<_>>());
        let parts = (Memory { inputs: few.inputs, targets: few.targets, ..train_part }, val);
        let optimizer = common::rate(0.03);
        let options = TrainOptions { epochs: 40, batch_rows: 8, optimizer, ..options(2) };
        let (model, history) = trained(&description(&parts.0, "top-k"), &parts, &options);

        assert_eq!(history.epochs.len(), 40);
        assert!(history.best_epoch < 40, "the test needs a best epoch before the last");
        let best = &history.epochs[history.best_epoch - 1];
        let lowest = history.epochs.iter().map(|e| e.val_loss).fold(f64::INFINITY, f64::min);
        assert_eq!((best.val_loss, best.is_best), (lowest, true));
        assert_eq!(history.best_val_loss, lowest);
        let last_best = history.epochs.iter().rposition(|e| e.is_best).unwrap();
        assert_eq!(last_best + 1, history.best_epoch);
        for batch_rows in [8, 60] {
            let again = evaluate(&model, &parts.1, &options.task_weights, batch_rows);
            assert_eq!(again.loss, lowest, "{batch_rows} rows at a time");
        }
    }
}

#[test]
fn early_stopping_waits_for_patience_epochs() {
    let parts = (common::dense(1, 24, 4), common::dense(2, 60, 4));
    let optimizer = common::rate(0.03);
    let description = description(&parts.0, "top-k");
    for patience in [0, 1, 3, 6] {
        let optimizer = optimizer.clone();
        let options =
            TrainOptions { epochs: 200, batch_rows: 8, patience, optimizer, ..options(2) };
        let (_, history) = trained(&description, &parts, &options);
        let epochs = history.epochs.len();
        assert!(epochs < 200, "the test needs a run that stops early");
        assert_eq!(epochs, history.best_epoch + patience.max(1), "patience {patience}");
        // It had not waited as long before.
        let best: Vec<usize> =
            history.epochs.iter().filter(|e| e.is_best).map(|e| e.epoch).collect();
        assert!(best.windows(2).all(|pair| pair[1] - pair[0] <= patience.max(1)), "{best:?}");
    }
}

#[test]
fn no_epochs_leave_the_model_as_it_was() {
    let parts = (common::dense(1, 20, 4), common::dense(2, 20, 4));
    let description = description(&parts.0, "top-k");
    let options = TrainOptions { epochs: 0, ..options(1) };
    let (model, history) = trained(&description, &parts, &options);
    assert_eq!(common::bits(&model), common::bits(&build(&description, 1)));
    assert_eq!((history.best_epoch, history.steps), (0, 0));
    assert_eq!(history.best_val_loss, f64::INFINITY);
}

/// Wide enough for every kernel to go parallel, with dropout.
fn wide(seed: u64) -> (Vec<u64>, Vec<f64>) {
    let parts = (common::dense(1, 600, 48), common::dense(2, 100, 48));
    let description = description(&parts.0, "top-k")
        .with_experts(8)
        .with_expert_width(32)
        .with_expert_dropout(0.3)
        .with_head_widths(&[64]);
    let options = TrainOptions { batch_rows: 200, epochs: 3, ..options(seed) };
    let (model, history) = trained(&description, &parts, &options);
    let losses = history.epochs.iter().flat_map(|e| [e.train_loss, e.val_loss]);
    (common::bits(&model), losses.collect())
}

#[test]
fn bits_depend_on_the_seed_and_not_on_the_threads() {
    let one = common::in_pool(1, || wide(1));
    for threads in [1, 2, 7] {
        assert!(common::in_pool(threads, || wide(1)) == one, "{threads} threads");
    }
    let other = common::in_pool(2, || wide(2));
    assert_ne!(other.1, one.1);
    let equal = one.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
    assert!(equal < one.0.len() / 100, "{equal} of {} numbers are equal", one.0.len());
}

#[test]
fn the_seed_of_training_shuffles_and_drops() {
    let parts = &sources()[0];
    let mut plain = description(&parts.0, "top-k");
    let run = |description: &MixtureDescription, seed| {
        let mut model = build(description, 1);
        train(&mut model, &parts.0, &parts.1, &options(seed), &mut ()).unwrap();
        common::bits(&model)
    };
    assert_ne!(run(&plain, 1), run(&plain, 2), "the order of the rows");
    // With one batch the seed of training decides dropout alone.
    plain = plain.with_expert_dropout(0.5);
    let whole = |seed| {
        let mut model = build(&plain, 1);
        let options = TrainOptions { batch_rows: 200, epochs: 1, ..options(seed) };
        train(&mut model, &parts.0, &parts.1, &options, &mut ()).unwrap().epochs[0].train_loss
    };
    assert_relative_eq!(whole(1), whole(1));
    assert!((whole(1) - whole(2)).abs() > 1e-4);
}

/// Counts the events it receives.
#[derive(Default)]
struct Told {
    steps: Vec<(u64, u64, f64)>,
    epochs: Vec<EpochRecord>,
}

impl Observer for Told {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        self.steps.push((step, steps_per_epoch, loss));
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        assert_eq!(state.history().epochs.last(), Some(record));
        self.epochs.push(record.clone());
        Ok(())
    }
}

#[test]
fn the_observer_is_told_of_every_step_and_epoch() {
    let (train_part, val) = &sources()[1];
    let mut model = build(&description(train_part, "top-k"), 1);
    let mut told = Told::default();
    let history = train(&mut model, train_part, val, &options(1), &mut told).unwrap();
    // 200 rows in batches of 16: 12 whole ones and one of 8.
    assert_eq!(told.steps.len(), 4 * 13);
    for (i, (step, per_epoch, _)) in told.steps.iter().enumerate() {
        assert_eq!((*step, *per_epoch), (i as u64 + 1, 13));
    }
    assert_eq!(told.epochs, history.epochs);
    assert_eq!((history.steps, history.epochs[3].steps), (52, 52));
    for (epoch, steps) in told.epochs.iter().zip(told.steps.chunks(13)) {
        let mean = steps.iter().map(|(.., loss)| loss).sum::<f64>() / 13.0;
        assert_relative_eq!(epoch.train_loss, mean, max_relative = 1e-14);
    }
    let routing = history.routing.unwrap();
    assert_eq!(routing.load().iter().sum::<u64>(), 4 * 200 * 3 * 2, "epochs, rows, gates, K");
    assert_eq!(history.epochs[3].experts_per_row, 2.0);
}

#[test]
fn terms_of_the_loss_add_up() {
    let (train_part, val) = &sources()[0];
    for coefficient in [0.0, 0.1] {
        let description = common::balanced(train_part, coefficient);
        let mut model = build(&description, 4);
        let history = train(&mut model, train_part, val, &options(4), &mut ()).unwrap();
        let mut names = vec!["positive", "third", "product"];
        if coefficient > 0.0 {
            names.extend(["gate 0 load-balance", "gate 1 load-balance", "gate 2 load-balance"]);
        }
        for epoch in &history.epochs {
            let terms: Vec<&str> = epoch.train_terms.iter().map(|(name, _)| &name[..]).collect();
            assert_eq!(terms, names);
            let tasks: f64 = epoch.train_terms[..3].iter().map(|(_, value)| value).sum();
            let tolerance = if DOUBLE { 1e-13 } else { 1e-6 };
            assert_relative_eq!(tasks, epoch.train_loss, max_relative = tolerance);
            for (_, balance) in &epoch.train_terms[3..] {
                // Its least value is the coefficient times K if loads follow probabilities.
                assert!(*balance > 0.1 && *balance < 0.4, "{balance}");
            }
        }
    }
}

#[test]
fn the_first_step_minimises_what_its_terms_say() {
    // One step on all rows: its terms are those of the initial weights, task weights applied.
    let (train_part, val) = &sources()[0];
    let options = TrainOptions { batch_rows: 200, epochs: 1, ..options(6) };
    let description = common::balanced(train_part, 0.3).with_expert_dropout(0.25);
    let mut model = build(&description, 6);
    let history = train(&mut model, train_part, val, &options, &mut ()).unwrap();

    let initial = build(&description, 6);
    let batch = train_part.batch(&permutation(200, 6, "shuffle", 1));
    let (row_ids, keys) = (&batch.row_ids, &batch.keys);
    let pass = Pass {
        mode: Mode::Train,
        seed: 6,
        step: 0,
        epoch: 0,
        row_ids,
        keys,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::new();
    let output = initial.run(&tape, &pass, &batch.inputs);
    let terms = common::losses(&output, &batch).into_iter().zip(&options.task_weights);
    let loss = terms.map(|(loss, w)| loss.scale(*w)).reduce(|a, b| a + b).unwrap();
    let aux: Vec<_> = output.gates().flat_map(|(_, _, r)| &r.aux_losses).copied().collect();
    let total = f64::from(total_loss(loss, &aux).value().item());

    let record = &history.epochs[0];
    assert_eq!(record.train_loss, f64::from(loss.value().item()));
    let sum: f64 = record.train_terms.iter().map(|(_, value)| value).sum();
    assert_relative_eq!(sum, total, max_relative = if DOUBLE { 1e-14 } else { 1e-6 });
    assert!(total > record.train_loss + 3.0 * 0.5, "three gates with 0.3 times about 2 each");
}

#[test]
fn every_parameter_has_a_gradient_and_moves() {
    for parts in sources() {
        for router in ROUTERS {
            let description = description(&parts.0, router);
            let model = build(&description, 7);
            let tape = Tape::new();
            let batch = common::first_rows(&parts.0, 200);
            let output = common::forward(&model, &tape, &batch, Mode::Train);
            let gradients = tape.backward(common::loss(&output, &batch));
            for (name, gradient) in common::by_name(&model, &gradients) {
                let gradient: Tensor = gradient.unwrap_or_else(|| panic!("{router}: {name}"));
                let some = gradient.as_slice().iter().filter(|g| **g != 0.0).count();
                assert!(some > 0, "{router}: the gradient of {name} is zero");
                if name.contains("gates") || name.contains("encoder") {
                    assert_eq!(some, gradient.len(), "{router}: {name} in part");
                }
            }
            let options = TrainOptions { epochs: 1, batch_rows: 200, ..options(7) };
            let (after, _) = trained(&description, &parts, &options);
            for (name, a, b) in common::side_by_side(&model, &after) {
                assert_ne!(a, b, "{router}: {name} has not moved");
            }
        }
    }
}

#[test]
fn one_expert_per_row_gives_the_gates_no_gradient_from_the_tasks() {
    let parts = &sources()[0];
    let description = description(&parts.0, "top-k").with_k(1);
    let (start, (after, _)) = (build(&description, 1), trained(&description, parts, &options(1)));
    for (name, a, b) in common::side_by_side(&start, &after) {
        assert_eq!(a == b, name.contains("gates"), "{name}");
    }
    // The load-balancing loss moves them.
    let description = common::balanced(&parts.0, 0.1).with_k(1);
    let (after, _) = trained(&description, parts, &options(1));
    assert_ne!(common::bits(&after), common::bits(&start));
    for (name, a, b) in common::side_by_side(&start, &after) {
        assert_ne!(a, b, "{name}");
    }
}

#[test]
fn task_weights_scale_the_losses() {
    let parts = &sources()[0];
    let model = build(&description(&parts.0, "top-k"), 2);
    let losses = evaluate(&model, &parts.1, &[1.0; 3], 60);
    let weighted = evaluate(&model, &parts.1, &[0.5, 0.0, 4.0], 60);
    assert_eq!(weighted.tasks, losses.tasks);
    let expected = 0.5 * losses.tasks[0].loss() + 4.0 * losses.tasks[2].loss();
    assert_abs_diff_eq!(weighted.loss, expected, epsilon = 1e-14);

    // A task of weight zero does not move its head.
    let options = TrainOptions { task_weights: vec![1.0, 0.0, 1.0], ..options(2) };
    let (after, _) = trained(&description(&parts.0, "top-k"), parts, &options);
    for (name, a, b) in common::side_by_side(&model, &after) {
        let idle = name.starts_with("heads.1") || name.starts_with("layer.gates.1");
        assert_eq!(a == b, idle, "{name}");
    }
}

/// Seed, step, epoch and keys of a pass.
type Seen = (u64, u64, u64, Vec<u64>);

/// A model that records the passes of training.
struct Watched {
    model: Mixture,
    passes: Mutex<Vec<Seen>>,
}

impl Module for Watched {
    fn visit(&self, f: &mut Visit<'_>) {
        self.model.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.model.visit_mut(f);
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.model.gates_mut()
    }
}

impl Model for Watched {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        if pass.is_training() {
            let told = (pass.seed, pass.step, pass.epoch, pass.keys.to_vec());
            self.passes.lock().unwrap().push(told);
        }
        self.model.forward(tape, pass, inputs)
    }
}

#[test]
fn every_epoch_sees_every_row_once_in_an_order_of_its_own() {
    let (train_part, val) = (common::dense(1, 50, 4), common::dense(2, 10, 4));
    let model = build(&description(&train_part, "top-k"), 1);
    let mut watched = Watched { model, passes: Mutex::default() };
    train(&mut watched, &train_part, &val, &options(9), &mut ()).unwrap();
    let passes = watched.passes.into_inner().unwrap();
    // 50 rows in batches of 16, four epochs; after each a pass over validation rows, for the weights of training.
    assert_eq!(passes.len(), 4 * (4 + 1));
    let mut orders = Vec::new();
    for (epoch, steps) in passes.chunks(4 + 1).enumerate() {
        let mut order: Vec<u64> = Vec::new();
        for (i, (seed, step, told_epoch, keys)) in steps[..4].iter().enumerate() {
            assert_eq!((*seed, *step), (9, (4 * epoch + i) as u64));
            assert_eq!(*told_epoch, epoch as u64);
            order.extend(keys);
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u64>>());
        assert!(!orders.contains(&order), "epoch {epoch} repeats an order");
        orders.push(order);
    }
}
