//! After the first steps, a training step allocates nothing above 4 KiB.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use moe_core::Real;
use moe_core::batch::{
    Batch, BatchSource, IdColumn, InputSpec, Inputs, Target, TaskKind, TaskSpec,
};
use moe_core::random::Philox;
use moe_nn::{AdamOptions, MixtureDescription, Observer, TrainOptions, train};
use moe_routers::Registry;

const LARGE: usize = 4096;

static LARGE_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

fn count(size: usize) {
    if size > LARGE {
        LARGE_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LARGEST.fetch_max(size, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Random pairs with COMET's two tasks.
struct Pairs {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    rows: usize,
}

impl BatchSource for Pairs {
    fn rows(&self) -> usize {
        self.rows
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        let philox = Philox::new(1, "pairs", 0);
        let words: Vec<[u32; 4]> =
            rows.iter().map(|&row| philox.row_block(row.into(), 0, 0)).collect();
        let watch: Vec<Real> = words.iter().map(|w| (w[2] & 1) as Real).collect();
        Batch {
            row_ids: rows.iter().map(|&row| row.into()).collect(),
            keys: words.iter().map(|w| u64::from(w[0] % 900)).collect(),
            inputs: Inputs::Ids(vec![
                words.iter().map(|w| w[0] % 900).collect(),
                words.iter().map(|w| w[1] % 700).collect(),
            ]),
            targets: vec![
                Target::Regression {
                    values: words.iter().map(|w| (w[3] % 5) as Real).collect(),
                    present: watch.iter().map(|&w| w == 1.0).collect(),
                },
                Target::Binary(watch),
            ],
        }
    }
}

/// Notes the count after each step.
#[derive(Default)]
struct Counts(Vec<(u64, usize)>);

impl Observer for Counts {
    fn on_step(&mut self, _step: u64, _steps_per_epoch: u64, _loss: f64) {
        let now = LARGE_ALLOCATIONS.load(Ordering::Relaxed);
        self.0.push((now, LARGEST.swap(0, Ordering::Relaxed)));
    }
}

#[test]
fn a_training_step_in_steady_state_allocates_nothing_large() {
    const B: usize = 200;
    const STEPS: usize = 24;
    const WARM_UP: usize = 12;
    let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    let pairs = |rows| Pairs {
        input: InputSpec::Ids { columns: vec![column("user", 900), column("movie", 700)] },
        tasks: vec![task("rating", TaskKind::Regression), task("watch", TaskKind::Binary)],
        rows,
    };
    let (data, val) = (pairs(B * STEPS), pairs(10));
    for router in ["top-k", "softmax"] {
        let description = MixtureDescription {
            input: data.input.clone(),
            tasks: data.tasks.clone(),
            embedding_width: 128,
            experts: 16,
            k: 2,
            expert_hidden_widths: vec![],
            expert_width: 256,
            expert_dropout: 0.5,
            head_widths: vec![256],
            router: router.into(),
            router_parameters: Default::default(),
        };
        let mut model = description.build(&Registry::standard(), 1).unwrap();
        let options = TrainOptions {
            seed: 1,
            batch_rows: B,
            epochs: 1,
            patience: 1,
            max_seconds: None,
            task_weights: vec![0.5, 0.5],
            adam: AdamOptions::default(),
        };
        let mut counts = Counts(Vec::with_capacity(STEPS));
        train(&mut model, &data, &val, &options, &mut counts).unwrap();
        assert!(counts.0[0].0 > 0, "the first step does allocate");
        for (step, pair) in counts.0.windows(2).enumerate().skip(WARM_UP) {
            let [(before, _), (after, largest)] = pair else { unreachable!("pairs") };
            assert_eq!(before, after, "{router}, step {}: up to {largest} bytes", step + 2);
        }
    }
}
