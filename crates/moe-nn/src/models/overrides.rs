/// Settings of a trained mixture at inference that differ from those of training. The weights stay the same. `moe eval
/// --sweep` of `moe-bench` shows quality against cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Number of experts per row (K).
    pub k: Option<usize>,
    /// The router's parameter `inference-capacity-factor`: the largest number of rows of an expert, as a multiple of its
    /// share under an even load; 0 for no limit.
    pub inference_capacity_factor: Option<f64>,
}
