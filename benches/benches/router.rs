//! Every router of the registry with its default parameters, one gate in training: from rows to weights and auxiliary
//! losses, and back to the rows and the gate's parameters. Throughput in rows.
//!
//! Also COMET with every split saturated (`comet-saturated`), and for comparison a softmax gate with COMET's number of
//! logits, K (2N - 1) (`softmax-of-comet-logits`).

use benches::data::{INPUTS, ROWS, rng, uniform};
use benches::movielens::{K, gates, saturate};
use criterion::Criterion;
use criterion::measurement::WallTime;
use moe_core::{Mode, Pass, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{GateSet, Registry};

use crate::operator::bench_operator;

/// Numbers of experts (N).
const EXPERTS: [usize; 2] = [16, 64];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    let x = uniform([ROWS, INPUTS], &mut rng("router"));
    for experts in EXPERTS {
        let mut time = |name: &str, gates: &dyn GateSet| {
            bench_gates(
                &mut group,
                &format!("{name}-B{ROWS}-D{INPUTS}-N{experts}-K{K}"),
                gates,
                &x,
            );
        };
        for entry in Registry::standard().entries() {
            let id = &entry.info().id;
            time(id, &*gates(id, experts, 1, &[]));
        }
        let mut saturated = gates("comet", experts, 1, &[]);
        saturate(|f| saturated.visit_mut(f));
        time("comet-saturated", &*saturated);
        time("softmax-of-comet-logits", &*gates("softmax", K * (2 * experts - 1), 1, &[]));
    }
    group.finish();
}

fn bench_gates(
    group: &mut criterion::BenchmarkGroup<'_, WallTime>,
    name: &str,
    gates: &dyn GateSet,
    x: &Tensor,
) {
    let row_ids: Vec<u64> = (0..ROWS as u64).collect();
    let groups: Vec<u32> = (0..ROWS as u32).collect();
    let (row_ids, keys, groups) = (&row_ids[..], &row_ids[..], Some(&groups[..]));
    let pass = Pass {
        mode: Mode::Train,
        seed: 1,
        step: 0,
        epoch: 0,
        row_ids,
        keys,
        groups,
        batch_rows: None,
        experts: None,
    };
    bench_operator(group, name, [ROWS as u64; 2], std::slice::from_ref(x), |v| {
        let routing = gates.route(&pass, v[0]).remove(0);
        total_loss(routing.weights.sum(), &routing.aux_losses)
    });
}
