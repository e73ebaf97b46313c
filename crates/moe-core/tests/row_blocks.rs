//! Blocks of rows on tapes of their own, against the same computation on one tape.

mod common;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{assert_close, assert_same_bits, cases, rng, uniform};
use moe_core::tape::{Backward, Gradient, InputGradients, Operator, Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Parameter, Real, Tensor};
use proptest::prelude::*;

const DOUBLE: bool = size_of::<Real>() == 8;
const TOLERANCE: Real = if DOUBLE { 1e-12 } else { 1e-5 };

/// A two-layer network per block; the second layer's weights are shared by all blocks and used twice in each.
struct Networks {
    own: Vec<(Parameter, Parameter)>,
    shared: Parameter,
}

impl Networks {
    fn new(blocks: usize, d: usize, h: usize, seed: u64) -> Self {
        let mut rng = rng(seed, 0);
        let mut parameter = |shape: &[usize]| Parameter::new(uniform(shape, &mut rng));
        let own = (0..blocks).map(|_| (parameter(&[d, h]), parameter(&[h]))).collect();
        Networks { own, shared: parameter(&[h, h]) }
    }

    fn forward<'s>(&self, block: usize, x: Var<'s>) -> Var<'s> {
        let tape = x.tape();
        let (weight, bias) = &self.own[block];
        let hidden = x.linear(tape.parameter(weight), tape.parameter(bias)).tanh();
        let shared = tape.parameter(&self.shared);
        hidden.matmul(shared).tanh().matmul(shared)
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.own.iter().flat_map(|(weight, bias)| [weight, bias]).chain([&self.shared])
    }
}

/// The output, and the gradients of x and of all parameters, of which some may have none.
type Found = (Tensor, Tensor, Vec<Option<Tensor>>);

fn in_blocks(
    networks: &Networks,
    x: &Tensor,
    blocks: &[Range<usize>],
    cotangent: &Tensor,
) -> Found {
    let tape = Tape::new();
    let x = tape.variable(x.clone());
    let y = x.map_row_blocks(blocks, cotangent.cols(), |i, x| networks.forward(i, x));
    let gradients = tape.backward_from(y, cotangent.clone());
    let of = |p| gradients.get(p).cloned().map(Gradient::into_dense);
    (y.value(), gradients.wrt(x).unwrap(), networks.parameters().map(of).collect())
}

/// The same on one tape: the blocks picked from x, and the sum of the outputs times their cotangents.
fn on_one_tape(
    networks: &Networks,
    x: &Tensor,
    blocks: &[Range<usize>],
    cotangent: &Tensor,
) -> Found {
    let tape = Tape::new();
    let x = tape.variable(x.clone());
    let mut values = Vec::new();
    let mut loss = tape.constant(Tensor::scalar(0.0));
    for (i, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
        let ids: Vec<u32> = block.clone().map(|row| row as u32).collect();
        let y = networks.forward(i, x.gather_rows(&ids));
        values.extend_from_slice(y.value().as_slice());
        let rows: Vec<usize> = block.clone().collect();
        loss = loss + (y * tape.constant(common::pick_rows(cotangent, &rows))).sum();
    }
    let gradients = tape.backward(loss);
    let of = |p| gradients.get(p).cloned().map(Gradient::into_dense);
    let dx = gradients.wrt(x).unwrap_or_else(|| Tensor::zeros(x.shape()));
    (Tensor::new(*cotangent.shape(), values), dx, networks.parameters().map(of).collect())
}

fn assert_equal(a: &Found, b: &Found) {
    assert_close(&a.0, &b.0, TOLERANCE, "values");
    assert_close(&a.1, &b.1, TOLERANCE, "gradient of x");
    for (i, (a, b)) in a.2.iter().zip(&b.2).enumerate() {
        assert_eq!(a.is_some(), b.is_some(), "parameter {i}: {a:?} and {b:?}");
        if let (Some(a), Some(b)) = (a, b) {
            assert_close(a, b, TOLERANCE, &format!("gradient of parameter {i}"));
        }
    }
}

/// Blocks with these numbers of rows.
fn partition(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    let block = |&size| {
        end += size;
        end - size..end
    };
    sizes.iter().map(block).collect()
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn blocks_equal_one_tape(
        sizes in prop::collection::vec(0usize..5, 0..6), d in 1usize..4, h in 1usize..4, seed: u64,
    ) {
        let blocks = partition(&sizes);
        let rows = sizes.iter().sum();
        let networks = Networks::new(sizes.len(), d, h, seed);
        let mut rng = rng(seed, 1);
        let (x, cotangent) = (uniform([rows, d], &mut rng), uniform([rows, h], &mut rng));
        let found = in_blocks(&networks, &x, &blocks, &cotangent);
        assert_equal(&found, &on_one_tape(&networks, &x, &blocks, &cotangent));
        // Blocks without rows are not computed.
        for (i, &size) in sizes.iter().enumerate() {
            prop_assert_eq!(found.2[2 * i].is_some(), size > 0);
        }
    }

    #[test]
    fn gradients_of_rows(sizes in prop::collection::vec(0usize..4, 1..4), seed: u64) {
        let (blocks, rows) = (partition(&sizes), sizes.iter().sum());
        let networks = Networks::new(sizes.len(), 3, 2, seed);
        let x = uniform([rows, 3], &mut rng(seed, 1));
        let checked = gradcheck(
            |_, v| v[0].map_row_blocks(&blocks, 2, |i, x| networks.forward(i, x)),
            &[x],
        );
        prop_assert_eq!(checked, Ok(()));
    }
}

/// The comparison above sees which network a block went through.
#[test]
#[should_panic(expected = "values: ")]
fn blocks_of_other_networks_are_not_equal() {
    let blocks = partition(&[2, 3]);
    let mut networks = Networks::new(2, 3, 2, 4);
    let mut rng = rng(4, 1);
    let (x, cotangent) = (uniform([5, 3], &mut rng), uniform([5, 2], &mut rng));
    let found = in_blocks(&networks, &x, &blocks, &cotangent);
    networks.own.swap(0, 1);
    assert_equal(&found, &on_one_tape(&networks, &x, &blocks, &cotangent));
}

#[test]
fn gradients_of_parameters_are_slopes() {
    const STEP: Real = if DOUBLE { 1e-6 } else { 1e-2 };
    let blocks = partition(&[2, 0, 3]);
    let mut networks = Networks::new(3, 2, 3, 1);
    let mut rng = rng(1, 1);
    let (x, cotangent) = (uniform([5, 2], &mut rng), uniform([5, 3], &mut rng));
    let (_, _, gradients) = in_blocks(&networks, &x, &blocks, &cotangent);
    let gradient = gradients.last().unwrap().clone().unwrap();
    for element in 0..gradient.len() {
        let centre = networks.shared.value().as_slice()[element];
        let mut at = |value| {
            networks.shared.value_mut().as_mut_slice()[element] = value;
            let (y, ..) = in_blocks(&networks, &x, &blocks, &cotangent);
            let pairs = y.as_slice().iter().zip(cotangent.as_slice());
            pairs.map(|(&y, &c)| f64::from(y) * f64::from(c)).sum::<f64>()
        };
        let slope = (at(centre + STEP) - at(centre - STEP)) / f64::from(2.0 * STEP);
        at(centre);
        let apart = (slope - f64::from(gradient.as_slice()[element])).abs();
        assert!(apart < if DOUBLE { 1e-8 } else { 1e-2 }, "element {element}: {apart}");
    }
}

#[test]
fn one_two_and_seven_threads_give_the_same_bits() {
    let sizes = [130, 0, 7, 300, 1, 64, 65];
    let (blocks, rows) = (partition(&sizes), sizes.iter().sum());
    let networks = Networks::new(sizes.len(), 64, 48, 2);
    let mut rng = rng(2, 1);
    let (x, cotangent) = (uniform([rows, 64], &mut rng), uniform([rows, 48], &mut rng));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (y, dx, of) = pool.install(|| in_blocks(&networks, &x, &blocks, &cotangent));
        [y, dx].into_iter().chain(of.into_iter().flatten()).collect::<Vec<_>>()
    };
    let one = run(1);
    for threads in [2, 7, 7] {
        for (a, b) in one.iter().zip(&run(threads)) {
            assert_same_bits(a.as_slice(), b.as_slice(), &format!("{threads} threads"));
        }
    }
}

#[test]
fn blocks_of_blocks() {
    let (outer, inner) = (partition(&[4, 6]), [partition(&[1, 3]), partition(&[0, 6])]);
    let networks = Networks::new(4, 3, 2, 3);
    let mut rng = rng(3, 1);
    let (x, cotangent) = (uniform([10, 3], &mut rng), uniform([10, 2], &mut rng));
    let tape = Tape::new();
    let var = tape.variable(x.clone());
    let y = var.map_row_blocks(&outer, 2, |o, x| {
        x.map_row_blocks(&inner[o], 2, |i, x| networks.forward(2 * o + i, x))
    });
    let gradients = tape.backward_from(y, cotangent.clone());
    let of = |p| gradients.get(p).cloned().map(Gradient::into_dense);
    let found = (y.value(), gradients.wrt(var).unwrap(), networks.parameters().map(of).collect());
    let flat = partition(&[1, 3, 0, 6]);
    assert_equal(&found, &on_one_tape(&networks, &x, &flat, &cotangent));
}

#[test]
fn a_parameter_used_outside_too_gets_both_gradients() {
    let weight = Parameter::new(Tensor::full([1, 1], 3.0));
    let tape = Tape::new();
    let x = tape.constant(Tensor::new([2, 1], vec![1.0, 2.0]));
    let inside = x.map_row_blocks(&[0..1, 1..2], 1, |_, x| x.matmul(x.tape().parameter(&weight)));
    let outside = x.matmul(tape.parameter(&weight)).scale(10.0);
    let gradients = tape.backward((inside + outside).sum());
    assert_eq!(gradients.get(&weight).unwrap().stored().item(), 33.0);
}

#[test]
fn rows_that_the_output_does_not_depend_on_have_no_slope() {
    let bias = Parameter::new(Tensor::full([1, 2], 1.0));
    let tape = Tape::new();
    let x = tape.variable(Tensor::full([3, 2], 5.0));
    // The second block passes its row on, the first one makes rows of its own.
    let y = x.map_row_blocks(&[0..2, 2..3], 2, |i, x| match i {
        0 => x.tape().parameter(&bias).gather_rows(&[0, 0]),
        _ => x,
    });
    assert_eq!(y.value().as_slice(), [1.0, 1.0, 1.0, 1.0, 5.0, 5.0]);
    let gradients = tape.backward(y.sum());
    assert_eq!(gradients.wrt(x).unwrap().as_slice(), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    assert!(matches!(gradients.get(&bias), Some(Gradient::Rows(rows)) if rows.rows() == [0]));
}

/// x + w, which notes which gradients are asked for.
struct Noted(&'static AtomicUsize);

impl Operator for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }
    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w) = (inputs[0], inputs[1].item());
        x.map(|x| x + w)
    }
    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let wanted = usize::from(gradients.wants(0)) + 10 * usize::from(gradients.wants(1));
        self.0.fetch_add(wanted, Ordering::Relaxed);
        gradients.add(0, at.cotangent.clone());
        gradients.add(1, Tensor::scalar(at.cotangent.as_slice().iter().sum()));
    }
}

#[test]
fn what_is_not_wanted_is_not_computed() {
    static WANTED: AtomicUsize = AtomicUsize::new(0);
    for (x_wanted, is_frozen) in [(false, false), (true, true), (true, false), (false, true)] {
        let mut weight = Parameter::new(Tensor::scalar(2.0));
        weight.set_frozen(is_frozen);
        WANTED.store(0, Ordering::Relaxed);
        let tape = Tape::new();
        let rows = Tensor::zeros([4, 1]);
        let x = if x_wanted { tape.variable(rows) } else { tape.constant(rows) };
        let y = x.map_row_blocks(&[0..2, 2..4], 1, |_, x| {
            let tape = x.tape();
            tape.apply(Noted(&WANTED), &[x, tape.parameter(&weight)])
        });
        let gradients = tape.backward_from(y, Tensor::full([4, 1], 1.0));
        let expected = 2 * (usize::from(x_wanted) + 10 * usize::from(!is_frozen));
        assert_eq!(WANTED.load(Ordering::Relaxed), expected, "two blocks");
        let of_weight = gradients.get(&weight).map(|g| g.stored().item());
        assert_eq!(of_weight, (!is_frozen).then_some(4.0));
    }
}

#[test]
fn a_tape_for_inference_gives_the_same_values() {
    let blocks = partition(&[2, 3]);
    let networks = Networks::new(2, 3, 2, 5);
    let x = uniform([5, 3], &mut rng(5, 1));
    let values = |tape: &Tape| {
        let y = tape.constant(x.clone()).map_row_blocks(&blocks, 2, |i, x| networks.forward(i, x));
        y.value()
    };
    assert_eq!(values(&Tape::inference()), values(&Tape::new()));
}

#[test]
fn clearing_the_tape_lets_parameters_go() {
    let mut weight = Parameter::new(Tensor::full([1, 1], 3.0));
    let mut tape = Tape::new();
    let x = tape.constant(Tensor::full([2, 1], 1.0));
    x.map_row_blocks(&[0..1, 1..2], 1, |_, x| x.matmul(x.tape().parameter(&weight)));
    tape.clear();
    let before = weight.value().as_slice().as_ptr();
    weight.value_mut().as_mut_slice()[0] = 4.0;
    assert_eq!(weight.value().as_slice().as_ptr(), before, "updated in place");
}

fn map(rows: usize, blocks: &[Range<usize>], cols: usize) {
    let tape = Tape::new();
    tape.constant(Tensor::zeros([rows, 2])).map_row_blocks(blocks, cols, |_, x| x);
}

#[test]
#[should_panic(expected = "[0..2, 3..4] are not 4 rows one after the other")]
fn blocks_with_a_gap_are_refused() {
    map(4, &[0..2, 3..4], 2);
}

#[test]
#[should_panic(expected = "[0..2] are not 4 rows one after the other")]
fn rows_in_no_block_are_refused() {
    map(4, &partition(&[2]), 2);
}

#[test]
#[should_panic(expected = "wrong shape [1, 2] of the output of block 2")]
fn another_width_than_promised_is_refused() {
    map(1, &[0..0, 0..0, 0..1], 3);
}

#[test]
#[should_panic(expected = "the output of a block is of another tape")]
fn an_output_of_another_tape_is_refused() {
    let tape = Tape::new();
    tape.constant(Tensor::zeros([2, 2])).map_row_blocks(&partition(&[2]), 2, |_, _| {
        let other: &'static Tape = Box::leak(Box::default());
        other.constant(Tensor::zeros([2, 2]))
    });
}

#[test]
#[should_panic(expected = "operator add was given a variable of another tape")]
fn a_variable_of_another_tape_is_refused_inside() {
    let tape = Tape::new();
    tape.constant(Tensor::zeros([2, 2])).map_row_blocks(&partition(&[2]), 2, |_, x| {
        let other: &'static Tape = Box::leak(Box::default());
        x + other.constant(Tensor::zeros([2, 2]))
    });
}

#[test]
fn a_panic_in_a_block_comes_out_and_leaves_nothing_broken() {
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([6, 2]));
    let blocks = partition(&[2, 2, 2]);
    let fails = std::panic::AssertUnwindSafe(|| {
        x.map_row_blocks(&blocks, 2, |i, x| if i == 1 { panic!("block {i} fails") } else { x });
    });
    let payload = std::panic::catch_unwind(fails).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().unwrap(), "block 1 fails");
    assert_eq!(x.map_row_blocks(&blocks, 2, |_, x| x).value(), x.value());
}
