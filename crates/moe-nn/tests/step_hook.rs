//! What a hook does between gradients and optimiser: another process's contributions, and errors that stop all processes.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use common::{DOUBLE, Memory, build, description, options};
use moe_core::batch::{Batch, BatchSource};
use moe_core::tape::{Gradient, Gradients, Tape};
use moe_core::{Buffer, Real, StateRef};
use moe_nn::{
    Contribution, Decision, LayerObserved, Mixture, MixtureDescription, Model, Optimizer,
    OptimizerOptions, Rule, StepContext, StepCounts, StepError, StepHook, StepReport, TrainError,
    TrainOptions, TrainState, train, train_step, train_with_hook,
};

/// Multiplies the gradients.
struct Scale(Real);

impl StepHook for Scale {
    fn add(
        &mut self,
        model: &dyn Model,
        sum: Option<Contribution>,
        part: Result<Contribution, StepError>,
    ) -> Result<Contribution, StepError> {
        let mut part = part?;
        part.gradients.scale(self.0);
        ().add(model, sum, Ok(part))
    }
}

/// Fails when it is given this micro-batch, from 0, or the counts (`None`).
struct FailsAt(Option<usize>);

impl StepHook for FailsAt {
    fn count(&mut self, _counts: &mut StepCounts) -> Result<(), StepError> {
        self.0.map(|_| ()).ok_or(StepError::Hook("a process is gone".into()))
    }

    fn add(
        &mut self,
        model: &dyn Model,
        sum: Option<Contribution>,
        part: Result<Contribution, StepError>,
    ) -> Result<Contribution, StepError> {
        if self.0 == Some(sum.as_ref().map_or(0, |sum| sum.decisions.len())) {
            return Err(StepError::Hook("a process is gone".into()));
        }
        ().add(model, sum, part)
    }
}

/// A contribution as another process can read it: gradients are in the order of the model's visit.
struct Sent {
    loss: f64,
    terms: Vec<(String, f64)>,
    gradients: Vec<Option<Gradient>>,
    observed: Vec<LayerObserved>,
    row_ids: Vec<Buffer<u64>>,
    decisions: Vec<Vec<Decision>>,
}

impl Sent {
    fn of(model: &dyn Model, part: &Contribution) -> Self {
        let mut gradients = Vec::new();
        model.visit(&mut |_, state| {
            if let StateRef::Parameter(parameter) = state {
                gradients.push(part.gradients.get(parameter).cloned());
            }
        });
        Sent {
            loss: part.loss,
            terms: part.terms.clone(),
            gradients,
            observed: part.observed.clone(),
            row_ids: part.row_ids.clone(),
            decisions: part.decisions.clone(),
        }
    }

    fn received(self, model: &dyn Model) -> Contribution {
        let mut gradients = Gradients::default();
        let mut sent = self.gradients.into_iter();
        model.visit(&mut |_, state| {
            if let StateRef::Parameter(parameter) = state
                && let Some(gradient) = sent.next().expect("the same model")
            {
                gradients.insert(parameter, gradient);
            }
        });
        let Sent { loss, terms, observed, row_ids, decisions, .. } = self;
        Contribution { loss, terms, gradients, observed, row_ids, decisions }
    }
}

enum Message {
    Counts(StepCounts),
    Part(Result<Sent, StepError>),
}

/// One of two processes, each a thread here. The micro-batches of the first one come first.
struct Process {
    is_first: bool,
    to: Sender<Message>,
    from: Receiver<Message>,
}

impl StepHook for Process {
    fn count(&mut self, counts: &mut StepCounts) -> Result<(), StepError> {
        self.to.send(Message::Counts(counts.clone())).unwrap();
        let Ok(Message::Counts(other)) = self.from.recv() else { panic!("no counts") };
        counts.rows += other.rows;
        counts.targets.iter_mut().zip(other.targets).for_each(|(sum, count)| *sum += count);
        Ok(())
    }

    fn add(
        &mut self,
        model: &dyn Model,
        sum: Option<Contribution>,
        part: Result<Contribution, StepError>,
    ) -> Result<Contribution, StepError> {
        let sent = part.as_ref().map(|part| Sent::of(model, part)).map_err(Clone::clone);
        self.to.send(Message::Part(sent)).unwrap();
        let Ok(Message::Part(other)) = self.from.recv() else { panic!("no contribution") };
        let other = other.map(|sent| sent.received(model));
        let [first, second] = if self.is_first { [part, other] } else { [other, part] };
        let sum = ().add(model, sum, first)?;
        ().add(model, Some(sum), second)
    }
}

/// Two processes that are connected.
fn processes() -> [Process; 2] {
    let ((to_second, of_first), (to_first, of_second)) = (channel(), channel());
    [
        Process { is_first: true, to: to_second, from: of_second },
        Process { is_first: false, to: to_first, from: of_first },
    ]
}

/// A model and its optimiser.
struct Training {
    model: Mixture,
    optimizer: Optimizer,
}

impl Training {
    fn new(description: &MixtureDescription, optimizer: OptimizerOptions) -> Self {
        Training { model: build(description, 1), optimizer: Optimizer::new(optimizer) }
    }

    fn step(
        &mut self,
        source: &Memory,
        step: u64,
        hook: &mut dyn StepHook,
        micro_batches: &[Batch],
    ) -> Result<StepReport, StepError> {
        let task_weights = &options(1).task_weights;
        let at = StepContext { seed: 1, step, epoch: 0, tasks: &source.tasks, task_weights };
        let Training { model, optimizer } = self;
        train_step(&mut Tape::new(), model, optimizer, hook, &at, micro_batches)
    }
}

fn sgd(learning_rate: f64) -> OptimizerOptions {
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    OptimizerOptions { rule, ..common::rate(learning_rate) }
}

/// Batch `number` of 16 rows, in micro-batches of this many rows.
fn micro_batches(source: &Memory, number: u32, rows: usize) -> Vec<Batch> {
    let batch: Vec<u32> = (16 * number..16 * (number + 1)).collect();
    batch.chunks(rows).map(|rows| source.batch(rows)).collect()
}

#[test]
fn twice_the_gradient_is_twice_the_learning_rate() {
    let source = common::ids(1, 48);
    let description = description(&source, "top-k");
    let [mut plain, mut hooked] = [0.02, 0.01].map(|rate| Training::new(&description, sgd(rate)));
    for step in 0..3 {
        let parts = micro_batches(&source, step, 8);
        let expected = plain.step(&source, step.into(), &mut (), &parts).unwrap();
        let found = hooked.step(&source, step.into(), &mut Scale(2.0), &parts).unwrap();
        assert_eq!(found.gradient_norms.total, 2.0 * expected.gradient_norms.total);
        assert_eq!((found.loss, found.decisions), (expected.loss, expected.decisions));
        assert_eq!(common::bits(&plain.model), common::bits(&hooked.model));
    }
    // The same in a whole training.
    let of_rate = |rate| TrainOptions { optimizer: sgd(rate), ..options(1) };
    let mut model = build(&description, 1);
    train(&mut model, &source, &source, &of_rate(0.02), &mut ()).unwrap();
    let mut other = build(&description, 1);
    let (state, rate) = (TrainState::new(&other, sgd(0.01)), of_rate(0.01));
    train_with_hook(&mut other, state, &source, &source, &rate, &mut (), &mut Scale(2.0)).unwrap();
    assert_eq!(common::bits(&model), common::bits(&other));
}

/// Takes `steps` steps in two processes, of which each computes every other micro-batch; returns both models.
fn in_two_processes(
    description: &MixtureDescription,
    source: &Memory,
    steps: u32,
    rows: usize,
) -> [(Training, Vec<StepReport>); 2] {
    let run = |mut process: Process| {
        let mut training = Training::new(description, options(1).optimizer);
        let mut reports = Vec::new();
        for step in 0..steps {
            let all = micro_batches(source, step, rows).into_iter();
            let own: Vec<Batch> = all.skip(usize::from(!process.is_first)).step_by(2).collect();
            reports.push(training.step(source, step.into(), &mut process, &own).unwrap());
        }
        (training, reports)
    };
    thread::scope(|scope| {
        let threads = processes().map(|p| scope.spawn(|| common::in_pool(1, || run(p))));
        threads.map(|thread| thread.join().unwrap())
    })
}

#[test]
fn two_processes_take_the_step_of_one() {
    // `expert-choice` learns thresholds from what it observes, and some rows have no target of the regression.
    for router in ["top-k", "comet", "expert-choice"] {
        for source in [common::ids(1, 48), common::dense(1, 48, 4)] {
            let description = description(&source, router).with_expert_dropout(0.3);
            for rows in [8, 4] {
                let mut whole = Training::new(&description, options(1).optimizer);
                let reports: Vec<StepReport> = (0..3)
                    .map(|step| {
                        let parts = micro_batches(&source, step, rows);
                        whole.step(&source, step.into(), &mut (), &parts).unwrap()
                    })
                    .collect();
                for (training, found) in in_two_processes(&description, &source, 3, rows) {
                    assert_eq!(common::bits(&training.model), common::bits(&whole.model));
                    assert!(training.optimizer == whole.optimizer, "{router}");
                    assert_eq!(found, reports, "{router}");
                }
            }
        }
    }
}

#[test]
fn two_halves_are_the_batch_to_rounding() {
    let source = common::dense(1, 48, 4);
    let description = description(&source, "top-k");
    let mut whole = Training::new(&description, options(1).optimizer);
    let report = whole.step(&source, 0, &mut (), &micro_batches(&source, 0, 16)).unwrap();
    let [(_, reports), _] = in_two_processes(&description, &source, 1, 8);
    let allowed = if DOUBLE { 1e-12 } else { 1e-5 };
    assert!((report.loss - reports[0].loss).abs() < allowed);
    let (whole, halves) = (report.gradient_norms.total, reports[0].gradient_norms.total);
    assert!((whole - halves).abs() < allowed * whole, "{whole} {halves}");
}

#[test]
fn an_error_of_the_hook_changes_nothing() {
    let source = common::ids(1, 48);
    let description = description(&source, "expert-choice");
    let mut training = Training::new(&description, options(1).optimizer);
    training.step(&source, 0, &mut (), &micro_batches(&source, 0, 8)).unwrap();
    let before = (common::bits(&training.model), training.optimizer.clone());
    for at in [None, Some(0), Some(1)] {
        let parts = micro_batches(&source, 1, 8);
        let error = training.step(&source, 1, &mut FailsAt(at), &parts).unwrap_err();
        assert_eq!(error, StepError::Hook("a process is gone".into()));
        assert_eq!(common::bits(&training.model), before.0, "{at:?}");
        assert!(training.optimizer == before.1, "{at:?}");
    }
    training.step(&source, 1, &mut FailsAt(Some(2)), &micro_batches(&source, 1, 8)).unwrap();

    let state = TrainState::new(&training.model, options(1).optimizer);
    let (model, hook) = (&mut training.model, &mut FailsAt(None));
    let error = train_with_hook(model, state, &source, &source, &options(1), &mut (), hook);
    let error = error.unwrap_err();
    assert!(matches!(error, TrainError::Step { step: 1, epoch: 1, .. }), "{error:?}");
    assert_eq!(error.to_string(), "step 1 (epoch 1): a process is gone");
}

#[test]
fn an_error_in_one_process_stops_both() {
    let source = common::dense(1, 16, 4);
    let description = description(&source, "top-k");
    let run = |mut process: Process| {
        let mut training = Training::new(&description, options(1).optimizer);
        let before = (common::bits(&training.model), training.optimizer.clone());
        let mut parts = micro_batches(&source, 0, 8);
        let mut own = parts.remove(usize::from(!process.is_first));
        if !process.is_first {
            own.targets[2].values[0] = Real::NAN;
        }
        let error = training.step(&source, 0, &mut process, &[own]).unwrap_err();
        assert_eq!(common::bits(&training.model), before.0);
        assert!(training.optimizer == before.1);
        error.to_string()
    };
    let errors = thread::scope(|scope| {
        let threads = processes().map(|p| scope.spawn(|| common::in_pool(1, || run(p))));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(errors[0], errors[1]);
    assert!(errors[0].starts_with("product is NaN"), "{}", errors[0]);
}
