//! Every operator's backward rule against central differences, under random cotangents and over random shapes.

mod common;

use std::sync::Arc;

use common::{MOST_AXES, any_shape, assignments, cases, check, inputs, rng, row_ids, spread};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::rand::Rng;
use moe_core::random::{DrawRows, DropoutDraws, Philox};
use moe_core::tape::{Backward, Gradient, InputGradients, Operator, Tape, Var};
use moe_core::testing::{GradientMismatch, gradcheck};
use moe_core::{Parameter, Real, Shape, Tensor};
use proptest::prelude::*;

/// Two shapes that broadcast: axes of one common shape, some set to 1, leading ones left out.
fn broadcasting_pair() -> impl Strategy<Value = (Shape, Shape)> {
    let operand = || (prop::collection::vec(any::<bool>(), MOST_AXES), 0..=MOST_AXES);
    let lengths = prop_oneof![1 => Just(0usize), 9 => 1usize..4];
    let common = prop::collection::vec(lengths, 0..=MOST_AXES);
    (common, operand(), operand()).prop_map(|(dims, a, b)| {
        let shape = |(ones, left_out): (Vec<bool>, usize)| {
            let axes = dims.iter().zip(ones).map(|(&n, one)| if one { 1 } else { n });
            Shape::new(&axes.skip(left_out).collect::<Vec<_>>())
        };
        (shape(a), shape(b))
    })
}

/// Rows and experts of a routing, and a seed for the rest.
fn routing_sizes() -> impl Strategy<Value = (usize, usize, u64)> {
    (0usize..7, 1usize..5, any::<u64>())
}

/// Two gates over the same rows and experts, and their plan.
fn two_gates(rows: usize, experts: usize, seed: u64) -> ([Assignments; 2], Arc<ExpertPlan>) {
    let mut rng = rng(seed, 1);
    let gates = [(); 2].map(|()| assignments(rows, experts, &mut rng));
    let plan = Arc::new(ExpertPlan::new(&[&gates[0], &gates[1]]));
    (gates, plan)
}

/// Two ways to one output have the same values, and gradients that are equal as numbers.
fn same(
    inputs: &[Tensor],
    one: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
    other: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
) {
    let tape = Tape::new();
    let leaves: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let [one, other] = [one(&leaves), other(&leaves)];
    assert_eq!(one.value(), other.value());
    let cotangent = Tensor::from_fn(one.shape(), |i| (i % 7) as Real - 3.0);
    let [one, other] = [one, other].map(|y| tape.backward_from(y, cotangent.clone()));
    for leaf in leaves {
        assert_eq!(one.wrt(leaf), other.wrt(leaf));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn arithmetic_with_broadcasting((a, b) in broadcasting_pair(), seed: u64) {
        let inputs = inputs(seed, [a, b]);
        check(|_, v| v[0] + v[1], &inputs);
        check(|_, v| v[0] * v[1], &inputs);
        check(|_, v| v[0] - v[1], &inputs);
        check(|_, v| -v[0], &inputs);
        let [a, b] = &inputs;
        check(|_, v| v[0] / v[1], &[a.clone(), b.map(|v| v.abs() + 0.5)]);
    }

    #[test]
    fn matmul_in_all_transposes(
        m in 0usize..5, k in 0usize..5, n in 0usize..5, seed: u64, turn_a: bool, turn_b: bool,
    ) {
        let a = if turn_a { [k, m] } else { [m, k] };
        let b = if turn_b { [n, k] } else { [k, n] };
        check(|_, v| v[0].matmul_with(v[1], turn_a, turn_b), &inputs(seed, [a.into(), b.into()]));
    }

    #[test]
    fn csr_softmax((rows, experts, seed) in routing_sizes()) {
        let ([gate, _], _) = two_gates(rows, experts, seed);
        check(|_, v| v[0].csr_softmax(&gate), &inputs(seed, [[gate.pairs()].into()]));
    }

    #[test]
    fn gather_assigned((rows, experts, seed) in routing_sizes()) {
        let ([gate, _], _) = two_gates(rows, experts, seed);
        check(|_, v| v[0].gather_assigned(&gate), &inputs(seed, [[rows, experts].into()]));
    }

    #[test]
    fn gather_slots((rows, experts, seed) in routing_sizes(), width in 1usize..4) {
        let (_, plan) = two_gates(rows, experts, seed);
        check(|_, v| v[0].gather_slots(&plan), &inputs(seed, [[rows, width].into()]));
    }

    #[test]
    fn grouped_linear((rows, experts, seed) in routing_sizes(), d in 1usize..4, o in 1usize..4) {
        let (_, plan) = two_gates(rows, experts, seed);
        let shapes = [[plan.slots(), d].into(), [experts, d, o].into(), [experts, o].into()];
        check(|_, v| v[0].grouped_linear(v[1], v[2], &plan), &inputs(seed, shapes));
        // Biases far from 0, so that differences do not step over the kink.
        let [x, w, b] = inputs(seed, shapes);
        let b = b.map(|v| v + 20.0 * v.signum());
        check(|_, v| v[0].grouped_linear_relu(v[1], v[2], &plan, None), &[x, w, b]);
    }

    #[test]
    fn combine((rows, experts, seed) in routing_sizes(), o in 1usize..4) {
        let (gates, plan) = two_gates(rows, experts, seed);
        for (g, gate) in gates.iter().enumerate() {
            let shapes = [[plan.slots(), o].into(), [gate.pairs()].into()];
            check(|_, v| v[0].combine(v[1], gate, &plan, g), &inputs(seed, shapes));
        }
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn element_wise_operators_and_sums(shape in any_shape(), seed: u64) {
        let inputs = inputs(seed, [shape]);
        check(|_, v| v[0].relu(), &inputs);
        check(|_, v| v[0].sigmoid(), &inputs);
        check(|_, v| v[0].softplus(), &inputs);
        check(|_, v| v[0].tanh(), &inputs);
        check(|_, v| v[0].exp(), &inputs);
        check(|_, v| v[0].abs(), &inputs);
        // Inputs keep away from 0 by 0.05, and so from the bound.
        check(|_, v| v[0].clamp(-0.02, 10.0), &inputs);
        for power in [0, 1, 2, 3] {
            check(move |_, v| v[0].powi(power), &inputs);
        }
        let positive = inputs.each_ref().map(|x| x.map(|v| v.abs() + 0.5));
        check(|_, v| v[0].ln(), &positive);
        check(|_, v| v[0].sqrt(), &positive);
        check(|_, v| v[0].powi(-2), &positive);
        check(|_, v| v[0].softmax(), &inputs);
        check(|_, v| v[0].scale(-1.75), &inputs);
        check(|_, v| v[0].sum(), &inputs);
        check(|_, v| v[0].mean(), &inputs);
    }

    #[test]
    fn linear(rows in 0usize..6, d in 1usize..5, o in 1usize..5, seed: u64) {
        let inputs = inputs(seed, [[rows, d].into(), [d, o].into(), [o].into()]);
        check(|_, v| v[0].linear(v[1], v[2]), &inputs);
    }

    #[test]
    fn gather_rows_with_repeated_ids(
        ids in prop::collection::vec(0u32..5, 0..8), width in 1usize..4, seed: u64,
    ) {
        check(|_, v| v[0].gather_rows(&ids), &inputs(seed, [[5, width].into()]));
        // The same gradient of a parameter is sparse: the rows named, each once.
        let [table] = inputs(seed, [[5, width].into()]);
        let tape = Tape::new();
        let parameter = Parameter::new(table);
        let out = tape.parameter(&parameter).gather_rows(&ids);
        let gradients = tape.backward_from(out, spread(out.shape(), &mut rng(seed, 1)));
        let Some(Gradient::Rows(gradient)) = gradients.get(&parameter) else {
            panic!("the gradient of a table is sparse");
        };
        let mut named = ids.clone();
        named.sort_unstable();
        named.dedup();
        prop_assert_eq!(gradient.rows(), named);
    }

    #[test]
    fn concat(widths in prop::collection::vec(0usize..4, 1..4), rows in 0usize..5, seed: u64) {
        let mut rng = rng(seed, 0);
        let inputs: Vec<_> = widths.iter().map(|&width| spread([rows, width], &mut rng)).collect();
        check(|tape, v| tape.concat(v), &inputs);
    }

    #[test]
    fn dropout_with_and_without_experts(rows in 0usize..6, width in 1usize..8, seed: u64) {
        let ids = row_ids(rows);
        let experts: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        let philox = Philox::new(seed, "dropout", 1);
        for experts in [None, Some(experts.as_slice())] {
            let drawn = DrawRows { row_ids: &ids, experts };
            check(|_, v| v[0].dropout(0.4, philox, drawn), &inputs(seed, [[rows, width].into()]));
        }
    }

    /// The bits of the three operators one after the other, and a gradient to match. Inputs are far from the kink.
    #[test]
    fn linear_relu_is_linear_then_relu_then_dropout(
        (rows, experts, seed) in routing_sizes(), d in 1usize..4, o in 1usize..20, drops: bool,
    ) {
        let (_, plan) = two_gates(rows, experts, seed);
        let ids = row_ids(plan.slots());
        let names = DrawRows { row_ids: &ids, experts: Some(plan.slot_experts()) };
        let philox = Philox::new(seed, "dropout", 0);
        let draws = drops.then_some(DropoutDraws { rate: 0.3, philox, rows: names });
        let rate = if drops { 0.3 } else { 0.0 };
        let shapes = [[plan.slots(), d].into(), [d, o].into(), [o].into()];
        same(&inputs(seed, shapes), |v| v[0].linear_relu(v[1], v[2], draws), |v| {
            v[0].linear(v[1], v[2]).relu().dropout(rate, philox, names)
        });
        let shapes = [[plan.slots(), d].into(), [experts, d, o].into(), [experts, o].into()];
        let grouped = inputs(seed, shapes);
        same(&grouped, |v| v[0].grouped_linear_relu(v[1], v[2], &plan, draws), |v| {
            v[0].grouped_linear(v[1], v[2], &plan).relu().dropout(rate, philox, names)
        });
    }

    #[test]
    fn losses(rows in 0usize..7, classes in 1usize..5, seed: u64, column: bool) {
        let mut rng = rng(seed, 1);
        let one_each = if column { Shape::from([rows, 1]) } else { Shape::from([rows]) };
        let [logits] = inputs(seed, [one_each]);
        let soft: Vec<Real> = (0..rows).map(|_| rng.random_range(0.0..1.0)).collect();
        let hard: Vec<Real> = soft.iter().map(|t| t.round()).collect();
        let some: Vec<bool> = (0..rows).map(|_| rng.random()).collect();
        let wanted: Vec<u32> = (0..rows).map(|_| rng.random_range(0..classes as u32)).collect();
        for present in [&some, &vec![true; rows]] {
            for targets in [&soft, &hard] {
                check(|_, v| v[0].bce_with_logits(targets, present), std::slice::from_ref(&logits));
            }
            check(|_, v| v[0].masked_mse(&soft, present), std::slice::from_ref(&logits));
            let logits = inputs(seed, [[rows, classes].into()]);
            check(|_, v| v[0].cross_entropy(&wanted, present), &logits);
        }
    }

    /// A composed function, where cotangents arrive from several uses and from operators of every kind.
    #[test]
    fn a_sparse_layer_between_operators((rows, experts, seed) in routing_sizes()) {
        let (gates, plan) = two_gates(rows, experts, seed);
        let ids = row_ids(rows);
        let shapes = [[rows, 3].into(), [3, experts].into(), [experts, 3, 2].into(), [experts, 2].into()];
        check(
            |tape, v| {
                let hidden = v[0].gather_slots(&plan).grouped_linear(v[2], v[3], &plan).sigmoid();
                let slot_ids: Vec<u64> = plan.slot_rows().iter().map(|&r| ids[r as usize]).collect();
                let drawn = DrawRows { row_ids: &slot_ids, experts: Some(plan.slot_experts()) };
                let hidden = hidden.dropout(0.3, Philox::new(seed, "dropout", 0), drawn);
                let logits = v[0].matmul(v[1]);
                let weights = gates.each_ref().map(|g| logits.gather_assigned(g).csr_softmax(g));
                let of_gate = |g: usize| hidden.combine(weights[g], &gates[g], &plan, g);
                tape.concat(&[of_gate(0), of_gate(1), v[0] * v[0]])
            },
            &inputs(seed, shapes),
        );
    }

    /// An input without gradient changes nothing for the others.
    #[test]
    fn a_frozen_input_leaves_the_other_gradients_alone(seed: u64, frozen in 0usize..3) {
        let (_, plan) = two_gates(5, 3, seed);
        let slots = plan.slots();
        type F = Box<dyn for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>>;
        let table: [(F, Vec<Shape>); 6] = [
            (Box::new(|_, v| v[0] + v[1]), vec![[2, 3].into(), [3].into()]),
            (Box::new(|_, v| v[0] * v[1]), vec![[2, 3].into(), [2, 1].into()]),
            (Box::new(|_, v| v[0].matmul(v[1])), vec![[2, 3].into(), [3, 4].into()]),
            (Box::new(|_, v| v[0].linear(v[1], v[2])), vec![[2, 3].into(), [3, 4].into(), [4].into()]),
            (Box::new(|tape, v| tape.concat(v)), vec![[2, 3].into(), [2, 1].into()]),
            (
                Box::new(move |_, v| v[0].grouped_linear(v[1], v[2], &plan)),
                vec![[slots, 2].into(), [3, 2, 4].into(), [3, 4].into()],
            ),
        ];
        for (f, shapes) in &table {
            let mut rng = rng(seed, 2);
            let values: Vec<_> = shapes.iter().map(|&shape| spread(shape, &mut rng)).collect();
            let gradients_with = |frozen: Option<usize>| -> Vec<Option<Tensor>> {
                let tape = Tape::new();
                let leaf = |(i, value): (usize, &Tensor)| match Some(i) == frozen {
                    true => tape.constant(value.clone()),
                    false => tape.variable(value.clone()),
                };
                let vars: Vec<_> = values.iter().enumerate().map(leaf).collect();
                let out = f(&tape, &vars);
                let cotangent = spread(out.shape(), &mut common::rng(seed, 3));
                let gradients = tape.backward_from(out, cotangent);
                vars.iter().map(|&var| gradients.wrt(var)).collect()
            };
            let frozen = frozen % shapes.len();
            let mut expected = gradients_with(None);
            prop_assert!(expected.iter().all(Option::is_some));
            expected[frozen] = None;
            prop_assert_eq!(gradients_with(Some(frozen)), expected);
        }
    }
}

/// A square output with an operand of one column: as many elements in the operand as columns in the output.
#[test]
fn one_column_times_a_square() {
    for operand in [vec![3, 1], vec![1, 3], vec![3], vec![1], vec![]] {
        let inputs = inputs(5, [[3, 3].into(), Shape::new(&operand)]);
        check(|_, v| v[0] + v[1], &inputs);
        check(|_, v| v[1] * v[0], &inputs);
    }
    check(|_, v| v[0] * v[1], &inputs(5, [[2, 1, 1].into(), [2, 2, 2].into()]));
}

/// The edges of routings, which random ones may miss.
#[test]
fn routings_at_the_edges() {
    let of = |experts, offsets: &[u32], chosen: &[u32]| {
        Assignments::new(experts, offsets.to_vec(), chosen.to_vec()).unwrap()
    };
    let table = [
        ("one row, one expert", of(1, &[0, 1], &[0])),
        ("one row, no expert", of(3, &[0, 0], &[])),
        ("no rows", of(3, &[0], &[])),
        ("every row to every expert", Assignments::dense(4, 3)),
        ("one expert has all rows", of(3, &[0, 1, 2, 3], &[1, 1, 1])),
        ("a row without experts in the middle", of(2, &[0, 2, 2, 3], &[0, 1, 1])),
    ];
    for (name, gate) in table {
        let plan = Arc::new(ExpertPlan::new(&[&gate]));
        let (rows, experts) = (gate.rows(), gate.num_experts());
        let shapes =
            [[rows, 2].into(), [experts, 2, 3].into(), [experts, 3].into(), [rows, experts].into()];
        let result = gradcheck(
            |_, v| {
                let weights = v[3].gather_assigned(&gate).csr_softmax(&gate);
                let slots = v[0].gather_slots(&plan).grouped_linear(v[1], v[2], &plan);
                slots.combine(weights, &gate, &plan, 0)
            },
            &inputs(11, shapes),
        );
        assert_eq!(result, Ok(()), "{name}");
    }
}

/// The product of two inputs, with a backward rule that may be wrong in one way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Product {
    Right,
    FactorOff,
    OneSignWrong,
    CotangentIgnored,
    InputForgotten,
}

impl Operator for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut out = inputs[0].clone();
        for (y, b) in out.as_mut_slice().iter_mut().zip(inputs[1].as_slice()) {
            *y *= b;
        }
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        for input in 0..2 {
            if *self == Product::InputForgotten && input == 1 {
                continue;
            }
            let mut gradient = at.inputs[1 - input].clone();
            for (i, g) in gradient.as_mut_slice().iter_mut().enumerate() {
                let cotangent = at.cotangent.as_slice()[i];
                *g *= match self {
                    Product::FactorOff => 1.1 * cotangent,
                    Product::OneSignWrong if (input, i) == (1, 4) => -cotangent,
                    Product::CotangentIgnored => 1.0,
                    _ => cotangent,
                };
            }
            gradients.add(input, gradient);
        }
    }
}

fn check_product(rule: Product) -> Result<(), GradientMismatch> {
    gradcheck(|tape, v| tape.apply(rule, v), &inputs(3, [[2, 3].into(), [2, 3].into()]))
}

/// Negative controls: a checker that accepts any of these checks nothing.
#[test]
fn wrong_backward_rules_are_found() {
    assert_eq!(check_product(Product::Right), Ok(()));
    for wrong in [Product::FactorOff, Product::CotangentIgnored] {
        assert_eq!(check_product(wrong).unwrap_err().input, 0, "{wrong:?}");
    }
    let sign = check_product(Product::OneSignWrong).unwrap_err();
    assert_eq!((sign.input, sign.element), (1, 4));
    let forgotten = check_product(Product::InputForgotten).unwrap_err();
    assert_eq!((forgotten.input, forgotten.analytic), (1, 0.0));
}

/// Comparisons with NaN are false; that must count as a mismatch.
#[test]
fn a_gradient_that_is_not_a_number_is_found() {
    struct Root;
    impl Operator for Root {
        fn name(&self) -> &'static str {
            "root"
        }
        fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
            inputs[0].map(|v| v.abs().sqrt())
        }
        fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
            gradients.add(0, at.output.map(|y| y * Real::NAN));
        }
    }
    let found = gradcheck(|tape, v| tape.apply(Root, v), &[Tensor::full([2], 0.5)]);
    assert!(found.is_err_and(|mismatch| mismatch.analytic.is_nan()));
}
