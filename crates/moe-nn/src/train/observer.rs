use crate::train::history::EpochRecord;
use crate::train::train_state::TrainState;

/// Receives training events.
pub trait Observer {
    /// Called after each step.
    fn on_step(&mut self, _step: u64, _steps_per_epoch: u64, _loss: f64) {}

    /// Called after each epoch, with all state that is needed to continue from there.
    ///
    /// # Errors
    /// An error stops training.
    fn on_epoch(&mut self, _record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        Ok(())
    }
}

/// Ignores all events.
impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        (**self).on_step(step, steps_per_epoch, loss);
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        (**self).on_epoch(record, state)
    }
}

/// Passes every event to both observers, to the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        self.0.on_step(step, steps_per_epoch, loss);
        self.1.on_step(step, steps_per_epoch, loss);
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.0.on_epoch(record, state)?;
        self.1.on_epoch(record, state)
    }
}
