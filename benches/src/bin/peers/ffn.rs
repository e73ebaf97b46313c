//! A mixture of the feed-forward parts of a transformer: forward and backward.

use std::hint::black_box;

use benches::data::{rng, uniform};
use moe_core::random::chacha;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Tensor};
use moe_nn::{ExpertBank, MlpOptions, MoeLayer};
use moe_routers::{GateSpec, Gates, TopK};
use serde_json::json;

use crate::limits;
use crate::report::{Report, rounded, time_fields, with};
use crate::timing::{Case, Rounds};

/// B.
const ROWS: usize = 2048;
/// D and O.
const WIDTH: usize = 256;
const HIDDEN: usize = 1024;

/// A layer, its input and the gradient of its output.
struct Layer {
    layer: MoeLayer,
    tape: Tape,
    x: Tensor,
    cotangent: Tensor,
    rows: Vec<u64>,
}

impl Layer {
    fn new(experts: usize, k: usize) -> Self {
        let spec = GateSpec { inputs: WIDTH, experts, k, seed: 1, gate: 0 };
        let gates = Gates::new(vec![Box::new(TopK::new(&spec, 0.0))]);
        let options = MlpOptions { hidden: vec![HIDDEN], ..MlpOptions::default() };
        let bank =
            ExpertBank::new(experts, WIDTH, WIDTH, &options, &mut chacha(1, "init.experts", 0));
        let mut rng = rng("peers.ffn");
        Layer {
            layer: MoeLayer::new(Box::new(gates), Box::new(bank)),
            tape: Tape::new(),
            x: uniform([ROWS, WIDTH], &mut rng),
            cotangent: uniform([ROWS, WIDTH], &mut rng),
            rows: (0..ROWS as u64).collect(),
        }
    }

    fn run(&mut self) {
        let (row_ids, keys) = (&self.rows[..], &self.rows[..]);
        let mode = Mode::Train;
        let pass = Pass { mode, seed: 1, step: 0, epoch: 0, row_ids, keys, experts: None };
        let (outputs, routings) = self.layer.forward(&pass, self.tape.variable(self.x.clone()));
        black_box(self.tape.backward_from(outputs[0], self.cotangent.clone()));
        drop(routings);
        self.tape.clear();
    }
}

/// Operations of the experts' products, forward and backward.
fn flops(k: usize) -> f64 {
    (3 * 2 * 2 * ROWS * k * WIDTH * HIDDEN) as f64
}

/// The layer with each number of experts, K = 2, in turns with what the machine can do, then with each K.
pub(crate) fn layers(report: &Report, rounds: Rounds, experts: &[usize]) {
    let most = experts.iter().map(|&experts| (experts, 2));
    let of_16 = [(16, 1), (16, 4), (16, 8)];
    let shapes: Vec<_> = most.chain(of_16).collect();
    let mut layers: Vec<_> = shapes.iter().map(|&(n, k)| Layer::new(n, k)).collect();
    let mut cases: Vec<Case<'_>> = vec![Box::new(limits::multiply_adds)];
    cases.extend(layers.iter_mut().map(|layer| -> Case<'_> { Box::new(|| layer.run()) }));
    let times = rounds.time(&mut cases);
    let peak = report.threads as f64 * limits::flops() / times[0].median;
    for ((experts, k), times) in shapes.into_iter().zip(&times[1..]) {
        let fields = json!({
            "tokens": ROWS, "dim": WIDTH, "hidden": HIDDEN, "experts": experts, "k": k, "variant": "sparse",
            "useful_gflops": rounded(flops(k) / times.median / 1e6),
        });
        report.line("ffn", with(fields, time_fields(*times, flops(k), peak)));
    }
}
