//! A mixture of the feed-forward layers of a transformer: forward and backward.

use std::hint::black_box;

use benches::data::{rng, uniform};
use moe_core::dispatch::Assignments;
use moe_core::random::chacha;
use moe_core::tape::{Tape, Var};
use moe_core::{Mode, Pass, Real, Tensor};
use moe_nn::{ExpertBank, Forward, Layer as _, MlpOptions, MoeLayer, RoutingRecord};
use moe_routers::{GateSpec, Gates, RouteContext, Router, Routing, TopK};
use serde_json::json;

use crate::report::{Report, rounded, time_fields, with};
use crate::timing::{Case, Rounds};

/// Rows of a batch (B).
const ROWS: usize = 2048;
/// Width of inputs and outputs (D and O).
const WIDTH: usize = 256;
const HIDDEN: usize = 1024;

/// Number of experts (N) and experts per row (K) of a layer with a top-k gate, or with a gate that sends half of the rows
/// to the first expert.
#[derive(Clone, Copy)]
struct Shape {
    experts: usize,
    k: usize,
    is_skewed: bool,
}

impl Shape {
    fn gate(self) -> Box<dyn Router> {
        let Shape { experts, k, is_skewed } = self;
        if is_skewed {
            return Box::new(Skewed { experts, k });
        }
        let spec = GateSpec { inputs: WIDTH, experts, k, seed: 1, gate: 0 };
        Box::new(TopK::new(&spec, 0.0))
    }
}

/// Sends every second row to the first expert, and rows to the other experts in turn.
struct Skewed {
    experts: usize,
    k: usize,
}

impl Router for Skewed {
    fn num_experts(&self) -> usize {
        self.experts
    }

    fn route<'t>(&self, _: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let rows = (0..x.shape()[0]).map(|row| {
            let others = (0..).map(|i| 1 + (row * self.k + i) % (self.experts - 1));
            let first = (row % 2 == 0).then_some(0);
            let mut chosen: Vec<u32> =
                first.into_iter().chain(others).take(self.k).map(|expert| expert as u32).collect();
            chosen.sort_unstable();
            chosen
        });
        let assignments = Assignments::from_rows(self.experts, rows);
        let weights = Tensor::full([assignments.pairs()], 1.0 / self.k as Real);
        Routing::new(assignments, x.tape().constant(weights))
    }
}

/// A layer, its input and the gradient of its output.
struct Layer {
    layer: MoeLayer,
    tape: Tape,
    x: Tensor,
    cotangent: Tensor,
    rows: Vec<u64>,
}

impl Layer {
    fn new(shape: Shape) -> Self {
        let (gates, experts) = (Gates::new(vec![shape.gate()]), shape.experts);
        let options = MlpOptions { hidden: vec![HIDDEN], ..MlpOptions::default() };
        let bank =
            ExpertBank::new(experts, WIDTH, WIDTH, &options, &mut chacha(1, "init.experts", 0));
        let mut rng = rng("peers.ffn");
        Layer {
            layer: MoeLayer::new("layer", Box::new(gates), Box::new(bank)),
            tape: Tape::new(),
            x: uniform([ROWS, WIDTH], &mut rng),
            cotangent: uniform([ROWS, WIDTH], &mut rng),
            rows: (0..ROWS as u64).collect(),
        }
    }

    fn run(&mut self) {
        let (row_ids, keys) = (&self.rows[..], &self.rows[..]);
        let mode = Mode::Train;
        let pass = Pass {
            mode,
            seed: 1,
            step: 0,
            epoch: 0,
            row_ids,
            keys,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let routings = RoutingRecord::default();
        let pass = Forward::new(pass, &routings);
        let output = self.layer.forward(&pass, self.tape.variable(self.x.clone()));
        black_box(self.tape.backward_from(output, self.cotangent.clone()));
        drop(routings);
        self.tape.clear();
    }
}

/// Floating-point operations of the experts' products, forward and backward.
fn flops(k: usize) -> f64 {
    (3 * 2 * 2 * ROWS * k * WIDTH * HIDDEN) as f64
}

/// Measures the layer with each number of experts at K = 2, then with other K, then with an unequal load.
pub(crate) fn layers(report: &Report, rounds: Rounds, experts: &[usize]) {
    let shape = |experts, k| Shape { experts, k, is_skewed: false };
    let mut shapes: Vec<_> = experts.iter().map(|&experts| shape(experts, 2)).collect();
    shapes.extend([1, 4, 8].map(|k| shape(16, k)));
    shapes.push(Shape { is_skewed: true, ..shape(16, 2) });
    let mut layers: Vec<_> = shapes.iter().map(|&shape| Layer::new(shape)).collect();
    let cases = layers.iter_mut().zip(&shapes);
    let cases = cases.map(|(layer, shape)| Case::new(flops(shape.k), || layer.run()));
    let times = rounds.time(&mut cases.collect::<Vec<_>>());
    for (Shape { experts, k, is_skewed }, times) in shapes.into_iter().zip(times) {
        let fields = json!({
            "tokens": ROWS, "dim": WIDTH, "hidden": HIDDEN, "experts": experts, "k": k,
            "variant": if is_skewed { "sparse, half of the rows to one expert" } else { "sparse" },
            "useful_gflops": rounded(flops(k) / times.median / 1e6),
        });
        report.line("ffn", with(fields, time_fields(times)));
    }
}
