use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::{Buffer, Real, Tensor};

use crate::registry::option_reader::OptionReader;
use crate::routing::Routing;

/// The number of experts that a gate without logits gives a row: the parameter `k-experts`, off by default.
pub(crate) fn read_k_experts(options: &mut OptionReader<'_>) -> bool {
    options.bool(
        "k-experts",
        false,
        "give a row K experts with weight 1/K each, that expert and those after it, instead of one",
    )
}

/// The routing that sends row i to `per_row` experts with equal weights that sum to 1: `first(i)`, which is below N, and those
/// after it, behind which expert 0 comes again.
pub(crate) fn from_first<'t>(
    tape: &'t Tape,
    num_experts: usize,
    per_row: usize,
    rows: usize,
    first: impl Fn(usize) -> u32,
) -> Routing<'t> {
    let mut experts = Buffer::unspecified(rows * per_row);
    for (row, of_row) in experts.chunks_exact_mut(per_row).enumerate() {
        let first = first(row) as usize;
        for (next, expert) in of_row.iter_mut().enumerate() {
            *expert = ((first + next) % num_experts) as u32;
        }
    }
    let assignments = Assignments::fixed_from_buffer(num_experts, per_row, experts);
    let share = 1.0 / per_row as Real;
    Routing::new(assignments, tape.constant(Tensor::full([rows * per_row], share)))
}
