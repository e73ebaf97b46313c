//! Times of several calls, taken in turns, so that a machine that is slower for a while is so for all of them.

use std::time::{Duration, Instant};

/// Something to time.
pub(crate) type Case<'c> = Box<dyn FnMut() + 'c>;

/// Milliseconds of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) median: f64,
    pub(crate) least: f64,
}

/// How often the calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Rounds over all cases.
    pub(crate) rounds: usize,
    /// Calls of a case in a row. The first of several finds the caches of the case before it and does not count.
    pub(crate) block: usize,
}

impl Rounds {
    /// The times of each case, in order.
    pub(crate) fn time(self, cases: &mut [Case<'_>]) -> Vec<Times> {
        for case in cases.iter_mut() {
            (0..3).for_each(|_| case());
        }
        let mut seconds = vec![Vec::new(); cases.len()];
        for _ in 0..self.rounds {
            for (case, seconds) in cases.iter_mut().zip(&mut seconds) {
                for call in 0..self.block {
                    let start = Instant::now();
                    case();
                    if call > 0 || self.block == 1 {
                        seconds.push(start.elapsed());
                    }
                }
            }
        }
        seconds.into_iter().map(times).collect()
    }
}

fn times(mut taken: Vec<Duration>) -> Times {
    taken.sort_unstable();
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
    Times { median: milliseconds(taken[taken.len() / 2]), least: milliseconds(taken[0]) }
}
