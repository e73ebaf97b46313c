//! Losses of rows under their own and other sets of experts, and the regret that follows from them.

use serde::Serialize;

use crate::experiment::groups::By;

/// Means over rows that have a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Regret {
    pub(crate) rows: u64,
    /// Mean loss under the router's own sets.
    pub(crate) loss: f64,
    /// Mean loss under the other sets, over the rows that have others; NaN (`null`) if none has.
    pub(crate) others_loss: f64,
    /// Mean of the lowest loss of a row.
    pub(crate) best_loss: f64,
    /// Mean of the loss less the lowest loss: what the best choice of experts would save.
    pub(crate) regret: f64,
    /// Share of the rows for which another set has a lower loss.
    pub(crate) better_share: f64,
}

/// Regret by groups of rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupedRegret {
    pub(crate) by: By,
    /// Name of the task or the column, or what the planted groups are.
    pub(crate) of: String,
    /// The groups that have rows.
    pub(crate) groups: Vec<GroupRegret>,
}

/// The regret of a group of rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupRegret {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) regret: Regret,
}

/// The losses of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLosses {
    own: f64,
    best: f64,
    /// Sum over the other sets, and their number.
    others: (f64, u32),
}

impl RowLosses {
    /// The loss under the router's own set; no other has been tried.
    pub(crate) fn new(own: f64) -> Self {
        RowLosses { own, best: own, others: (0.0, 0) }
    }

    /// Adds the loss under another set.
    pub(crate) fn add(&mut self, loss: f64) {
        self.best = self.best.min(loss);
        self.others = (self.others.0 + loss, self.others.1 + 1);
    }
}

/// Sums over rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSums {
    pub(crate) rows: u64,
    own: f64,
    best: f64,
    better: u64,
    /// Sum of the means over the other sets, and number of rows that have others.
    others: (f64, u64),
}

impl RowSums {
    pub(crate) fn add(&mut self, row: &RowLosses) {
        self.rows += 1;
        self.own += row.own;
        self.best += row.best;
        self.better += u64::from(row.best < row.own);
        if row.others.1 > 0 {
            self.others.0 += row.others.0 / f64::from(row.others.1);
            self.others.1 += 1;
        }
    }

    pub(crate) fn regret(&self) -> Regret {
        let count = self.rows.max(1) as f64;
        Regret {
            rows: self.rows,
            loss: self.own / count,
            others_loss: self.others.0 / self.others.1 as f64,
            best_loss: self.best / count,
            regret: (self.own - self.best) / count,
            better_share: self.better as f64 / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_set_is_among_those_that_a_row_is_compared_with() {
        let mut sums = RowSums::default();
        let mut good = RowLosses::new(1.0);
        [3.0, 5.0].iter().for_each(|&loss| good.add(loss));
        let mut bad = RowLosses::new(4.0);
        [2.0, 6.0].iter().for_each(|&loss| bad.add(loss));
        // A row with a single set, and a loss that is not a number.
        let (alone, mut broken) = (RowLosses::new(7.0), RowLosses::new(0.0));
        broken.add(f64::NAN);
        assert_eq!(broken.best, 0.0);
        [good, bad, alone].iter().for_each(|row| sums.add(row));
        let found = sums.regret();
        let expected = Regret {
            rows: 3,
            loss: 4.0,
            others_loss: 4.0,
            best_loss: 10.0 / 3.0,
            regret: 2.0 / 3.0,
            better_share: 1.0 / 3.0,
        };
        assert_eq!(found, expected);
        assert!(RowSums::default().regret().others_loss.is_nan());
    }
}
