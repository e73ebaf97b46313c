use moe_core::dispatch::Assignments;
use moe_core::{Real, Tensor};
use serde::{Deserialize, Serialize};

use crate::routing::Routing;
use crate::telemetry::frequent_sets::FrequentSets;
use crate::telemetry::load::RoutingStats;

/// The name in [`Routing::telemetry`](crate::Routing) of the fraction of (row, expert) pairs that were dropped because
/// their expert is full.
pub const DROPPED: &str = "dropped";

/// Statistics of one gate, accumulated over batches. In steady state it does not allocate; it holds a few values per
/// expert and one per pair of a batch. Statistics that were saved and loaded continue to the same bits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GateStats {
    load: RoutingStats,
    /// `[N + 1]`: rows with no expert, one, two, ...
    rows_by_count: Vec<u64>,
    /// `[N]`: sum over rows of the expert's fraction of the row's weight.
    weight: Vec<f64>,
    /// Number of rows in `weight`: those whose weights are finite and not all zero.
    weighted_rows: u64,
    /// Sum over these rows of the entropy of their weights.
    row_entropy: f64,
    largest_weight: f64,
    not_finite: u64,
    sets: FrequentSets,
    /// Number of batches that report dropped pairs, and the sum of their fractions.
    dropped: (u64, f64),
    /// Working memory: each pair's fraction of its row's weight in the last batch.
    #[serde(skip)]
    shares: Vec<f32>,
}

impl PartialEq for GateStats {
    fn eq(&self, other: &Self) -> bool {
        let parts = |stats: &GateStats| {
            let GateStats { weighted_rows, row_entropy, largest_weight, .. } = *stats;
            (weighted_rows, row_entropy, largest_weight, stats.not_finite, stats.dropped)
        };
        let GateStats { load, rows_by_count, weight, sets, .. } = self;
        let of_other = (&other.load, &other.rows_by_count, &other.weight, &other.sets);
        parts(self) == parts(other) && (load, rows_by_count, weight, sets) == of_other
    }
}

/// Summary of [`GateStats`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateSummary {
    /// Name of the gate's layer, which the caller sets.
    #[serde(default)]
    pub layer: String,
    /// Index of the gate in its layer, which the caller sets.
    #[serde(default)]
    pub gate: usize,
    /// Number of rows.
    pub rows: u64,
    /// Mean number of experts of a row.
    pub experts_per_row: f64,
    /// `[N + 1]`: fraction of the rows with no expert, with one, two, ...
    pub share_by_count: Vec<f64>,
    /// `[N]`: fraction of the (row, expert) pairs of each expert.
    pub load_share: Vec<f64>,
    /// Entropy of these fractions over ln N: 1 if balanced, 0 if collapsed onto one expert.
    pub load_entropy: f64,
    /// The largest of these fractions.
    pub max_load: f64,
    /// Number of experts without a row.
    pub dead_experts: usize,
    /// `[N]`: mean over rows of each expert's fraction of the row's weight.
    pub weight_share: Vec<f64>,
    /// Mean over rows of the largest weight: the confidence of the router.
    pub confidence: f64,
    /// Mutual information of row and expert: (H(mean of the rows' weights) - mean of H(weights of a row)) / ln N. It is
    /// 0 if all rows have the same weights, and 1 if each row goes to one expert and the load is balanced.
    pub mutual_information: f64,
    /// The set of experts that the most rows go to.
    pub top_set: Vec<u32>,
    /// Fraction of rows that go to exactly this set. It may be too small by about 1/256 of the other rows.
    pub top_set_share: f64,
    /// Mean over batches of the fraction of pairs that were dropped because their expert is full; 0 for a router that
    /// drops none.
    pub dropped: f64,
    /// Number of rows with a weight that is not finite.
    pub not_finite: u64,
    /// Fraction of rows whose experts changed since they were last seen, which the caller sets from
    /// [`Consistency`](super::Consistency).
    pub changed: Option<f64>,
    /// Difference between the weights of training and of inference, which the caller sets from [`weight_difference`].
    pub weight_difference: Option<f64>,
}

/// Name of a gate in texts: `gate 1`, preceded by the name of its layer unless that is `layer`, the name of the layer of a
/// model that has no other.
pub fn gate_label(layer: &str, gate: usize) -> String {
    match layer {
        "" | "layer" => format!("gate {gate}"),
        layer => format!("{layer} gate {gate}"),
    }
}

impl GateSummary {
    /// Name of the gate in texts; see [`gate_label`].
    pub fn label(&self) -> String {
        gate_label(&self.layer, self.gate)
    }

    /// Fraction of the rows with at most `k` experts.
    pub fn share_up_to(&self, k: usize) -> f64 {
        self.share_by_count.iter().take(k + 1).sum()
    }
}

impl GateStats {
    /// Returns whether statistics that were saved can be added to: their lists are of one number of experts, and no count is
    /// larger than that of any training.
    pub fn is_sound(&self) -> bool {
        const MOST: u64 = 1 << 53;
        let GateStats { load, rows_by_count, weight, weighted_rows, not_finite, .. } = self;
        let counts = [load.rows(), *weighted_rows, *not_finite, self.dropped.0];
        let mut counts = counts.iter().chain(load.load()).chain(rows_by_count);
        let n = weight.len();
        let has_lengths = load.load().len() == n && rows_by_count.len() == n + usize::from(n > 0);
        has_lengths && counts.all(|&count| count <= MOST) && self.sets.top().1 <= MOST
    }

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
        self.rows_by_count.resize(assignments.num_experts() + 1, 0);
        let (experts, weights) = (assignments.experts(), weights.as_slice());
        let mut shares = std::mem::take(&mut self.shares);
        shares.resize(weights.len(), 0.0);
        for bounds in assignments.offsets().windows(2) {
            let pairs = bounds[0] as usize..bounds[1] as usize;
            self.rows_by_count[pairs.len()] += 1;
            self.sets.add(&experts[pairs.clone()]);
            self.add_row(&weights[pairs.clone()], &mut shares[pairs]);
        }
        for (&expert, &share) in experts.iter().zip(&shares) {
            self.weight[expert as usize] += f64::from(share);
        }
        self.row_entropy += entropy_of_pairs(&shares);
        self.shares = shares;
        if let Some((_, share)) = telemetry.iter().find(|(name, _)| *name == DROPPED) {
            self.dropped = (self.dropped.0 + 1, self.dropped.1 + share);
        }
    }

    /// [`GateStats::add`] for a routing on its tape.
    pub fn add_routing(&mut self, routing: &Routing<'_>) {
        self.add(&routing.assignments, &routing.weights.value(), &routing.telemetry);
    }

    /// Adds a row and writes each pair's fraction of its weight, zeros for a row without weight.
    fn add_row(&mut self, weights: &[Real], shares: &mut [f32]) {
        // The total detects weights that are not finite; the sum leaves out negative weights.
        let (mut total, mut sum, mut largest): (Real, Real, Real) = (0.0, 0.0, 0.0);
        for &weight in weights {
            total += weight;
            sum += weight.max(0.0);
            largest = largest.max(weight);
        }
        if total.is_finite() && sum > 0.0 {
            self.weighted_rows += 1;
            self.largest_weight += f64::from(largest);
            for (share, weight) in shares.iter_mut().zip(weights) {
                *share = f64::from(weight.max(0.0) / sum) as f32;
            }
        } else {
            self.not_finite += u64::from(!total.is_finite());
            shares.fill(0.0);
        }
    }

    /// Statistics of the load.
    pub fn load(&self) -> &RoutingStats {
        &self.load
    }

    /// The summary.
    pub fn summary(&self) -> GateSummary {
        let share = |value: f64, sum: f64| value / sum.max(f64::MIN_POSITIVE);
        let shares = |counts: &[u64], sum: u64| -> Vec<f64> {
            counts.iter().map(|&count| share(count as f64, sum as f64)).collect()
        };
        let load = self.load.load();
        let rows = self.load.rows();
        let weighted = self.weighted_rows as f64;
        let weight_share: Vec<_> = self.weight.iter().map(|&w| share(w, weighted)).collect();
        let mean_entropy = self.row_entropy / weighted.max(1.0);
        let information = entropy(&weight_share) - mean_entropy;
        let (top_set, top_rows) = self.sets.top();
        GateSummary {
            layer: String::new(),
            gate: 0,
            rows,
            experts_per_row: self.load.experts_per_row(),
            share_by_count: shares(&self.rows_by_count, rows),
            load_share: shares(load, load.iter().sum()),
            load_entropy: self.load.load_entropy(),
            max_load: self.load.max_load(),
            dead_experts: self.load.dead_experts(),
            confidence: self.largest_weight / weighted.max(1.0),
            // Rounding may leave the interval.
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
            weight_difference: None,
        }
    }
}

/// Σ -p ln p over all pairs, in blocks that fit vector registers.
fn entropy_of_pairs(shares: &[f32]) -> f64 {
    const BLOCK: usize = 16;
    let mut sums = [0.0f64; BLOCK];
    let blocks = shares.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    for block in blocks {
        for (sum, &p) in sums.iter_mut().zip(block) {
            *sum -= f64::from(p * ln(p));
        }
    }
    let rest = rest.iter().map(|&p| f64::from(-p * ln(p)));
    sums.into_iter().chain(rest).sum()
}

/// The natural logarithm of a positive number to about 1e-7, without branches; some finite value for 0.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = 2^exponent · m with m from √½ to √2, and ln m = 2 artanh((m - 1) / (m + 1)).
    const SQRT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let t = s * s;
    let series = 2.0 + t * (2.0 / 3.0 + t * (2.0 / 5.0 + t * (2.0 / 7.0 + t * (2.0 / 9.0))));
    exponent * std::f32::consts::LN_2 + s * series
}

fn entropy(shares: &[f64]) -> f64 {
    shares.iter().filter(|&&p| p > 0.0).map(|&p| -p * p.ln()).sum()
}

/// The mean over rows of Σ_j |a_j - b_j| between the weights of two routings of the same rows: the difference between
/// training and inference. It is 0 if they agree and 2 if no row keeps an expert.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close() {
        for i in 1..=100_000u32 {
            let x = i as f32 / 100_000.0;
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 2e-7 * exact.abs().max(0.1), "{x}");
        }
        assert_eq!((ln(1.0), 0.0 * ln(0.0)), (0.0, 0.0));
        assert!((f64::from(ln(1e-30)) - 1e-30f64.ln()).abs() < 1e-4);
    }
}
