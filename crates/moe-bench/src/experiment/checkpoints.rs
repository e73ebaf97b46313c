//! When a run is saved inside an epoch: after some time, and at a signal that ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use moe_nn::{EpochRecord, Observer, TrainControl, TrainState};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::signal_name;

use crate::error::Error;

/// A signal that asks to end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(u8);

impl Signal {
    /// Its name, such as `SIGTERM`.
    pub(crate) fn name(self) -> &'static str {
        signal_name(self.0.into()).unwrap_or("a signal")
    }

    /// The exit status of a command that it ends.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self.0
    }
}

/// The signals that ask to end the process. Clones see the same signals.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// The number of the last signal that was caught; 0 before.
    caught: Arc<AtomicUsize>,
}

impl Signals {
    /// From now on the first SIGINT or SIGTERM is only noted; the second one ends the process at once.
    ///
    /// # Errors
    /// If the system does not let it catch signals.
    pub(crate) fn catch() -> Result<Self, Error> {
        let caught = catch().map_err(Error::file("SIGINT and SIGTERM"))?;
        Ok(Signals { caught })
    }

    /// The signal that was caught.
    pub(crate) fn caught(&self) -> Option<Signal> {
        match self.caught.load(Ordering::SeqCst) {
            0 => None,
            number => Some(Signal(number as u8)),
        }
    }
}

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

/// Notes the first SIGINT or SIGTERM in the number that it returns.
fn catch() -> io::Result<Arc<AtomicUsize>> {
    let (number, is_caught) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the second signal finds the flag that the first one sets.
        flag::register_conditional_default(signal, Arc::clone(&is_caught))?;
        flag::register_usize(signal, Arc::clone(&number), signal as usize)?;
        flag::register(signal, Arc::clone(&is_caught))?;
    }
    Ok(number)
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
