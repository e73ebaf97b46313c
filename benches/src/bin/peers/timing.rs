//! Times of several calls, taken in turns, so that a machine that is slower for a while is so for all of them.

use std::time::Instant;

use crate::limits;

/// Something to time.
pub(crate) type Case<'c> = Box<dyn FnMut() + 'c>;

/// Milliseconds of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) median: f64,
    pub(crate) least: f64,
    /// Operations that the machine could have done from registers in the time of a call, as it was just before.
    pub(crate) possible: f64,
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
        let mut taken = vec![(Vec::new(), Vec::new()); cases.len()];
        for _ in 0..self.rounds {
            for (case, (seconds, possible)) in cases.iter_mut().zip(&mut taken) {
                let rate = limits::flops_per_second();
                for call in 0..self.block {
                    let start = Instant::now();
                    case();
                    let time = start.elapsed().as_secs_f64();
                    if call > 0 || self.block == 1 {
                        seconds.push(time);
                        possible.push(time * rate);
                    }
                }
            }
        }
        let times = |(mut seconds, mut possible): (Vec<f64>, Vec<f64>)| {
            let (median, possible) = (median(&mut seconds), median(&mut possible));
            Times { median: 1e3 * median, least: 1e3 * seconds[0], possible }
        };
        taken.into_iter().map(times).collect()
    }
}

/// Of some values, which are then in order.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
