//! A step of Adam on one tensor, with a gradient for every element or for some rows. Throughput in elements.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::tape::{Gradients, Tape};
use moe_core::{Parameter, StateMut, StateRef, Visit, VisitMut};
use moe_nn::{Adam, AdamOptions, Module};

use crate::data::{ROWS, ids, rng, uniform};

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

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adam");
    let mut run = |name: &str, mut module: One, gradients: Gradients| {
        let shape: Vec<_> = module.0.value().shape().iter().map(usize::to_string).collect();
        group.throughput(Throughput::Elements(module.0.value().len() as u64));
        let mut adam = Adam::new(AdamOptions::default());
        group.bench_function(BenchmarkId::new(name, shape.join("x")), |bencher| {
            bencher.iter(|| adam.step(&mut module, black_box(&gradients)));
        });
    };

    let mut rng = rng("adam");
    let experts = One(Parameter::new(uniform(EXPERTS, &mut rng)));
    let tape = Tape::new();
    let cotangent = uniform(EXPERTS, &mut rng);
    let gradients = tape.backward_from(tape.parameter(&experts.0), cotangent);
    drop(tape);
    run("dense", experts, gradients);

    let table = One(Parameter::new(uniform(TABLE, &mut rng)));
    let tape = Tape::new();
    let rows = tape.parameter(&table.0).gather_rows(&ids(TABLE[0], ROWS, &mut rng));
    let gradients = tape.backward_from(rows, uniform([ROWS, TABLE[1]], &mut rng));
    drop(tape);
    run("rows", table, gradients);
    group.finish();
}
