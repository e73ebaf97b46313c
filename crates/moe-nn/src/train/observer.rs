use crate::train::control::TrainControl;
use crate::train::history::EpochRecord;
use crate::train::train_state::TrainState;

/// Receives training events.
pub trait Observer {
    /// Called after each step.
    fn on_step(&mut self, _step: u64, _steps_per_epoch: u64, _loss: f64) {}

    /// Called between two steps, before the first and after the last step of an epoch: whether the state is to be saved
    /// there, and training to stop. Of several observers the one with the largest answer decides.
    fn control(&mut self) -> TrainControl {
        TrainControl::Continue
    }

    /// Called where [`Observer::control`] asked for it, with all state that is needed to continue from there. Until training
    /// continues the state shares its weights with the model; the next step copies them.
    ///
    /// # Errors
    /// An error stops training.
    fn on_checkpoint(&mut self, _state: &TrainState) -> Result<(), String> {
        Ok(())
    }

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

    fn control(&mut self) -> TrainControl {
        (**self).control()
    }

    fn on_checkpoint(&mut self, state: &TrainState) -> Result<(), String> {
        (**self).on_checkpoint(state)
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

    fn control(&mut self) -> TrainControl {
        self.0.control().max(self.1.control())
    }

    fn on_checkpoint(&mut self, state: &TrainState) -> Result<(), String> {
        self.0.on_checkpoint(state)?;
        self.1.on_checkpoint(state)
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.0.on_epoch(record, state)?;
        self.1.on_epoch(record, state)
    }
}
