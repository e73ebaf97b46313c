//! Limits the number of rows of an expert.

use moe_core::dispatch::Assignments;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Pass, Real, Tensor, named_state};

use crate::gate_set::{GateSet, GatesOfParts, TrainingLength};
use crate::observed::Observed;
use crate::parts::PartsOfGates;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::option_reader::OptionReader;
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::{Routing, Routings};
use crate::wrap::serve::{Offers, ServeOrder};

/// Settings of a [`Capacity`]: how many rows an expert takes, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapacityOptions {
    /// Capacity in training as a multiple of a balanced load; 0 for no limit. See [`expert_capacity`].
    pub factor: f64,
    /// Capacity outside training, likewise. With 0, rows are routed independently of each other.
    pub inference_factor: f64,
    /// Order in which rows are served.
    pub order: ServeOrder,
    /// Whether the remaining weights of a row are divided by their sum.
    pub renormalise: bool,
}

/// No limit.
impl Default for CapacityOptions {
    fn default() -> Self {
        let order = ServeOrder::Position;
        CapacityOptions { factor: 0.0, inference_factor: 0.0, order, renormalise: false }
    }
}

impl CapacityOptions {
    /// Reads the parameters `capacity-factor`, `inference-capacity-factor`, `drop` and `renormalise`.
    pub(crate) fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = CapacityOptions::default();
        let factors = 0.0..=1e6;
        CapacityOptions {
            factor: options.double(
                "capacity-factor",
                defaults.factor,
                factors.clone(),
                "largest load of an expert in training, as a multiple of a balanced load; 0: no limit",
            ),
            inference_factor: options.double(
                "inference-capacity-factor",
                defaults.inference_factor,
                factors,
                "largest load of an expert outside training, as a multiple of a balanced load; 0: no limit",
            ),
            order: options.choice(
                "drop",
                defaults.order,
                "rows dropped beyond the capacity: the last of the batch, or those whose largest weight is smallest",
            ),
            renormalise: options.bool(
                "renormalise",
                defaults.renormalise,
                "with a capacity, divide a row's weights by their sum over the experts that took it",
            ),
        }
    }

    /// Wraps the gates in a [`Capacity`] with these options, or returns them as they are if there is no limit.
    pub fn limit(self, gates: Box<dyn GateSet>) -> Box<dyn GateSet> {
        if self.factor > 0.0 || self.inference_factor > 0.0 {
            Box::new(Capacity { gates, options: self })
        } else {
            gates
        }
    }
}

/// C = ⌈factor · pairs / N⌉, but at least 1: the number of rows of a batch that each of N experts takes. With K experts
/// for each of B rows there are B K pairs.
pub fn expert_capacity(factor: f64, pairs: usize, experts: usize) -> usize {
    ((factor * pairs as f64 / experts as f64).ceil() as usize).max(1)
}

/// Gates whose experts take no more rows of a batch than their capacity. Each gate is limited by itself.
///
/// Experts are filled with the first choices of all rows, then with all second choices, and so on (Lepikhin and others,
/// GShard, 2021, algorithm 1; Riquelme and others, V-MoE, 2021, algorithm 1). The first choice of a row is the expert
/// with the largest weight; of equal weights, the expert with the smaller index. A pair whose expert is full is removed
/// from the routing: the expert is not computed for that row. A row may lose all its experts, and its mixture is then
/// 0. The fraction of pairs removed is reported as `dropped`.
///
/// Auxiliary losses are those of the routing before the limit, as in both papers; [`Observed`] is that of the remaining
/// pairs. Which experts a row keeps depends on the other rows of its batch. Outside training there is no limit unless
/// [`CapacityOptions::inference_factor`] sets one; the papers keep one.
///
/// Of gates that are sums of parts, the sums are limited: a permutation of the parts comes before the limit.
pub struct Capacity {
    gates: Box<dyn GateSet>,
    options: CapacityOptions,
}

impl GateSet for Capacity {
    fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    fn num_experts(&self) -> usize {
        self.gates.num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        self.limited(pass, self.gates.route(pass, x))
    }

    fn as_parts(&self) -> Option<&dyn GatesOfParts> {
        self.gates.as_parts()?;
        Some(self)
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.gates.walk_trees(x)
    }

    fn properties(&self) -> Vec<Properties> {
        let limited = |properties: Properties| Properties {
            row_wise: false,
            cardinality: match properties.cardinality {
                Cardinality::Exactly(k) => Cardinality::AtMost(k),
                other => other,
            },
            total_weight: match properties.total_weight {
                TotalWeight::One => TotalWeight::AtMostOne,
                other => other,
            },
            ..properties
        };
        self.gates.properties().into_iter().map(limited).collect()
    }

    named_state!(flat gates);

    fn begin_training(&mut self, length: TrainingLength) {
        self.gates.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        self.gates.after_step(observed);
    }
}

impl Capacity {
    fn limited<'t>(&self, pass: &Pass<'_>, routings: Routings<'t>) -> Routings<'t> {
        let CapacityOptions { factor, inference_factor, order, renormalise } = self.options;
        let factor = if pass.is_training() { factor } else { inference_factor };
        if factor <= 0.0 {
            return routings;
        }
        let limit = |routing: Routing<'t>| {
            let capacity = expert_capacity(factor, routing.assignments.pairs(), self.num_experts());
            limit_rows(routing, capacity, order, renormalise)
        };
        routings.into_iter().map(limit).collect()
    }

    fn parts(&self) -> &dyn GatesOfParts {
        self.gates.as_parts().expect("the limited gates are sums of parts")
    }
}

impl GatesOfParts for Capacity {
    fn route_parts<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> PartsOfGates<'t> {
        self.parts().route_parts(pass, x)
    }

    fn finish<'t>(&self, pass: &Pass<'_>, sums: Routings<'t>) -> Routings<'t> {
        self.limited(pass, self.parts().finish(pass, sums))
    }
}

impl std::fmt::Debug for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates with {:?}", self.num_gates(), self.options)
    }
}

/// Removes the pairs whose expert already has `capacity` rows; see [`Capacity`]. A row whose weights sum to less than
/// 1e-30 is not renormalised.
pub fn limit_rows<'t>(
    routing: Routing<'t>,
    capacity: usize,
    order: ServeOrder,
    renormalise: bool,
) -> Routing<'t> {
    let (all, weights) = (routing.assignments.pairs(), routing.weights.value());
    let offers = Offers {
        offsets: routing.assignments.offsets(),
        experts: routing.assignments.experts(),
        weights: weights.as_slice(),
        num_experts: routing.assignments.num_experts(),
    };
    let mut pairs = Buffer::unspecified(all);
    let mut memory = Buffer::unspecified(offers.memory());
    let count = offers.serve(capacity, order, &mut memory, &mut pairs);
    pairs.truncate(count);
    let dropped = (all - pairs.len()) as f64 / all.max(1) as f64;
    let mut routing = routing;
    if dropped > 0.0 || renormalise {
        let assignments = kept(&routing.assignments, &pairs);
        let kept = KeptWeights { pairs, assignments: assignments.clone(), renormalise };
        let weights = routing.weights.tape().apply(kept, &[routing.weights]);
        routing.redirect(Routing::new(assignments, weights));
    }
    routing.with_telemetry("dropped", dropped)
}

/// The assignments reduced to the given pairs.
fn kept(assignments: &Assignments, pairs: &[u32]) -> Assignments {
    let mut experts = Buffer::unspecified(pairs.len());
    for (expert, &pair) in experts.iter_mut().zip(pairs) {
        *expert = assignments.experts()[pair as usize];
    }
    let mut offsets = Buffer::filled(assignments.rows() + 1, 0);
    let mut count = 0;
    for row in 0..assignments.rows() {
        let end = assignments.pairs_of(row).end;
        count += pairs[count..].iter().take_while(|&&pair| (pair as usize) < end).count();
        offsets[row + 1] = count as u32;
    }
    let kept = Assignments::from_buffers(assignments.num_experts(), offsets, experts);
    kept.expect("pairs of assignments are in order")
}

/// The weights of the given pairs, optionally divided by their sum in each row.
struct KeptWeights {
    /// The pairs, ascending.
    pairs: Buffer<u32>,
    /// The assignments reduced to these pairs.
    assignments: Assignments,
    renormalise: bool,
}

/// Weights with a smaller sum are not renormalised.
const SMALLEST_SUM: Real = 1e-30;

/// Divides the weights of a row by their sum.
fn divide_by_sum(weights: &mut [Real]) {
    let sum: Real = weights.iter().sum();
    if sum >= SMALLEST_SUM {
        weights.iter_mut().for_each(|w| *w /= sum);
    }
}

impl Operator for KeptWeights {
    fn name(&self) -> &'static str {
        "kept_weights"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let all = inputs[0].as_slice();
        let mut weights = Tensor::from_fn([self.pairs.len()], |i| all[self.pairs[i] as usize]);
        if self.renormalise {
            let values = weights.as_mut_slice();
            for row in 0..self.assignments.rows() {
                divide_by_sum(&mut values[self.assignments.pairs_of(row)]);
            }
        }
        weights
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (all, cotangent) = (at.inputs[0].as_slice(), at.cotangent.as_slice());
        let mut dx = Tensor::zeros(*at.inputs[0].shape());
        let values = dx.as_mut_slice();
        for row in 0..self.assignments.rows() {
            let kept = || self.assignments.pairs_of(row);
            let sum: Real = kept().map(|i| all[self.pairs[i] as usize]).sum();
            let (mut mean, mut scale) = (0.0, 1.0);
            if self.renormalise && sum >= SMALLEST_SUM {
                mean = kept().map(|i| at.output.as_slice()[i] * cotangent[i]).sum();
                scale = 1.0 / sum;
            }
            for i in kept() {
                values[self.pairs[i] as usize] = (cotangent[i] - mean) * scale;
            }
        }
        gradients.add(0, dx);
    }
}
