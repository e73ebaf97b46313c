//! Times several calls in turn, so that a temporary slowdown of the machine affects all of them alike.

use std::time::Instant;

use crate::limits;

/// A call to time.
pub(crate) struct Case<'c> {
    /// Floating-point operations of its products.
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
    /// Time of the calls of a round divided by the shortest possible time of their operations, measured just before.
    pub(crate) of_limit: f64,
}

/// Number of calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Rounds over all cases.
    pub(crate) rounds: usize,
    /// Consecutive calls of a case. The first of several finds the caches filled by the previous case and is not counted.
    pub(crate) block: usize,
}

impl Rounds {
    /// Times each case; the results are in the order of `cases`.
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

/// The median of `values`, which it sorts.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
