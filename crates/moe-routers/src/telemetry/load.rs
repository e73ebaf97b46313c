use moe_core::dispatch::Assignments;
use serde::{Deserialize, Serialize};

/// Statistics of the load, accumulated over batches and gates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingStats {
    rows: u64,
    /// `[N]`: number of rows of each expert.
    load: Vec<u64>,
}

impl RoutingStats {
    /// Adds the assignments of one gate for one batch. Experts of several layers are added by their index.
    pub fn add(&mut self, assignments: &Assignments) {
        let experts = self.load.len().max(assignments.num_experts());
        self.load.resize(experts, 0);
        self.rows += assignments.rows() as u64;
        for &expert in assignments.experts() {
            self.load[expert as usize] += 1;
        }
    }

    /// Number of (row, gate) pairs that were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// `[N]`: number of rows of each expert; empty before the first batch.
    pub fn load(&self) -> &[u64] {
        &self.load
    }

    /// Mean number of experts per row and gate; 0 before the first row.
    pub fn experts_per_row(&self) -> f64 {
        self.pairs() as f64 / self.rows.max(1) as f64
    }

    /// Entropy of the load over its largest possible value: 1 if balanced, 0 if collapsed onto one expert. It is 1 with
    /// a single expert, or before the first pair.
    pub fn load_entropy(&self) -> f64 {
        let pairs = self.pairs() as f64;
        if self.load.len() < 2 || pairs == 0.0 {
            return 1.0;
        }
        let shares = self.load.iter().filter(|&&l| l > 0).map(|&l| l as f64 / pairs);
        let entropy: f64 = shares.map(|p| -p * p.ln()).sum();
        entropy / (self.load.len() as f64).ln()
    }

    /// Largest fraction of all (row, expert) pairs that one expert has.
    pub fn max_load(&self) -> f64 {
        let largest = self.load.iter().copied().max().unwrap_or(0);
        largest as f64 / self.pairs().max(1) as f64
    }

    /// Number of experts without a row.
    pub fn dead_experts(&self) -> usize {
        self.load.iter().filter(|&&load| load == 0).count()
    }

    fn pairs(&self) -> u64 {
        self.load.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_and_collapsed() {
        let mut stats = RoutingStats::default();
        stats.add(&Assignments::fixed(4, 2, vec![0, 1, 2, 3]));
        assert_eq!((stats.experts_per_row(), stats.max_load()), (2.0, 0.25));
        assert!((stats.load_entropy() - 1.0).abs() < 1e-12);
        assert_eq!(stats.dead_experts(), 0);

        let mut stats = RoutingStats::default();
        stats.add(&Assignments::fixed(4, 1, vec![2, 2]));
        stats.add(&Assignments::fixed(4, 1, vec![2]));
        assert_eq!((stats.load_entropy(), stats.max_load()), (0.0, 1.0));
        assert_eq!((stats.dead_experts(), stats.load()), (3, &[0, 0, 3, 0][..]));
    }

    #[test]
    fn nothing_observed_yet() {
        let stats = RoutingStats::default();
        assert_eq!((stats.experts_per_row(), stats.max_load()), (0.0, 0.0));
        assert_eq!(stats.load_entropy(), 1.0);
    }
}
