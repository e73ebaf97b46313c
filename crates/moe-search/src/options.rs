use moe_core::Real;
use moe_routers::{Choice, OptionReader, Share};

use crate::schedule::{Learning, Schedule};

/// Settings of a [`Searched`](crate::Searched).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchOptions {
    /// Which gates share a permutation.
    pub share: Share,
    /// Length of the learning phase.
    pub learning: Learning,
    /// Temperature and iterations in the learning phase.
    pub schedule: Schedule,
    /// Coefficient of the entropy of the permutations; 0 turns the term off.
    pub entropy: Real,
    /// Factor of the Gumbel noise on the logits of the permutations in the learning phase; 0 for none.
    pub noise: Real,
    /// Entries of a soft permutation below this fraction of the largest of their row are dropped, which leaves fewer
    /// experts to compute in the learning phase; 0 for none. (This option is not published.)
    pub threshold: Real,
}

impl Default for SearchOptions {
    /// The published settings: one permutation, no noise, an entropy coefficient of 1e-4; five epochs, of one to ten in
    /// the paper.
    fn default() -> Self {
        SearchOptions {
            share: Share::All,
            learning: Learning::Epochs(EPOCHS),
            schedule: Schedule::default(),
            entropy: 1e-4,
            noise: 0.0,
            threshold: 0.0,
        }
    }
}

/// Epochs of the learning phase, unless a configuration says otherwise.
const EPOCHS: f64 = 5.0;

/// [`Share`] in configurations, where the number of parts is K.
#[derive(Clone, Copy, PartialEq)]
enum ShareWord {
    All,
    Gate,
    Part,
}

impl Choice for ShareWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("all", ShareWord::All), ("gate", ShareWord::Gate), ("part", ShareWord::Part)];
}

impl SearchOptions {
    /// Reads the parameters of a search, whose names begin with `search-`, for gates with K experts per row.
    pub(crate) fn read(options: &mut OptionReader<'_>, k: usize) -> Self {
        let SearchOptions { schedule, entropy, noise, threshold, .. } = SearchOptions::default();
        let share = options.choice(
            "search-share",
            ShareWord::All,
            "one permutation for all gates, one per gate, or one per part of a gate (K of them)",
        );
        let epochs = options.double(
            "search-epochs",
            EPOCHS,
            0.0..=1e6,
            "epochs in which the permutation is learnt before it is rounded",
        );
        let fraction = options.double(
            "search-fraction",
            0.0,
            0.0..=1.0,
            "if above 0, the permutation is learnt for this fraction of the longest possible run instead",
        );
        let steps = options.count(
            "search-steps",
            0,
            0..=1 << 24,
            "if above 0, the permutation is learnt for this many training steps instead",
        );
        let temperatures = 1e-7..=1e3;
        let iterations = 1..=10_000;
        SearchOptions {
            share: match share {
                ShareWord::All => Share::All,
                ShareWord::Gate => Share::Gate,
                ShareWord::Part => Share::Part(k.max(1)),
            },
            learning: if steps > 0 {
                Learning::Steps(steps as u64)
            } else if fraction > 0.0 {
                Learning::Fraction(fraction)
            } else {
                Learning::Epochs(epochs)
            },
            schedule: Schedule {
                first_temperature: options.double(
                    "search-first-temperature",
                    schedule.first_temperature,
                    temperatures.clone(),
                    "temperature at the start of learning",
                ),
                last_temperature: options.double(
                    "search-last-temperature",
                    schedule.last_temperature,
                    temperatures,
                    "temperature approached log-linearly at the end of learning",
                ),
                temperature_floor: options.double(
                    "search-temperature-floor",
                    schedule.temperature_floor,
                    0.0..=1e3,
                    "lower bound of the temperature; 0: none",
                ),
                first_iterations: options.count(
                    "search-first-iterations",
                    schedule.first_iterations,
                    iterations.clone(),
                    "Sinkhorn iterations at the start of learning",
                ),
                last_iterations: options.count(
                    "search-last-iterations",
                    schedule.last_iterations,
                    iterations,
                    "Sinkhorn iterations approached linearly at the end of learning",
                ),
            },
            entropy: options.coefficient(
                "search-entropy",
                entropy,
                "coefficient of the entropy of the permutation",
            ),
            noise: options.real(
                "search-noise",
                noise,
                0.0..=1e3,
                "factor of the Gumbel noise on the permutation's logits while it is learnt",
            ),
            threshold: options.real(
                "search-threshold",
                threshold,
                0.0..=1.0,
                "entries of the soft permutation below this fraction of the largest of their row are dropped",
            ),
        }
    }

    /// Panics if a value is out of range.
    pub(crate) fn check(&self) {
        let factors = [self.entropy, self.noise];
        let are_factors = factors.iter().all(|&v| v >= 0.0 && v.is_finite());
        assert!(
            are_factors
                && (0.0..=1.0).contains(&self.threshold)
                && self.schedule.is_valid()
                && self.learning.is_valid()
                && self.share != Share::Part(0),
            "{self:?}"
        );
    }
}
