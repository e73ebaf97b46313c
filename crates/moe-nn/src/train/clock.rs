use std::time::Instant;

/// The time of a training run, without interruptions.
pub(crate) struct Clock {
    /// Seconds before the last interruption.
    before: f64,
    started: Instant,
}

impl Clock {
    /// Starts after this number of seconds.
    pub(crate) fn start(before: f64) -> Self {
        Clock { before, started: Instant::now() }
    }

    /// Seconds since training began.
    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}
