//! Every router of the registry with its default parameters, one gate in training: from rows to weights, and back to the
//! rows and the gate's parameters. Throughput in rows.

use std::collections::BTreeMap;

use criterion::Criterion;
use moe_core::{Mode, Pass};
use moe_routers::{GateSpec, Registry};

use crate::data::{INPUTS, ROWS, bench_operator, rng, uniform};

const K: usize = 2;
/// Each N.
const EXPERTS: [usize; 2] = [16, 64];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    let x = [uniform([ROWS, INPUTS], &mut rng("router"))];
    let row_ids: Vec<u64> = (0..ROWS as u64).collect();
    let (row_ids, keys) = (&row_ids[..], &row_ids[..]);
    let pass = Pass { mode: Mode::Train, seed: 1, step: 0, epoch: 0, row_ids, keys, experts: None };
    for entry in Registry::standard().entries() {
        for experts in EXPERTS {
            let spec = GateSpec { inputs: INPUTS, experts, k: K, seed: 1, gate: 0 };
            let gates = entry.build(&spec, 1, &BTreeMap::new()).expect("the defaults are allowed");
            let parameters = format!("{}-B{ROWS}-D{INPUTS}-N{experts}-K{K}", entry.info().id);
            bench_operator(&mut group, &parameters, [ROWS as u64; 2], &x, |v| {
                gates.route(&pass, v[0])[0].weights
            });
        }
    }
    group.finish();
}
