use std::fmt;

use crate::telemetry::gate_stats::GateSummary;

/// Thresholds at which [`GateSummary::alarms`] raises an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Smallest number of rows for alarms other than [`Alarm::NotFinite`]. Default 64.
    pub least_rows: u64,
    /// Largest fraction of the weight of all rows that one expert may have. Default 0.9.
    pub collapse: f64,
    /// Largest fraction of experts that may be without a row. Default 0.1.
    pub dead_experts: f64,
    /// Largest fraction of rows that may go to the same experts. Default 0.95.
    pub static_routing: f64,
    /// Smallest mutual information of row and expert. Default 0.01.
    pub information: f64,
    /// Largest fraction of pairs that may be dropped. Default 0.2.
    pub dropping: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            least_rows: 64,
            collapse: 0.9,
            dead_experts: 0.1,
            static_routing: 0.95,
            information: 0.01,
            dropping: 0.2,
        }
    }
}

/// A diagnosed routing pathology. Its text explains it and suggests remedies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Alarm {
    /// One expert has nearly all the weight.
    Collapse {
        /// Index of the expert.
        expert: usize,
        /// Fraction of the weight of all rows.
        share: f64,
    },
    /// Experts without a row.
    DeadExperts {
        /// Number of experts without a row.
        dead: usize,
        /// Number of experts (N).
        experts: usize,
    },
    /// Nearly all rows go to the same experts, which are not all experts.
    StaticRouting {
        /// These experts.
        experts: Vec<u32>,
        /// Fraction of rows.
        share: f64,
    },
    /// Nearly the same weights for all rows.
    SameWeights {
        /// Mutual information of row and expert.
        information: f64,
    },
    /// Weights that are not finite numbers.
    NotFinite {
        /// Number of rows with such a weight.
        rows: u64,
    },
    /// Many pairs are dropped because their expert is full.
    Dropping {
        /// Fraction of pairs.
        share: f64,
    },
}

impl Alarm {
    /// The name at the start of the text.
    pub fn name(&self) -> &'static str {
        match self {
            Alarm::Collapse { .. } => "collapse",
            Alarm::DeadExperts { .. } => "dead experts",
            Alarm::StaticRouting { .. } => "static routing",
            Alarm::SameWeights { .. } => "same weights",
            Alarm::NotFinite { .. } => "not finite",
            Alarm::Dropping { .. } => "dropping",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| format!("{:.1} %", 100.0 * share);
        let text = match self {
            Alarm::Collapse { expert, share } => format!(
                "expert {expert} has {} of the weight, so the others hardly learn; try a load-balancing \
                 loss, noise in the gate or a smaller learning rate",
                percent(share)
            ),
            Alarm::DeadExperts { dead, experts } => format!(
                "{dead} of {experts} get no row and do not learn; try a load-balancing loss, more \
                 experts per row, or fewer experts"
            ),
            Alarm::StaticRouting { experts, share } => format!(
                "{} of the rows go to the same experts {experts:?}, so the gate does not look at the \
                 row; try a load-balancing loss, a larger learning rate for the gate, or inputs of unit scale",
                percent(share)
            ),
            Alarm::SameWeights { information } => format!(
                "the weights tell {information:.3} of a row (0: nothing, 1: all), so the mixture is nearly \
                 one fixed sum of experts; try a larger learning rate for the gate, or inputs of unit scale"
            ),
            Alarm::NotFinite { rows } => format!(
                "{rows} rows have a weight that is not finite; try a smaller learning rate, and look for \
                 values that are not finite in the inputs"
            ),
            Alarm::Dropping { share } => format!(
                "{} of the (row, expert) pairs are dropped because their expert is full; try a larger \
                 capacity factor or a load-balancing loss",
                percent(share)
            ),
        };
        write!(f, "{}: {text}", self.name())
    }
}

impl GateSummary {
    /// Routing pathologies in the statistics of an epoch (those of a single step are too noisy).
    pub fn alarms(&self, thresholds: &Thresholds) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        if self.not_finite > 0 {
            alarms.push(Alarm::NotFinite { rows: self.not_finite });
        }
        let n = self.load_share.len().min(self.weight_share.len());
        if self.rows < thresholds.least_rows || n < 2 {
            return alarms;
        }
        let largest = (0..n).max_by(|&a, &b| self.weight_share[a].total_cmp(&self.weight_share[b]));
        if let Some(expert) = largest
            && self.weight_share[expert] > thresholds.collapse
        {
            alarms.push(Alarm::Collapse { expert, share: self.weight_share[expert] });
        }
        let dead = self.dead_experts;
        if dead as f64 > thresholds.dead_experts * n as f64 {
            alarms.push(Alarm::DeadExperts { dead, experts: n });
        }
        if self.top_set_share > thresholds.static_routing && self.top_set.len() < n {
            let (experts, share) = (self.top_set.clone(), self.top_set_share);
            alarms.push(Alarm::StaticRouting { experts, share });
        }
        // Collapse and static routing are more specific.
        let is_told =
            |alarm: &Alarm| matches!(alarm, Alarm::Collapse { .. } | Alarm::StaticRouting { .. });
        if self.mutual_information < thresholds.information && !alarms.iter().any(is_told) {
            alarms.push(Alarm::SameWeights { information: self.mutual_information });
        }
        if self.dropped > thresholds.dropping {
            alarms.push(Alarm::Dropping { share: self.dropped });
        }
        alarms
    }
}
