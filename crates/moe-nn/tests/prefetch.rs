//! Training with batches made ahead: the same batches, the same bits, and a clean end.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::{self, ThreadId};

use common::{Memory, build, description, options, rate};
use moe_core::batch::{Batch, BatchSource, InputSpec, TaskSpec};
use moe_nn::{Observer, TrainError, TrainOptions, train};

/// A source that notes who asked for which rows, and panics at a batch.
struct Watched {
    source: Memory,
    asked: Mutex<Vec<(ThreadId, Vec<u32>)>>,
    panic_at: usize,
}

impl Watched {
    fn new(panic_at: usize) -> Self {
        Watched { source: common::ids(1, 90), asked: Mutex::default(), panic_at }
    }
}

impl BatchSource for Watched {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn input(&self) -> &InputSpec {
        self.source.input()
    }

    fn tasks(&self) -> &[TaskSpec] {
        self.source.tasks()
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        let count = {
            let mut asked = self.asked.lock().unwrap();
            asked.push((thread::current().id(), rows.to_vec()));
            asked.len()
        };
        assert!(count <= self.panic_at, "batch {count} cannot be read");
        self.source.batch(rows)
    }
}

/// Counts the steps.
#[derive(Default)]
struct Steps(u64);

impl Observer for Steps {
    fn on_step(&mut self, step: u64, _steps_per_epoch: u64, _loss: f64) {
        self.0 = step;
    }
}

#[test]
fn batches_and_bits_are_the_same() {
    for micro_batch_rows in [None, Some(5)] {
        let trained = |prefetch| {
            let source = Watched::new(usize::MAX);
            let mut model = build(&description(&source.source, "comet"), 1);
            let options = TrainOptions { prefetch, micro_batch_rows, epochs: 3, ..options(1) };
            let history = train(&mut model, &source, &source.source, &options, &mut ()).unwrap();
            let (makers, rows): (Vec<_>, Vec<_>) =
                source.asked.into_inner().unwrap().into_iter().unzip();
            let here = makers.into_iter().all(|maker| maker == thread::current().id());
            assert_eq!(here, !prefetch);
            let losses: Vec<_> = history
                .epochs
                .iter()
                .map(|e| [e.train_loss, e.val_loss].map(f64::to_bits))
                .collect();
            (rows, common::bits(&model), losses)
        };
        assert!(trained(true) == trained(false), "{micro_batch_rows:?}");
    }
}

#[test]
fn an_early_stop_ends_the_thread() {
    // The first step is too wide: the second cannot be taken. A batch that is not learnt does not matter.
    let source = Watched::new(2);
    let mut model = build(&description(&source.source, "top-k"), 1);
    let options = TrainOptions { prefetch: true, optimizer: rate(1e30), ..options(1) };
    let error = train(&mut model, &source, &source.source, &options, &mut ()).unwrap_err();
    let is_expected = matches!(error, TrainError::Step { step: 2, epoch: 1, .. });
    assert!(is_expected, "{error}");
    assert!(source.asked.into_inner().unwrap().len() <= 3);
}

#[test]
fn a_panic_of_the_source_is_passed_on() {
    for prefetch in [false, true] {
        let source = Watched::new(4);
        let mut model = build(&description(&source.source, "top-k"), 1);
        let options = TrainOptions { prefetch, ..options(1) };
        let mut steps = Steps::default();
        let run = || train(&mut model, &source, &source.source, &options, &mut steps);
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "batch 5 cannot be read");
        assert_eq!(steps.0, 4, "what came before is learnt");
    }
}
