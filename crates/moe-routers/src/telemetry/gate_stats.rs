use moe_core::dispatch::Assignments;
use moe_core::{Real, Tensor};
use serde::{Deserialize, Serialize};

use super::RoutingStats;
use super::frequent_sets::FrequentSets;
use crate::Routing;

/// The name under which a router reports, in [`Routing::telemetry`](crate::Routing), the share of its (row, expert)
/// pairs that it dropped for want of room.
pub const DROPPED: &str = "dropped";

/// How one gate routes, added up over batches in one pass over the pairs. The memory is a few numbers per expert.
#[derive(Clone, Debug, Default)]
pub struct GateStats {
    load: RoutingStats,
    /// `[N]`: sum over rows of the expert's share of the row's weight.
    weight: Vec<f64>,
    /// Rows in `weight`: those with weights that are finite and not all zero.
    weighted_rows: u64,
    /// Over these rows, entropies of their weights.
    row_entropy: f64,
    largest_weight: f64,
    not_finite: u64,
    sets: FrequentSets,
    /// Batches that report what was dropped, and the sum of the shares.
    dropped: (u64, f64),
}

/// The numbers of [`GateStats`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateSummary {
    /// Rows that were added.
    pub rows: u64,
    /// Mean number of experts of a row.
    pub experts_per_row: f64,
    /// `[N]`: share of the (row, expert) pairs that each expert has.
    pub load_share: Vec<f64>,
    /// Entropy of these shares over ln N: 1 balanced, 0 collapsed onto one expert.
    pub load_entropy: f64,
    /// The largest of these shares.
    pub max_load: f64,
    /// Experts without a row.
    pub dead_experts: usize,
    /// `[N]`: mean over rows of the share of a row's weight that each expert has.
    pub weight_share: Vec<f64>,
    /// Mean over rows of the largest weight: how sure the router is.
    pub confidence: f64,
    /// What the experts say of the row: (H(mean of the rows' weights) - mean of H(weights of a row)) / ln N. 0 if all
    /// rows have the same weights, 1 if each goes to one expert and all experts have equally many.
    pub mutual_information: f64,
    /// The experts that the most rows go to together.
    pub top_set: Vec<u32>,
    /// The share of rows that go to exactly these; too small by at most 1/33 of the other rows.
    pub top_set_share: f64,
    /// Mean over batches of the share of pairs that were dropped for want of room; 0 for a router that drops none.
    pub dropped: f64,
    /// Rows with a weight that is not a finite number.
    pub not_finite: u64,
    /// Share of rows whose experts changed since they were last seen; see [`Consistency`](super::Consistency), from which
    /// the caller sets it.
    pub changed: Option<f64>,
}

impl GateStats {
    /// Adds a batch: the assignments, weights and telemetry of a [`Routing`].
    ///
    /// # Shapes
    /// `weights` `[pairs]`
    ///
    /// # Panics
    /// If there is not one weight per pair, or the number of experts differs from that of earlier batches.
    pub fn add(
        &mut self,
        assignments: &Assignments,
        weights: &Tensor,
        telemetry: &[(&'static str, f64)],
    ) {
        assert_eq!(weights.len(), assignments.pairs(), "one weight per pair");
        self.load.add(assignments);
        self.weight.resize(assignments.num_experts(), 0.0);
        for row in 0..assignments.rows() {
            let experts = assignments.of_row(row);
            self.sets.add(experts);
            self.add_weights(experts, &weights.as_slice()[assignments.pairs_of(row)]);
        }
        if let Some((_, share)) = telemetry.iter().find(|(name, _)| *name == DROPPED) {
            self.dropped = (self.dropped.0 + 1, self.dropped.1 + share);
        }
    }

    /// [`GateStats::add`] for a routing whose tape is still there.
    pub fn add_routing(&mut self, routing: &Routing<'_>) {
        self.add(&routing.assignments, &routing.weights.value(), &routing.telemetry);
    }

    fn add_weights(&mut self, experts: &[u32], weights: &[Real]) {
        // The total finds weights that are no numbers; of the sum, negative ones have no share.
        let (mut total, mut sum, mut largest): (Real, Real, Real) = (0.0, 0.0, 0.0);
        for &weight in weights {
            total += weight;
            sum += weight.max(0.0);
            largest = largest.max(weight);
        }
        if !total.is_finite() {
            self.not_finite += 1;
        } else if sum > 0.0 {
            self.weighted_rows += 1;
            self.largest_weight += f64::from(largest);
            let mut entropy = 0.0;
            for (&expert, &weight) in experts.iter().zip(weights) {
                let share = weight / sum;
                if share > 0.0 {
                    self.weight[expert as usize] += f64::from(share);
                    entropy -= share * share.ln();
                }
            }
            self.row_entropy += f64::from(entropy);
        }
    }

    /// Rows of each expert, and what follows from them.
    pub fn load(&self) -> &RoutingStats {
        &self.load
    }

    /// All numbers.
    pub fn summary(&self) -> GateSummary {
        let shares = |values: &mut dyn Iterator<Item = f64>, sum: f64| -> Vec<f64> {
            values.map(|value| value / sum.max(f64::MIN_POSITIVE)).collect()
        };
        let load = self.load.load();
        let rows = self.load.rows();
        let weighted = self.weighted_rows as f64;
        let weight_share = shares(&mut self.weight.iter().copied(), weighted);
        let mean_entropy = self.row_entropy / weighted.max(1.0);
        let information = entropy(&weight_share) - mean_entropy;
        let (top_set, top_rows) = self.sets.top();
        GateSummary {
            rows,
            experts_per_row: self.load.experts_per_row(),
            load_share: shares(
                &mut load.iter().map(|&rows| rows as f64),
                load.iter().sum::<u64>() as f64,
            ),
            load_entropy: self.load.load_entropy(),
            max_load: self.load.max_load(),
            dead_experts: self.load.dead_experts(),
            confidence: self.largest_weight / weighted.max(1.0),
            // Rounding may lead outside.
            mutual_information: match load.len() {
                0 | 1 => 0.0,
                n => (information / (n as f64).ln()).clamp(0.0, 1.0),
            },
            weight_share,
            top_set: top_set.to_vec(),
            top_set_share: top_rows as f64 / rows.max(1) as f64,
            dropped: self.dropped.1 / self.dropped.0.max(1) as f64,
            not_finite: self.not_finite,
            changed: None,
        }
    }
}

fn entropy(shares: &[f64]) -> f64 {
    shares.iter().filter(|&&p| p > 0.0).map(|&p| -p * p.ln()).sum()
}

/// The mean over rows of Σ_j |a_j - b_j| between the weights of two routings of the same rows: how far the rule of
/// training is from that of inference. 0 alike, 2 if no row keeps an expert.
///
/// # Panics
/// If they differ in the number of rows.
pub fn weight_difference(a: &Routing<'_>, b: &Routing<'_>) -> f64 {
    let (one, other) = (&a.assignments, &b.assignments);
    assert_eq!(one.rows(), other.rows(), "routings of different rows");
    let (weights, other_weights) = (a.weights.value(), b.weights.value());
    let mut sum = 0.0;
    for row in 0..one.rows() {
        let mut rest = other.pairs_of(row).peekable();
        let value = |pair: usize| f64::from(other_weights.as_slice()[pair]);
        for pair in one.pairs_of(row) {
            let expert = one.experts()[pair];
            while let Some(pair) = rest.next_if(|&pair| other.experts()[pair] < expert) {
                sum += value(pair).abs();
            }
            let same = rest.next_if(|&pair| other.experts()[pair] == expert);
            sum += (f64::from(weights.as_slice()[pair]) - same.map_or(0.0, value)).abs();
        }
        sum += rest.map(|pair| value(pair).abs()).sum::<f64>();
    }
    sum / one.rows().max(1) as f64
}
