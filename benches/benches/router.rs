//! Every router of the registry with its default parameters, one gate in training: from rows to weights and auxiliary
//! losses, and back to the rows and the gate's parameters. Throughput in rows.
//!
//! Besides, COMET with every split saturated (`comet-saturated`), and a softmax gate with as many logits as COMET has,
//! K (2N - 1), to compare it with (`softmax-of-comet-logits`).

use std::collections::BTreeMap;

use criterion::Criterion;
use criterion::measurement::WallTime;
use moe_core::{Mode, Pass, StateMut, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{GateSet, GateSpec, Registry};

use crate::data::{INPUTS, ROWS, bench_operator, rng, uniform};

const K: usize = 2;
/// Each N.
const EXPERTS: [usize; 2] = [16, 64];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    let registry = Registry::standard();
    let x = uniform([ROWS, INPUTS], &mut rng("router"));
    for experts in EXPERTS {
        let build = |id: &str, experts| {
            let spec = GateSpec { inputs: INPUTS, experts, k: K, seed: 1, gate: 0 };
            let entry = registry.get(id).expect("the router is registered");
            entry.build(&spec, 1, &BTreeMap::new()).expect("the defaults are allowed")
        };
        let mut time = |name: &str, gates: &dyn GateSet| {
            bench_gates(
                &mut group,
                &format!("{name}-B{ROWS}-D{INPUTS}-N{experts}-K{K}"),
                gates,
                &x,
            );
        };
        for entry in registry.entries() {
            let id = &entry.info().id;
            time(id, &*build(id, experts));
        }
        let mut saturated = build("comet", experts);
        saturate(&mut *saturated);
        time("comet-saturated", &*saturated);
        time("softmax-of-comet-logits", &*build("softmax", K * (2 * experts - 1)));
    }
    group.finish();
}

/// Makes every split of COMET's trees decide.
pub(crate) fn saturate(comet: &mut dyn GateSet) {
    comet.visit_mut(&mut |name, state| {
        if let (true, StateMut::Parameter(split)) = (name.contains("split"), state) {
            let value = split.value_mut();
            *value = value.map(|w| w * 1e6);
        }
    });
}

fn bench_gates(
    group: &mut criterion::BenchmarkGroup<'_, WallTime>,
    name: &str,
    gates: &dyn GateSet,
    x: &Tensor,
) {
    let row_ids: Vec<u64> = (0..ROWS as u64).collect();
    let (row_ids, keys) = (&row_ids[..], &row_ids[..]);
    let pass = Pass { mode: Mode::Train, seed: 1, step: 0, epoch: 0, row_ids, keys, experts: None };
    bench_operator(group, name, [ROWS as u64; 2], std::slice::from_ref(x), |v| {
        let routing = gates.route(&pass, v[0]).remove(0);
        total_loss(routing.weights.sum(), &routing.aux_losses)
    });
}
