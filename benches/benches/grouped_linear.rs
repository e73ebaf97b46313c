//! A layer of experts against one product with the weights of all experts side by side, as a dense mixture computes it,
//! and against one product per expert (`loop`). Throughput in FLOP/s: if it is equal, the cost follows the number of slots.

use std::sync::Arc;

use benches::data::{INPUTS, OUTPUTS, ROWS, assignments, rng, uniform};
use criterion::Criterion;
use moe_core::dispatch::ExpertPlan;

use crate::operator::bench_operator;

const EXPERTS: usize = 16;
/// Experts per row (K).
const PER_ROW: [usize; 5] = [1, 2, 4, 8, 16];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grouped_linear");
    // Forward, and forward with both products of the backward pass.
    let work =
        |slots: usize| [1, 3].map(|products| products * 2 * (slots * INPUTS * OUTPUTS) as u64);
    let mut rng = rng("grouped_linear");

    let weight = uniform([EXPERTS, INPUTS, OUTPUTS], &mut rng);
    let bias = uniform([EXPERTS, OUTPUTS], &mut rng);
    for k in PER_ROW {
        let plan = Arc::new(ExpertPlan::new(&[&assignments(EXPERTS, k, &mut rng)]));
        let x = uniform([plan.slots(), INPUTS], &mut rng);
        let inputs = [x, weight.clone(), bias.clone()];
        let parameters = format!("K{k}-N{EXPERTS}");
        bench_operator(&mut group, &parameters, work(plan.slots()), &inputs, |v| {
            v[0].grouped_linear(v[1], v[2], &plan)
        });
    }

    // One product per expert.
    let k = 2;
    let plan = ExpertPlan::new(&[&assignments(EXPERTS, k, &mut rng)]);
    let x = uniform([plan.slots(), INPUTS], &mut rng);
    let mut inputs = vec![x];
    inputs.extend((0..EXPERTS).map(|_| uniform([INPUTS, OUTPUTS], &mut rng)));
    inputs.extend((0..EXPERTS).map(|_| uniform([OUTPUTS], &mut rng)));
    let parameters = format!("loop-K{k}-N{EXPERTS}");
    bench_operator(&mut group, &parameters, work(plan.slots()), &inputs, |v| {
        let outputs = (0..EXPERTS).map(|expert| {
            let slots = plan.slots_of_expert(expert);
            v[0].slice(0, slots).linear(v[1 + expert], v[1 + EXPERTS + expert]).sum()
        });
        outputs.reduce(|a, b| a + b).expect("there is an expert")
    });

    let x = uniform([ROWS, INPUTS], &mut rng);
    let weight = uniform([INPUTS, EXPERTS * OUTPUTS], &mut rng);
    let inputs = [x, weight, bias.reshape([EXPERTS * OUTPUTS])];
    let parameters = format!("dense-N{EXPERTS}");
    bench_operator(&mut group, &parameters, work(ROWS * EXPERTS), &inputs, |v| {
        v[0].linear(v[1], v[2])
    });
    group.finish();
}
