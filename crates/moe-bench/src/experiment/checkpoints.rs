//! When a run is saved inside an epoch: after some time, and at a signal that ends it.

use std::time::{Duration, Instant};

use moe_nn::{EpochRecord, Observer, TrainControl, TrainState};

use crate::error::Error;
use crate::experiment::signals::{Signal, Signals};

/// Asks for checkpoints inside an epoch.
pub(crate) struct Checkpoints {
    signals: Signals,
    every: Option<Duration>,
    /// When the last checkpoint was saved.
    saved: Instant,
}

impl Checkpoints {
    /// Checkpoints at these intervals, if any, and at a signal ([`Signals::catch`]).
    ///
    /// # Errors
    /// If the system does not let it catch signals.
    pub(crate) fn start(every: Option<Duration>) -> Result<Self, Error> {
        Ok(Checkpoints { signals: Signals::catch()?, every, saved: Instant::now() })
    }

    /// The signal that was caught.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.signals.caught()
    }
}

impl Observer for Checkpoints {
    fn control(&mut self) -> TrainControl {
        if self.signal().is_some() {
            TrainControl::SaveAndStop
        } else if self.every.is_some_and(|every| self.saved.elapsed() >= every) {
            TrainControl::Save
        } else {
            TrainControl::Continue
        }
    }

    fn on_checkpoint(&mut self, _state: &TrainState) -> Result<(), String> {
        self.saved = Instant::now();
        Ok(())
    }

    fn on_epoch(&mut self, _record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        self.saved = Instant::now();
        Ok(())
    }
}
