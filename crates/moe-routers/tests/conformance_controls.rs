//! The conformance kit finds what is wrong: for each check there is a router that fails it and no other.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::DOUBLE;
use moe_core::dispatch::Assignments;
use moe_core::random::{chacha, uniform, unit};
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_routers::conformance::{CHECKS, Options, Report, check_gates, check_router};
use moe_routers::{
    AuxLoss, Cardinality, DSelectK, DSelectKOptions, GateLinear, GateSpec, GradientKind, Parts,
    Properties, RouteContext, Router, Routing, SumOfParts, TotalWeight,
};

/// What is wrong with a router; the name of the check that must find it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Shape,
    Cardinality,
    TotalWeight,
    NoZeros,
    VisitsAgree,
    StateIsWhole,
    Repeatable,
    Threads,
    RowWise,
    Draws,
    InferDrawsNothing,
    GroupsAreNotRead,
    RecordingDoesNotShow,
    WeightGradients,
    LossGradients,
    GradientsReach,
    LargeLogits,
    EmptyBatch,
    OneExpert,
    OddExperts,
}

const FAULTS: [(&str, Fault); 20] = [
    ("shape", Fault::Shape),
    ("cardinality", Fault::Cardinality),
    ("total_weight", Fault::TotalWeight),
    ("no_zeros", Fault::NoZeros),
    ("visits_agree", Fault::VisitsAgree),
    ("state_is_whole", Fault::StateIsWhole),
    ("repeatable", Fault::Repeatable),
    ("threads", Fault::Threads),
    ("row_wise", Fault::RowWise),
    ("draws", Fault::Draws),
    ("infer_draws_nothing", Fault::InferDrawsNothing),
    ("groups_are_not_read", Fault::GroupsAreNotRead),
    ("recording_does_not_show", Fault::RecordingDoesNotShow),
    ("weight_gradients", Fault::WeightGradients),
    ("loss_gradients", Fault::LossGradients),
    ("gradients_reach", Fault::GradientsReach),
    ("large_logits", Fault::LargeLogits),
    ("empty_batch", Fault::EmptyBatch),
    ("one_expert", Fault::OneExpert),
    ("odd_experts", Fault::OddExperts),
];

/// A softmax over all experts with noise in training and the mean of the squared inputs as a loss: correct except for its
/// fault.
struct Suspect {
    gate: GateLinear,
    idle: Parameter,
    hidden: Tensor,
    fault: Fault,
}

impl Suspect {
    fn new(spec: &GateSpec, fault: Fault) -> Self {
        static BUILT: AtomicU64 = AtomicU64::new(0);
        let seed = match fault {
            Fault::Repeatable => BUILT.fetch_add(1, Ordering::Relaxed),
            _ => spec.seed,
        };
        let hidden = uniform([spec.experts], 1.0, &mut chacha(seed, "hidden", 0));
        Suspect {
            gate: GateLinear::new(&GateSpec { seed, ..*spec }),
            idle: Parameter::new(Tensor::zeros([2])),
            hidden,
            fault,
        }
    }

    /// Whether the fault shows with this number of experts; [`Fault::OneExpert`] and [`Fault::OddExperts`] show with
    /// theirs alone, all others elsewhere.
    fn has(&self, fault: Fault, rows: usize) -> bool {
        let n = self.num_experts();
        let here = match fault {
            Fault::OneExpert => n == 1,
            Fault::OddExperts => !n.is_power_of_two(),
            Fault::EmptyBatch => rows == 0,
            _ => n > 1 && n.is_power_of_two() && rows > 0,
        };
        self.fault == fault && here
    }

    /// Noise for each row and expert.
    fn noise(&self, cx: &RouteContext<'_>, rows: usize) -> Tensor {
        let n = self.num_experts();
        // Not that of the gate, which a router does not know in `infer`.
        let philox = cx.pass.philox("noise");
        Tensor::from_fn([rows, n], |i| {
            let id = if self.has(Fault::Draws, rows) { 0 } else { cx.pass.row_ids[i / n] };
            0.1 * unit(philox.row_block(id, (i % n) as u32, 0)[0])
        })
    }

    fn logits<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Var<'t> {
        let (tape, rows) = (x.tape(), x.shape()[0]);
        let mut logits = self.gate.logits(x);
        if cx.pass.is_training() || self.has(Fault::InferDrawsNothing, rows) {
            logits = logits + tape.constant(self.noise(cx, rows));
        }
        if self.has(Fault::StateIsWhole, rows) {
            logits = logits + tape.constant(self.hidden.clone());
        }
        if self.has(Fault::RowWise, rows) {
            let n = self.num_experts();
            let place = Tensor::from_fn([rows, n], |i| if i == n { 0.1 } else { 0.0 });
            logits = logits + tape.constant(place);
        }
        if self.has(Fault::GroupsAreNotRead, rows) {
            let (n, groups) = (self.num_experts(), cx.pass.groups.expect("the kit has groups"));
            let of_group = |i: usize| if groups[i / n] as usize % n == i % n { 0.1 } else { 0.0 };
            logits = logits + tape.constant(Tensor::from_fn([rows, n], of_group));
        }
        if self.has(Fault::Threads, rows) {
            let n = self.num_experts();
            let threads = rayon::current_num_threads() as Real;
            let first = Tensor::from_fn([rows, n], |i| if i % n == 0 { threads } else { 0.0 });
            logits = logits + tape.constant(first);
        }
        logits
    }

    fn is_any(&self) -> bool {
        matches!(self.fault, Fault::NoZeros)
    }
}

/// The identity with a gradient that is one per mille too large.
struct WrongGradient;

impl Operator for WrongGradient {
    fn name(&self) -> &'static str {
        "wrong-gradient"
    }
    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        inputs[0].clone()
    }
    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, at.cotangent.map(|v| 1.001 * v));
    }
}

impl Router for Suspect {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let (tape, rows, n) = (x.tape(), x.shape()[0], self.num_experts());
        let has = |fault| self.has(fault, rows);
        let logits = self.logits(cx, x);
        let assignments = match has(Fault::Cardinality) {
            true => Assignments::from_rows(n, (0..rows).map(|_| (1..n as u32).collect::<Vec<_>>())),
            false => Assignments::dense(rows, n),
        };
        let mut weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        if has(Fault::WeightGradients) {
            weights = tape.apply(WrongGradient, &[weights]);
        }
        if has(Fault::RecordingDoesNotShow) && tape.is_recording() && !cx.pass.is_training() {
            weights = weights.scale(1.0 + 2.0 * Real::EPSILON);
        }
        if has(Fault::TotalWeight) || has(Fault::OneExpert) || has(Fault::OddExperts) {
            weights = weights.scale(0.99);
        }
        if has(Fault::NoZeros) {
            let mask = Tensor::from_fn([rows * n], |i| if i % n == 1 { 0.0 } else { 1.0 });
            weights = weights * tape.constant(mask);
        }
        let mut routing = Routing::new(assignments, weights);
        if has(Fault::Shape) {
            routing.observed.load.iter_mut().for_each(|load| *load += 1);
        }
        let squares = (x * x).sum();
        let mut value = squares.scale(match self.fault {
            Fault::EmptyBatch => 1.0 / rows as Real,
            _ => 1.0 / rows.max(1) as Real,
        });
        if has(Fault::LossGradients) {
            value = tape.apply(WrongGradient, &[value]);
        }
        if has(Fault::LargeLogits) && logits.value().as_slice().iter().any(|v| v.abs() > 1e3) {
            value = value.scale(Real::INFINITY);
        }
        if cx.pass.is_training() {
            // A gradient that is rounding is none.
            let factor = if has(Fault::GradientsReach) { Real::EPSILON } else { 1.0 };
            value = value + tape.parameter(&self.idle).sum().scale(factor);
        }
        routing.with_aux_loss(AuxLoss { name: "squares", value })
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: match self.is_any() {
                true => Cardinality::Any,
                false => Cardinality::Exactly(self.num_experts()),
            },
            total_weight: match self.is_any() {
                true => TotalWeight::AtMostOne,
                false => TotalWeight::One,
            },
            ..Properties::default()
        }
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(f);
        f("idle", StateRef::Parameter(&self.idle));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        if self.fault == Fault::VisitsAgree {
            f("idle", StateMut::Parameter(&mut self.idle));
            self.gate.visit_mut(f);
        } else {
            self.gate.visit_mut(f);
            f("idle", StateMut::Parameter(&mut self.idle));
        }
    }
}

fn report(fault: Fault) -> Report {
    check_router(|spec| Suspect::new(spec, fault), &Options::default())
}

#[test]
fn without_a_fault_everything_passes() {
    let report = report(Fault::None);
    assert!(report.is_ok(), "{report}");
    let skipped = report.skipped();
    let differences = ["weight_gradients", "loss_gradients"];
    let expected =
        if DOUBLE { vec!["no_zeros"] } else { [vec!["no_zeros"], differences.to_vec()].concat() };
    assert_eq!(skipped, expected, "{report}");
    assert_eq!(report.passed().len() + skipped.len(), CHECKS.len());
}

#[test]
fn each_fault_fails_its_own_check_and_no_other() {
    for (check, (name, fault)) in CHECKS.iter().zip(FAULTS) {
        assert_eq!(check.name, name, "a fault for every check, in the same order");
        let report = report(fault);
        let is_gradient = ["weight_gradients", "loss_gradients"].contains(&name);
        let expected = if is_gradient && !DOUBLE { vec![] } else { vec![name] };
        assert_eq!(report.failed(), expected, "{fault:?}\n{report}");
    }
}

#[test]
fn a_failure_says_where_and_what() {
    let text = report(Fault::TotalWeight).to_string();
    let line = text.lines().find(|line| line.starts_with("FAILED")).unwrap();
    let expected = "FAILED  total_weight: B = 6, D = 3, N = 4, seed 1, training, gate 0: row 0: the sum of weights is \
                    declared to be 1, found 0.9";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn a_check_can_be_left_out_and_a_parameter_excused() {
    let why = "half of the weight is kept back";
    let options = Options::default().without("total_weight", why);
    let report = check_router(|spec| Suspect::new(spec, Fault::TotalWeight), &options);
    assert!(report.is_ok(), "{report}");
    assert!(report.to_string().contains(&format!("skipped total_weight: {why}")), "{report}");

    let options = Options::default().without_gradient("idle");
    let report = check_router(|spec| Suspect::new(spec, Fault::GradientsReach), &options);
    assert!(report.is_ok(), "{report}");
    // The end of a name, not of a word.
    let options = Options::default().without_gradient("dle");
    let report = check_router(|spec| Suspect::new(spec, Fault::GradientsReach), &options);
    assert_eq!(report.failed(), ["gradients_reach"], "{report}");
}

#[test]
#[should_panic(expected = "there is no check total_wait")]
fn only_checks_can_be_left_out() {
    let options = Options::default().without("total_wait", "a typing error");
    let _ = check_router(|spec| Suspect::new(spec, Fault::None), &options);
}

#[test]
fn a_refusal_is_a_failure_where_every_router_must_build() {
    let build = |spec: &GateSpec| -> Result<Box<dyn moe_routers::GateSet>, String> {
        if !spec.experts.is_power_of_two() || spec.experts == 1 {
            return Err(format!("{} experts are not supported", spec.experts));
        }
        let router: Box<dyn Router> = Box::new(Suspect::new(spec, Fault::None));
        Ok(Box::new(moe_routers::Gates::new(vec![router])))
    };
    let report = check_gates(&build, &Options::default());
    assert!(report.is_ok(), "{report}");
    for check in ["one_expert", "odd_experts"] {
        assert!(report.skipped().contains(&check), "{report}");
    }
    let report = check_gates(&|_| Err("never".into()), &Options::default());
    assert_eq!(report.passed(), [""; 0], "{report}");
    let finite_differences = if DOUBLE { 0 } else { 2 };
    assert_eq!(report.failed().len(), CHECKS.len() - 2 - finite_differences, "{report}");
    assert!(report.to_string().contains("it is refused: never"), "{report}");
}

/// Goes to expert 0 or 1 by the last bits of its input.
struct Restless {
    is_estimated: bool,
}

impl Router for Restless {
    fn num_experts(&self) -> usize {
        4
    }
    fn route<'t>(&self, _: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let values = x.value();
        let expert = |row: usize| {
            let bits = values.row(row).iter().map(|&v| f64::from(v).to_bits());
            let mixed =
                bits.fold(0u64, |hash, bits| (hash ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            (mixed >> 40) as u32 & 3
        };
        let assignments = Assignments::fixed(4, 1, (0..values.rows()).map(expert).collect());
        let ones = x.tape().constant(Tensor::full([assignments.pairs()], 1.0));
        Routing::new(assignments, ones)
    }
    fn properties(&self) -> Properties {
        let gradient = match self.is_estimated {
            true => GradientKind::Estimated,
            false => GradientKind::Exact,
        };
        Properties { gradient, ..Properties::default() }
    }
}

#[test]
fn where_every_step_flips_the_selection_nothing_is_claimed() {
    let build = |is_estimated| {
        let mut options = Options::default();
        options.sizes.truncate(1);
        options.wide.experts = 4;
        let options = options.without("one_expert", "four").without("odd_experts", "four");
        check_router(|_| Restless { is_estimated }, &options)
    };
    let report = build(false);
    assert_eq!(report.failed(), if DOUBLE { vec!["weight_gradients"] } else { vec![] }, "{report}");
    if DOUBLE {
        assert!(
            report.to_string().contains("expected the assignments to stay at half"),
            "{report}"
        );
    }
    let report = build(true);
    assert!(report.is_ok() && report.skipped().contains(&"weight_gradients"), "{report}");
    assert!(report.skipped().contains(&"gradients_reach"), "{report}");
}

/// DSelect-k whose parts are off by a digit.
struct OffParts(DSelectK);

impl Router for OffParts {
    fn num_experts(&self) -> usize {
        self.0.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        self.0.route(cx, x)
    }

    fn as_parts(&self) -> Option<&dyn SumOfParts> {
        Some(self)
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.0.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.0.visit_mut(f);
    }
}

impl SumOfParts for OffParts {
    fn route_parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Parts<'t> {
        let mut parts = self.0.route_parts(cx, x);
        parts.weights = parts.weights.scale(1.0 + 2.0 * Real::EPSILON);
        parts
    }
}

#[test]
fn parts_are_compared_to_the_bit() {
    let build = |spec: &GateSpec| OffParts(DSelectK::new(spec, DSelectKOptions::default()));
    let report = check_router(build, &Options::default());
    assert_eq!(report.failed(), ["recording_does_not_show"], "{report}");
    assert!(report.to_string().contains("as the sum of the parts"), "{report}");
}

#[test]
fn a_panic_is_a_failure_of_its_check() {
    struct Panics;
    impl Router for Panics {
        fn num_experts(&self) -> usize {
            4
        }
        fn route<'t>(&self, _: &RouteContext<'_>, _: Var<'t>) -> Routing<'t> {
            panic!("no routing today")
        }
    }
    let report = check_router(|_| Panics, &Options::default());
    assert!(
        report.to_string().contains("FAILED  shape: in a call of the router: no routing today")
    );
}
