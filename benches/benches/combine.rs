//! The weighted sum of the experts' outputs for one of two gates. Throughput in FLOP/s.

use std::sync::Arc;

use benches::data::{OUTPUTS, ROWS, assignments, rng, uniform};
use criterion::Criterion;
use moe_core::dispatch::ExpertPlan;

use crate::operator::bench_operator;

const EXPERTS: usize = 16;
/// Experts per row (K).
const PER_ROW: [usize; 2] = [2, 8];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("combine");
    for k in PER_ROW {
        let mut rng = rng("combine");
        let gates = [(); 2].map(|()| assignments(EXPERTS, k, &mut rng));
        let plan = Arc::new(ExpertPlan::new(&[&gates[0], &gates[1]]));
        let slots = uniform([plan.slots(), OUTPUTS], &mut rng);
        let weights = uniform([gates[0].pairs()], &mut rng);
        let parameters = format!("B{ROWS}-N{EXPERTS}-K{k}-O{OUTPUTS}");
        // The backward pass scales one vector per pair, and multiplies two.
        let flops = (gates[0].pairs() * OUTPUTS) as u64;
        bench_operator(&mut group, &parameters, [2 * flops, 5 * flops], &[slots, weights], |v| {
            v[0].combine(v[1], &gates[0], &plan, 0)
        });
    }
    group.finish();
}
