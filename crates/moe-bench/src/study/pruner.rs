//! Which trials are stopped early.

use std::collections::BTreeMap;

use crate::config::tune::{PrunerKind, TuneConfig};

/// The lowest validation loss of a trial up to some of its epochs, which are counted from 1.
pub(crate) type Curve = BTreeMap<u64, f64>;

impl TuneConfig {
    /// Whether a trial may be stopped after this epoch.
    pub(crate) fn compares_at(&self, epoch: u64) -> bool {
        match self.pruner {
            PrunerKind::None => false,
            PrunerKind::Median => epoch >= self.warmup_epochs as u64,
            PrunerKind::Halving => {
                let mut rung = self.warmup_epochs as u64;
                while rung < epoch {
                    rung = rung.saturating_mul(self.reduction_factor as u64);
                }
                rung == epoch
            }
        }
    }

    /// Whether a trial whose lowest validation loss is `loss` after this epoch, one of those of [`TuneConfig::compares_at`], is
    /// to be stopped. `ended` are the curves of the trials of its router that have ended, `running` those of the others.
    pub(crate) fn stops(&self, epoch: u64, loss: f64, ended: &[Curve], running: &[Curve]) -> bool {
        let last = |curve: &Curve| curve.range(..=epoch).next_back().map(|(_, &loss)| loss);
        let at = |curve: &Curve| curve.get(&epoch).copied();
        match self.pruner {
            PrunerKind::None => false,
            PrunerKind::Median => {
                let others: Vec<f64> = ended.iter().filter_map(last).collect();
                others.len() >= self.startup_trials && loss > median(others)
            }
            PrunerKind::Halving => {
                // A trial that had ended by itself before counts with what it reached; one that was stopped before does not.
                let others = ended.iter().filter_map(last).chain(running.iter().filter_map(at));
                let others: Vec<f64> = others.collect();
                let kept = ((others.len() + 1) / self.reduction_factor).max(1);
                others.iter().filter(|&&other| other < loss).count() >= kept
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => 0.5 * (values[middle - 1] + values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn curve(values: &[(u64, f64)]) -> Curve {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_of_the_others_decides_after_the_first_trials() {
        let tune = TuneConfig {
            pruner: PrunerKind::Median,
            startup_trials: 3,
            warmup_epochs: 2,
            ..TuneConfig::default()
        };
        assert!(!tune.compares_at(1) && tune.compares_at(2) && tune.compares_at(3));
        // At epoch 4 the lowest losses were 0.5, 0.3 and, of a trial that ended at epoch 2, 0.4.
        let others = [
            curve(&[(2, 0.9), (4, 0.5), (6, 0.1)]),
            curve(&[(4, 0.3)]),
            curve(&[(2, 0.4)]),
            curve(&[(5, 0.0)]),
        ];
        assert!(tune.stops(4, 0.41, &others, &[]));
        assert!(!tune.stops(4, 0.4, &others, &[]));
        assert!(!tune.stops(4, 9.0, &others[1..], &others), "two have reached it");
        let even = [0, 1, 2, 2].map(|i: usize| others[i].clone());
        assert!(!tune.stops(4, 0.4, &even, &[]) && tune.stops(4, 0.4001, &even, &[]));
        let none = TuneConfig::default();
        assert!(!none.compares_at(4) && !none.stops(4, 9.0, &others, &[]));
    }

    #[test]
    fn halving_keeps_one_of_a_few() {
        let tune = TuneConfig {
            pruner: PrunerKind::Halving,
            warmup_epochs: 2,
            reduction_factor: 3,
            ..TuneConfig::default()
        };
        let compared: Vec<u64> = (1..60).filter(|&epoch| tune.compares_at(epoch)).collect();
        assert_eq!(compared, [2, 6, 18, 54]);
        let all: Vec<Curve> =
            [0.1, 0.2, 0.3, 0.4, 0.5].iter().map(|&loss| curve(&[(6, loss)])).collect();
        // Of six, two are kept, whether the others still run or not.
        for split in 0..=all.len() {
            let (ended, running) = all.split_at(split);
            assert!(!tune.stops(6, 0.15, ended, running));
            assert!(!tune.stops(6, 0.2, ended, running), "as good as the second");
            assert!(tune.stops(6, 0.21, ended, running));
        }
        assert!(!tune.stops(6, 0.05, &all[..1], &[]), "the best of two");
        assert!(tune.stops(6, 0.15, &all[..1], &[]));
        assert!(!tune.stops(6, 0.9, &[], &[]), "the first one goes on");
        // One that ended at epoch 4 counts with what it had reached, one that still runs there does not.
        let short = curve(&[(2, 0.3), (4, 0.1)]);
        assert!(tune.stops(6, 0.2, from_ref(&short), &[]));
        assert!(!tune.stops(6, 0.2, &[], from_ref(&short)));
    }
}
