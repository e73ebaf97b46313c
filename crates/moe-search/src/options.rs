use moe_core::Real;
use moe_routers::{ParameterSpec, Parameters, RouterInfo, Share};

use crate::schedule::{Learning, Schedule};

/// How permutations are searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchOptions {
    /// Which gates have which permutation.
    pub share: Share,
    /// How long they are learnt.
    pub learning: Learning,
    /// Temperature and iterations meanwhile.
    pub schedule: Schedule,
    /// Coefficient of their entropy; 0: no such term.
    pub entropy: Real,
    /// Factor of the Gumbel noise on their logits while they are learnt; 0: none.
    pub noise: Real,
    /// Entries of a soft permutation below so much of the largest of their row are dropped, which leaves fewer experts to
    /// compute while it is learnt; 0: none. (Ours, not published.)
    pub threshold: Real,
}

impl Default for SearchOptions {
    /// The published settings: one permutation, no noise, an entropy coefficient of 1e-4; five epochs, of one to ten in
    /// the paper.
    fn default() -> Self {
        SearchOptions {
            share: Share::All,
            learning: Learning::Epochs(5.0),
            schedule: Schedule::default(),
            entropy: 1e-4,
            noise: 0.0,
            threshold: 0.0,
        }
    }
}

impl SearchOptions {
    /// Adds these parameters to what is known of a router; the name of each begins with `search-`.
    pub fn declare(info: RouterInfo) -> RouterInfo {
        let Schedule {
            first_temperature,
            last_temperature,
            temperature_floor,
            first_iterations,
            last_iterations,
        } = Schedule::default();
        let temperature = |name, default, doc| ParameterSpec::real(name, default, 1e-7..=1e3, doc);
        let iterations =
            |name, default, doc| ParameterSpec::int(name, default as i64, 1..=10_000, doc);
        info.with(ParameterSpec::one_of(
            "search-share",
            "all",
            &["all", "gate", "part"],
            "one permutation for all gates, one per gate, or one per part of a gate (K of them)",
        ))
        .with(ParameterSpec::real(
            "search-epochs",
            5.0,
            0.0..=1e6,
            "epochs in which the permutation is learnt, before it is rounded",
        ))
        .with(ParameterSpec::real(
            "search-fraction",
            0.0,
            0.0..=1.0,
            "if above 0, it is learnt for so much of the longest possible run instead",
        ))
        .with(ParameterSpec::int(
            "search-steps",
            0,
            0..=1 << 24,
            "if above 0, it is learnt for so many training steps instead",
        ))
        .with(temperature(
            "search-first-temperature",
            first_temperature,
            "temperature at the beginning of learning",
        ))
        .with(temperature(
            "search-last-temperature",
            last_temperature,
            "temperature that is approached at its end, log-linearly",
        ))
        .with(ParameterSpec::real(
            "search-temperature-floor",
            temperature_floor,
            0.0..=1e3,
            "the temperature is never below this; 0: no floor",
        ))
        .with(iterations(
            "search-first-iterations",
            first_iterations,
            "Sinkhorn iterations at the beginning of learning",
        ))
        .with(iterations(
            "search-last-iterations",
            last_iterations,
            "Sinkhorn iterations that are approached at its end, linearly",
        ))
        .with(ParameterSpec::real(
            "search-entropy",
            1e-4,
            0.0..=1e6,
            "coefficient of the entropy of the permutation",
        ))
        .with(ParameterSpec::real(
            "search-noise",
            0.0,
            0.0..=1e3,
            "factor of the Gumbel noise on the permutation's logits while it is learnt",
        ))
        .with(ParameterSpec::real(
            "search-threshold",
            0.0,
            0.0..=1.0,
            "entries of the soft permutation below so much of the largest of their row are dropped",
        ))
    }

    /// The values of the parameters of [`SearchOptions::declare`], for gates with K experts per row.
    pub fn read(parameters: &Parameters, k: usize) -> Self {
        let real = |name| parameters.real(name);
        let count = |name| parameters.int(name) as usize;
        let (steps, fraction) = (parameters.int("search-steps"), real("search-fraction"));
        SearchOptions {
            share: match parameters.text("search-share") {
                "all" => Share::All,
                "gate" => Share::Gate,
                _ => Share::Part(k.max(1)),
            },
            learning: match (steps, fraction) {
                (1.., _) => Learning::Steps(steps as u64),
                (_, share) if share > 0.0 => Learning::Fraction(share),
                _ => Learning::Epochs(real("search-epochs")),
            },
            schedule: Schedule {
                first_temperature: real("search-first-temperature"),
                last_temperature: real("search-last-temperature"),
                temperature_floor: real("search-temperature-floor"),
                first_iterations: count("search-first-iterations"),
                last_iterations: count("search-last-iterations"),
            },
            entropy: real("search-entropy") as Real,
            noise: real("search-noise") as Real,
            threshold: real("search-threshold") as Real,
        }
    }

    /// Panics if a number is out of its range.
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
