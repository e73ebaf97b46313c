//! Times of several calls, taken in turns, so that a machine that is slower for a while is so for all of them.

use std::time::Instant;

use crate::limits;

/// Something to time.
pub(crate) struct Case<'c> {
    /// Operations of its products.
    flops: f64,
    call: Box<dyn FnMut() + 'c>,
}

impl<'c> Case<'c> {
    pub(crate) fn new(flops: f64, call: impl FnMut() + 'c) -> Self {
        Case { flops, call: Box::new(call) }
    }
}

/// Milliseconds of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) median: f64,
    pub(crate) least: f64,
    /// The time of the calls of a round by what their operations take at least, measured just before for as many.
    pub(crate) of_limit: f64,
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
            (0..3).for_each(|_| (case.call)());
        }
        let counted = self.block.saturating_sub(1).max(1);
        let mut taken = vec![(Vec::new(), Vec::new()); cases.len()];
        for _ in 0..self.rounds {
            for (case, (seconds, of_limit)) in cases.iter_mut().zip(&mut taken) {
                let limit = limits::seconds(case.flops * counted as f64);
                (counted..self.block).for_each(|_| (case.call)());
                let times = (0..counted).map(|_| {
                    let start = Instant::now();
                    (case.call)();
                    start.elapsed().as_secs_f64()
                });
                seconds.extend(times);
                of_limit.push(seconds[seconds.len() - counted..].iter().sum::<f64>() / limit);
            }
        }
        let times = |(mut seconds, mut of_limit): (Vec<f64>, Vec<f64>)| {
            let (median, of_limit) = (median(&mut seconds), median(&mut of_limit));
            Times { median: 1e3 * median, least: 1e3 * seconds[0], of_limit }
        };
        taken.into_iter().map(times).collect()
    }
}

/// Of some values, which are then in order.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
