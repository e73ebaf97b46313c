//! A step of an optimiser on one tensor, with a gradient for every element or for some rows. Throughput in elements.

use std::hint::black_box;

use benches::data::{ROWS, ids, rng, uniform};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::tape::Tape;
use moe_core::{Parameter, StateMut, StateRef, Visit, VisitMut};
use moe_nn::{Module, Optimizer, OptimizerOptions, Rule};

/// The weights of 16 experts.
const EXPERTS: [usize; 3] = [16, 256, 256];
/// The embedding of the users.
const TABLE: [usize; 2] = [6040, 128];

struct One(Parameter);

impl Module for One {
    fn visit(&self, f: &mut Visit<'_>) {
        f("one", StateRef::Parameter(&self.0));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("one", StateMut::Parameter(&mut self.0));
    }
}

/// The rules by name; every group has the gradients "dense" and "rows".
const RULES: [(&str, Rule); 5] = [
    ("adam", Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, lazy: false }),
    ("adam-lazy", Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, lazy: true }),
    ("adamw", Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weight_decay: 0.01 }),
    ("sgd", Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }),
    ("sgd-momentum", Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 }),
];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut rng = rng("adam");
    let mut experts = One(Parameter::new(uniform(EXPERTS, &mut rng)));
    let tape = Tape::new();
    let cotangent = uniform(EXPERTS, &mut rng);
    let dense = tape.backward_from(tape.parameter(&experts.0), cotangent);
    drop(tape);

    let mut table = One(Parameter::new(uniform(TABLE, &mut rng)));
    let tape = Tape::new();
    let rows = tape.parameter(&table.0).gather_rows(&ids(TABLE[0], ROWS, &mut rng));
    let rows = tape.backward_from(rows, uniform([ROWS, TABLE[1]], &mut rng));
    drop(tape);

    for (name, rule) in RULES {
        let mut group = criterion.benchmark_group(name);
        for (kind, module, gradients) in
            [("dense", &mut experts, &dense), ("rows", &mut table, &rows)]
        {
            let shape: Vec<_> = module.0.value().shape().iter().map(usize::to_string).collect();
            group.throughput(Throughput::Elements(module.0.value().len() as u64));
            let options = OptimizerOptions { rule, ..OptimizerOptions::default() };
            let mut optimizer = Optimizer::new(options);
            group.bench_function(BenchmarkId::new(kind, shape.join("x")), |bencher| {
                bencher.iter(|| optimizer.step(module, black_box(gradients)));
            });
        }
        group.finish();
    }
}
