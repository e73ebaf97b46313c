/// The schedule of temperature and iterations while a permutation is learnt. `Default` is the published one.
///
/// The c-th of T learning calls (c from 1, since the counter is incremented before use) has the progress p = c / T. Its
/// temperature falls log-linearly in p from the first to the last one. Its number of iterations changes linearly in p
/// from the first to the last one and is rounded down (COMET's code: 1e-3 to 1e-7, 20 to 150). With c = T the
/// permutation is rounded, so the last temperature is approached but not reached.
///
/// At these temperatures the matrix is far from doubly stochastic: with initial logits of ±0.05, row sums are between
/// about 0.5 and 2 towards the end. [`Schedule::doubly_stochastic`] keeps them close to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Temperature at progress 0.
    pub first_temperature: f64,
    /// Temperature at progress 1.
    pub last_temperature: f64,
    /// Lower bound of the temperature; 0 for none.
    pub temperature_floor: f64,
    /// Sinkhorn iterations at progress 0.
    pub first_iterations: usize,
    /// Sinkhorn iterations at progress 1.
    pub last_iterations: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            first_temperature: 1e-3,
            last_temperature: 1e-7,
            temperature_floor: 0.0,
            first_iterations: 20,
            last_iterations: 150,
        }
    }
}

/// The parameters of a learning call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftCall {
    /// Divisor of the logits.
    pub temperature: f64,
    /// Number of Sinkhorn iterations.
    pub iterations: usize,
}

impl Schedule {
    /// A floor under the temperature and more iterations, so that row sums are within one per cent of one with initial
    /// logits of ±0.05. This schedule is not published.
    pub fn doubly_stochastic() -> Self {
        Schedule {
            first_temperature: 1e-1,
            last_temperature: 1e-2,
            temperature_floor: 1e-2,
            first_iterations: 50,
            last_iterations: 200,
        }
    }

    /// The learning call after `done` of `all` calls (or any other measure of progress); `None` when they are done and
    /// the permutation is rounded.
    pub fn at(&self, done: f64, all: f64) -> Option<SoftCall> {
        if done >= all {
            return None;
        }
        let progress = done / all;
        let (first, last) = (self.first_temperature.log10(), self.last_temperature.log10());
        let temperature = 10f64.powf(first + (last - first) * progress);
        let (least, most) = (self.first_iterations as f64, self.last_iterations as f64);
        // The product first: it is exact, so that integers stay integers.
        let iterations = (least + (most - least) * done / all).floor();
        Some(SoftCall {
            temperature: temperature.max(self.temperature_floor),
            iterations: (iterations as usize).max(1),
        })
    }

    /// Returns whether all values are finite, and positive where they must be.
    pub(crate) fn is_valid(&self) -> bool {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        positive(self.first_temperature)
            && positive(self.last_temperature)
            && self.temperature_floor >= 0.0
            && self.temperature_floor.is_finite()
            && self.first_iterations > 0
            && self.last_iterations > 0
    }
}

/// The length of the learning phase of a permutation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// Until this many training steps have begun.
    Steps(u64),
    /// This many epochs of the run, 1 to 10 in the paper.
    /// [`GateSet::begin_training`](moe_routers::GateSet::begin_training) tells the gates the number of steps; before it
    /// is called, the schedule advances once per epoch.
    Epochs(f64),
    /// This fraction of the longest possible run, 0.01 to 0.1 in the authors' configurations. Before
    /// [`GateSet::begin_training`](moe_routers::GateSet::begin_training) is called, the schedule stays at its start.
    Fraction(f64),
}

impl Learning {
    /// Number of learning calls (T) in a run of `epochs` epochs.
    pub(crate) fn steps(self, steps_per_epoch: u64, epochs: u64) -> u64 {
        let whole = |steps: f64| steps.round().max(0.0) as u64;
        match self {
            Learning::Steps(steps) => steps,
            Learning::Epochs(count) => whole(count * steps_per_epoch as f64),
            Learning::Fraction(share) => whole(share * (steps_per_epoch * epochs) as f64),
        }
    }

    /// Returns whether the length is finite and not negative, or a fraction.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Learning::Steps(_) => true,
            Learning::Epochs(count) => count >= 0.0 && count.is_finite(),
            Learning::Fraction(share) => (0.0..=1.0).contains(&share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_iterations_are_exact() {
        let schedule = Schedule::default();
        for steps in [1u64, 10, 26, 13, 130, 65, 1_000_000] {
            for call in 1..steps.min(200) {
                let soft = schedule.at(call as f64, steps as f64).unwrap();
                assert_eq!(soft.iterations as u64, 20 + 130 * call / steps, "{call} of {steps}");
            }
            assert_eq!(schedule.at(steps as f64, steps as f64), None);
        }
        assert_eq!(schedule.at(0.0, 0.0), None);
        assert_eq!(schedule.at(1.0, 1.0), None);
    }

    #[test]
    fn a_floor_holds_the_temperature() {
        let schedule = Schedule { temperature_floor: 1e-4, ..Schedule::default() };
        assert_eq!(schedule.at(0.0, 10.0).unwrap().temperature, 1e-3);
        assert_eq!(schedule.at(9.0, 10.0).unwrap().temperature, 1e-4);
        assert!(schedule.is_valid() && Schedule::doubly_stochastic().is_valid());
        assert!(!Schedule { last_temperature: 0.0, ..schedule }.is_valid());
        assert!(!Schedule { first_temperature: f64::NAN, ..schedule }.is_valid());
        assert!(!Schedule { last_iterations: 0, ..schedule }.is_valid());
    }

    #[test]
    fn lengths_in_steps() {
        assert_eq!(Learning::Steps(7).steps(100, 10), 7);
        assert_eq!(Learning::Epochs(1.5).steps(100, 10), 150);
        assert_eq!(Learning::Fraction(0.05).steps(100, 10), 50);
        assert_eq!(Learning::Fraction(0.0).steps(100, 10), 0);
        assert!(!Learning::Fraction(1.5).is_valid() && !Learning::Epochs(f64::NAN).is_valid());
    }
}
