use std::time::Instant;

use moe_core::batch::BatchSource;
use moe_routers::TrainingLength;

use crate::eval::evaluate::evaluate;
use crate::models::model::Model;
use crate::module::{LayerGates, is_named};
use crate::train::clock::Clock;
use crate::train::epoch::{Run, TARGET};
use crate::train::epoch_progress::EpochProgress;
use crate::train::error::TrainError;
use crate::train::history::{EpochRecord, History, StopReason};
use crate::train::not_finite_cause::NotFiniteCause;
use crate::train::observer::Observer;
use crate::train::options::TrainOptions;
use crate::train::step_hook::StepHook;
use crate::train::train_state::TrainState;

/// Trains `model`, and leaves it with the weights of its best epoch on the validation split.
///
/// # Errors
/// If a split is empty, a router reads planted groups that the data do not have, a step cannot be taken (see [`StepError`](crate::StepError)), the validation loss is not finite, or
/// the observer returns an error or asks to stop ([`TrainError::Interrupted`]).
///
/// # Panics
/// If the model does not fit the data, there is not one weight per task, or the name of an MoE layer is not the prefix of its
/// parameters.
pub fn train(
    model: &mut dyn Model,
    train: &dyn BatchSource,
    val: &dyn BatchSource,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<History, TrainError> {
    let state = TrainState::new(model, options.optimizer.clone());
    train_with_hook(model, state, train, val, options, observer, &mut ())
}

/// [`train`], from a state that an observer has received. The result is the same, to the bit, as without the interruption.
/// The optimiser and its settings are those of the state.
///
/// # Errors
/// As [`train`], or if the state belongs to another model, or is inside an epoch and the epochs of `train` have another number
/// of steps.
///
/// # Panics
/// As [`train`].
pub fn continue_training(
    model: &mut dyn Model,
    state: TrainState,
    train: &dyn BatchSource,
    val: &dyn BatchSource,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<History, TrainError> {
    train_with_hook(model, state, train, val, options, observer, &mut ())
}

/// [`continue_training`], from a state that may also be a [new one](TrainState::new), with a hook in every step. Each process
/// of a data-parallel training calls it with the same model, state, options and validation split, and with its own rows in
/// `train`, in equally many batches of equally many micro-batches.
///
/// All processes have to stop after the same step, so their observers must give the same answers ([`Observer::control`]). What
/// one process alone notices, such as a signal or the time, the hook can pass on in [`StepHook::count`], for all observers to
/// answer with before the next step. Each process is given its own state, and continues from it with its own rows.
///
/// # Errors
/// As [`continue_training`]; any error of `hook`.
///
/// # Panics
/// As [`train`].
pub fn train_with_hook(
    model: &mut dyn Model,
    mut state: TrainState,
    train: &dyn BatchSource,
    val: &dyn BatchSource,
    options: &TrainOptions,
    observer: &mut dyn Observer,
    hook: &mut dyn StepHook,
) -> Result<History, TrainError> {
    for (split, source) in [("training", train), ("validation", val)] {
        if source.rows() == 0 {
            return Err(TrainError::EmptySplit { split });
        }
        check_groups(model, split, source)?;
    }
    state.restore(model)?;
    let length = TrainingLength {
        steps_per_epoch: train.rows().div_ceil(options.batch_rows.max(1)) as u64,
        epochs: options.epochs as u64,
    };
    begin_training(model, length);
    let run = Run { train, val, options };
    let clock = Clock::start(state.seconds());
    if state.history.stopped != Some(StopReason::Fitted)
        && let Some(pass) = run.fit(model, &mut state)
    {
        finish_epoch(&run, model, &mut state, pass, &clock, observer)?;
    }
    while !has_stopped(&mut state.history, options) {
        let progress = run.train_epoch(model, &mut state, &clock, observer, hook)?;
        finish_epoch(&run, model, &mut state, progress, &clock, observer)?;
    }
    state.best.put_into(model)?;
    Ok(state.history)
}

/// Refuses rows without planted groups for gates that read them.
fn check_groups(
    model: &mut dyn Model,
    split: &'static str,
    source: &dyn BatchSource,
) -> Result<(), TrainError> {
    let mut layers = model.gates_mut().into_iter();
    let reads_groups = |layer: &LayerGates<'_>| {
        layer.gates.properties().iter().any(|properties| properties.reads_groups)
    };
    match layers.find(reads_groups) {
        Some(layer) if source.batch(&[0]).groups.is_none() => {
            Err(TrainError::NoGroups { layer: layer.layer.into(), split })
        }
        _ => Ok(()),
    }
}

/// Tells the gates of all MoE layers the length of training.
fn begin_training(model: &mut dyn Model, length: TrainingLength) {
    let mut names = Vec::new();
    model.visit(&mut |name, _| names.push(name.to_owned()));
    for LayerGates { layer, gates } in model.gates_mut() {
        let has_parameters = names.iter().any(|name| is_named(name, layer));
        assert!(has_parameters, "no parameter of MoE layer {layer} begins with its name");
        gates.begin_training(length);
    }
}

/// Evaluates the model after the last step of an epoch, keeps its weights, and records and reports the epoch.
fn finish_epoch(
    run: &Run<'_>,
    model: &dyn Model,
    state: &mut TrainState,
    progress: EpochProgress,
    clock: &Clock,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let since = Instant::now();
    let gates = run.gate_summaries(model, state, &progress);
    state.history.train_seconds += progress.train_seconds + since.elapsed().as_secs_f64();
    let val_loss = validation_loss(run, model, &state.history)?;
    state.keep_weights(model, val_loss);
    let record = progress.into_record(model, &state.history, gates, val_loss, clock.seconds());
    let EpochRecord { epoch, steps, train_loss, is_best, .. } = record;
    tracing::info!(target: TARGET, epoch, steps, train_loss, val_loss, is_best, "epoch");
    state.history.epochs.push(record.clone());
    observer.on_epoch(&record, state).map_err(|message| TrainError::Observer { epoch, message })
}

/// Sets [`History::stopped`] if training ends here.
fn has_stopped(history: &mut History, options: &TrainOptions) -> bool {
    let epochs = history.epochs.len();
    history.stopped = if history.stopped == Some(StopReason::Fitted) {
        Some(StopReason::Fitted)
    } else if epochs >= options.epochs {
        Some(StopReason::Epochs)
    } else if epochs - history.best_epoch >= options.patience.max(1) {
        Some(StopReason::Patience)
    } else if options.max_seconds.is_some_and(|most| history.seconds() >= most) {
        Some(StopReason::Time)
    } else {
        None
    };
    if let Some(reason) = history.stopped {
        let best_epoch = history.best_epoch;
        tracing::info!(target: TARGET, ?reason, best_epoch, "training ends");
    }
    history.stopped.is_some()
}

/// The weighted loss on the validation split after an epoch.
fn validation_loss(run: &Run<'_>, model: &dyn Model, history: &History) -> Result<f64, TrainError> {
    let TrainOptions { task_weights, batch_rows, .. } = run.options;
    let evaluation = evaluate(model, run.val, task_weights, *batch_rows);
    for (task, metrics) in run.train.tasks().iter().zip(&evaluation.tasks) {
        let value = metrics.loss();
        if !value.is_finite() {
            let (epoch, term) = (history.epochs.len() + 1, task.name.clone());
            let rows: Vec<u32> = (0..run.val.rows() as u32).collect();
            let mut batches = rows.chunks((*batch_rows).max(1)).map(|rows| run.val.batch(rows));
            let cause = batches.find_map(|batch| NotFiniteCause::in_data(&batch, run.val.tasks()));
            let cause = cause.unwrap_or(NotFiniteCause::LearningRate);
            return Err(TrainError::ValidationNotFinite { epoch, term, value, cause });
        }
    }
    Ok(evaluation.loss)
}
