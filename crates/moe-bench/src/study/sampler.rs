//! How the parameters of a trial are chosen.

use std::convert::Infallible;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator};

use crate::study::axis::Axis;

/// A trial that has ended: the values of a parameter and its loss.
pub(crate) type Seen = (f64, f64);

/// Chooses the parameters of one trial.
#[derive(Debug)]
pub(crate) struct Sampler(ChaCha8Rng);

impl Sampler {
    /// The sampler of the trial with this index, which depends on nothing but the two numbers.
    pub(crate) fn new(study_seed: u64, index: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(study_seed);
        generator.set_stream(index);
        Sampler(generator)
    }

    /// The seed of the trial's run. It is below 2^32, so that every reader of JSON has it exactly.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u32().into()
    }

    /// A value drawn uniformly from the axis.
    pub(crate) fn uniform(&mut self, axis: Axis<'_>) -> f64 {
        let [low, high] = axis.interval();
        // 53 random bits: a number in [0, 1).
        let unit = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        axis.value(low + (high - low) * unit)
    }

    /// A value by the tree-structured Parzen estimator from what was seen, as the crate `tpe` has it.
    pub(crate) fn parzen(&mut self, axis: Axis<'_>, seen: &[Seen]) -> f64 {
        let [low, high] = axis.interval();
        if low == high {
            return axis.value(low);
        }
        let (range, estimator) = if axis.is_categorical() {
            (categorical_range(high as usize), histogram_estimator())
        } else {
            // The end of the range is not in it.
            (tpe::range(low, high.next_up()), parzen_estimator())
        };
        let mut optimizer = TpeOptimizer::new(estimator, range.expect("a finite interval"));
        for &(value, loss) in seen {
            let point = axis.point(value).clamp(low, high);
            // A loss that is not a number says nothing.
            let _ = optimizer.tell(point, loss);
        }
        let point = optimizer.ask(&mut Adapter(&mut self.0)).expect("a range with points");
        axis.value(point)
    }
}

/// The generator for `tpe`, which takes the traits of a later version.
struct Adapter<'a>(&'a mut ChaCha8Rng);

impl rand_core::TryRng for Adapter<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::config::search::Suggestion;

    const fn number(low: f64, high: f64) -> Suggestion {
        Suggestion::Float { low, high, log: false, step: None }
    }

    #[test]
    fn a_trial_follows_from_two_numbers() {
        let trial = |seed, index| {
            let mut sampler = Sampler::new(seed, index);
            (sampler.seed(), sampler.uniform(Axis(&number(0.0, 1.0))))
        };
        assert_eq!(trial(3, 17), trial(3, 17));
        assert_ne!(trial(3, 17), trial(3, 18));
        assert_ne!(trial(3, 17), trial(4, 17));
        // Fixed for ever, so that a study can be continued.
        assert_eq!(trial(1, 0), (2359561649, 0.9845971119130229));
    }

    #[test]
    fn uniform_draws_fill_the_axis() {
        let draws = |suggestion: &Suggestion| -> Vec<f64> {
            (0..2000).map(|i| Sampler::new(7, i).uniform(Axis(suggestion))).collect()
        };
        let logs = draws(&Suggestion::Float { low: 1e-4, high: 1e-2, log: true, step: None });
        let below = logs.iter().filter(|&&value| value < 1e-3).count();
        // Binomial with 2,000 draws of probability 1/2: five standard deviations are 112.
        assert!(below.abs_diff(1000) < 112, "{below}");
        let choices = draws(&Suggestion::Categorical { choices: (0..4).map(Into::into).collect() });
        for choice in 0..4 {
            let count = choices.iter().filter(|&&value| value == f64::from(choice)).count();
            assert!(count.abs_diff(500) < 97, "{choice}: {count}");
        }
    }

    #[test]
    fn a_parameter_with_one_value_has_it() {
        let one = Suggestion::Categorical { choices: vec!["x".into()] };
        for suggestion in [&number(2.0, 2.0), &one] {
            let axis = Axis(suggestion);
            let value = axis.value(axis.interval()[0]);
            assert_eq!(Sampler::new(1, 1).parzen(axis, &[(value, 1.0)]), value);
            assert_eq!(Sampler::new(1, 1).uniform(axis), value);
        }
    }

    #[test]
    fn the_parzen_estimator_prefers_good_choices() {
        let suggestion = Suggestion::Categorical { choices: (0..5).map(Into::into).collect() };
        let mut seen: Vec<Seen> = (0..50).map(|i| (f64::from(i % 5), f64::from(i % 5))).collect();
        seen.push((4.0, f64::NAN));
        let asked = (0..40).map(|i| Sampler::new(1, i).parzen(Axis(&suggestion), &seen));
        let best = asked.filter(|&value| value == 0.0).count();
        assert!(best > 20, "{best}");
    }

    /// The function of Branin, whose minimum is 0.397887.
    fn branin(x: f64, y: f64) -> f64 {
        let a = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
        a * a + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
    }

    /// The lowest of 100 values, the first ten of which are random.
    fn lowest(seed: u64, is_random: bool) -> f64 {
        let axes = [number(-5.0, 10.0), number(0.0, 15.0)];
        let mut seen: [Vec<Seen>; 2] = Default::default();
        let mut lowest = f64::INFINITY;
        for trial in 0..100 {
            let mut sampler = Sampler::new(seed, trial);
            let mut choose = |i: usize| match is_random || trial < 10 {
                true => sampler.uniform(Axis(&axes[i])),
                false => sampler.parzen(Axis(&axes[i]), &seen[i]),
            };
            let at = [choose(0), choose(1)];
            let loss = branin(at[0], at[1]);
            seen[0].push((at[0], loss));
            seen[1].push((at[1], loss));
            lowest = lowest.min(loss);
        }
        lowest
    }

    /// The mean of the differences of 20 pairs is below 0 with all of its 95 % interval.
    #[test]
    fn the_parzen_estimator_beats_random_search_on_branin() {
        let differences: Vec<f64> = (0..20)
            .map(|seed| (lowest(seed, false) - 0.39788).ln() - (lowest(seed, true) - 0.39788).ln())
            .collect();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let variance = differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (n - 1.0);
        let high = mean + 2.093 * (variance / n).sqrt();
        assert!(
            high < 0.0,
            "mean difference of the logarithms of the regret {mean:.3}, at most {high:.3}"
        );
    }
}
