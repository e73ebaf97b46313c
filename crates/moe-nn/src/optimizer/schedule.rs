use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A learning rate schedule: a factor for each step that depends only on the number of the step.
///
/// ```
/// use moe_nn::{Decay, Schedule};
///
/// let decay = Decay::Cosine { total_steps: 13, final_factor: 0.0 };
/// let schedule = Schedule { warmup_steps: 3, decay };
/// let factors: Vec<f64> = [0, 1, 3, 8, 13, 99].map(|step| schedule.factor(step)).to_vec();
/// assert_eq!(factors, [0.25, 0.5, 1.0, 0.5, 0.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Number of warm-up steps (W). Their factors are 1/(W+1), 2/(W+1), …, W/(W+1); the next step has the factor 1.
    pub warmup_steps: u64,
    /// The schedule after the warm-up.
    pub decay: Decay,
}

/// The shape of a [`Schedule`] after its warm-up, starting at the factor 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Decay {
    /// The factor stays 1.
    #[default]
    Constant,
    /// Cosine annealing to a final factor (Loshchilov and Hutter, 2017, without restarts).
    Cosine {
        /// Number of steps, including the warm-up, after which the final factor is reached and kept.
        total_steps: u64,
        /// The final factor, from 0 to 1.
        final_factor: f64,
    },
    /// 1 / sqrt(number of steps), scaled to start at 1 (Vaswani et al., 2017, section 5.3).
    InverseSqrt,
}

impl Schedule {
    /// The factor of the learning rate for the next step after `step` completed steps.
    pub fn factor(&self, step: u64) -> f64 {
        let Schedule { warmup_steps: warmup, decay } = *self;
        if step < warmup {
            return (step + 1) as f64 / (warmup as f64 + 1.0);
        }
        match decay {
            Decay::Constant => 1.0,
            Decay::Cosine { total_steps, final_factor } => {
                let whole = total_steps.saturating_sub(warmup).max(1);
                let done = ((step - warmup) as f64 / whole as f64).min(1.0);
                final_factor + (1.0 - final_factor) * (0.5 + 0.5 * (PI * done).cos())
            }
            Decay::InverseSqrt => ((warmup as f64 + 1.0) / (step as f64 + 1.0)).sqrt(),
        }
    }
}
