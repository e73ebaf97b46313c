//! Routing at inference does not allocate once its memory has grown: every router with a search, rounded and folded.

#[path = "../../moe-routers/tests/common/counting.rs"]
mod counting;

use std::collections::BTreeMap;

use counting::allocations;
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_routers::{GateSet, GateSpec, Registry, Relabelled, Share, Value};
use moe_search::with_search;

const D: usize = 24;
/// So few that no product is worth several threads: those that are still starting allocate.
const N: usize = 9;
const K: usize = 2;

fn main() {
    let registry = with_search(Registry::standard());
    let spec = GateSpec { inputs: D, experts: N, k: K, seed: 1, gate: 0 };
    for entry in registry.entries() {
        let id = &entry.info().id;
        for share in [Share::All, Share::Gate, Share::Part(K)] {
            let (gates, kind) = if id.ends_with('+') {
                let word = match share {
                    Share::All => "all",
                    Share::Gate => "gate",
                    Share::Part(_) => "part",
                };
                let share = Value::Text(word.into());
                let given = BTreeMap::from([("search-share".to_string(), share)]);
                (entry.build(&spec, 2, &given).unwrap(), "searched")
            } else {
                let gates = entry.build(&spec, 2, &BTreeMap::new()).unwrap();
                let labels = (0..share.count(2)).map(|m| permutation(N, 7, "tests", m as u64));
                let relabelled: Box<dyn GateSet> =
                    Box::new(Relabelled::new(gates, share, labels.collect()));
                (relabelled, "relabelled")
            };
            for rows in [1, 64] {
                let found = allocations(&*gates, Tape::inference(), D, rows);
                assert_eq!(found, 0, "{id}, {kind}, {share:?}, {rows} rows");
            }
        }
    }
    // What a tape records is seen.
    let top_k = registry.get("top-k").unwrap().build(&spec, 2, &BTreeMap::new()).unwrap();
    let labels = vec![permutation(N, 7, "tests", 0)];
    let relabelled = Relabelled::new(top_k, Share::All, labels);
    assert!(allocations(&relabelled, Tape::new(), D, 1) >= 10);
}
