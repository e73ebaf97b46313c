//! Computations at the same time, on tapes of their own, against the same ones on one tape.

mod common;

use common::{assert_close, assert_same_bits, cases, rng, uniform};
use moe_core::kernel::{ROW_BLOCK, multiply_adds};
use moe_core::tape::{Gradient, Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Parameter, Real, Tensor};
use proptest::prelude::*;

const TOLERANCE: Real = if size_of::<Real>() == 8 { 1e-12 } else { 1e-5 };

/// A head for each of several inputs: weights of its own, as many outputs as its number and one, and weights that all share.
struct Heads {
    own: Vec<Parameter>,
    shared: Parameter,
}

impl Heads {
    fn new(count: usize, d: usize, seed: u64) -> Self {
        let mut rng = rng(seed, 0);
        let own = (0..count).map(|i| Parameter::new(uniform([d, i + 1], &mut rng))).collect();
        Heads { own, shared: Parameter::new(uniform([d, d], &mut rng)) }
    }

    fn forward<'s>(&self, i: usize, x: Var<'s>) -> Var<'s> {
        let tape = x.tape();
        x.matmul(tape.parameter(&self.shared)).tanh().matmul(tape.parameter(&self.own[i]))
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.own.iter().chain([&self.shared])
    }

    /// Of each input, which two heads share if there are several: at the same time, or one after the other on one tape.
    fn outputs<'t>(&self, tape: &'t Tape, inputs: &[Var<'t>], at_once: bool) -> Vec<Var<'t>> {
        let of = |i: usize| inputs[i / 2];
        let all: Vec<Var<'t>> = (0..self.own.len()).map(of).collect();
        match at_once {
            true => tape.map_each(&all, 1 << 20, |i, x| self.forward(i, x)),
            false => all.into_iter().enumerate().map(|(i, x)| self.forward(i, x)).collect(),
        }
    }

    /// Outputs, and the gradients of inputs and parameters.
    fn found(&self, inputs: &[Tensor], at_once: bool) -> Vec<Tensor> {
        let tape = Tape::new();
        let vars: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
        let outputs = self.outputs(&tape, &vars, at_once);
        let loss = outputs.iter().fold(tape.constant(Tensor::scalar(0.0)), |sum, y| {
            assert_eq!(y.shape().as_matrix().0, inputs[0].rows());
            sum + (*y * *y).sum()
        });
        let gradients = tape.backward(loss);
        let of_inputs = vars.iter().map(|x| gradients.wrt(*x).expect("of an input"));
        let of_parameters = self
            .parameters()
            .map(|p| gradients.get(p).cloned().map(Gradient::into_dense).expect("of a parameter"));
        outputs.iter().map(|y| y.value()).chain(of_inputs).chain(of_parameters).collect()
    }
}

fn inputs(heads: usize, rows: usize, d: usize, seed: u64) -> Vec<Tensor> {
    let mut rng = rng(seed, 1);
    (0..heads.div_ceil(2)).map(|_| uniform([rows, d], &mut rng)).collect()
}

fn in_pool_of<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(f)
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn as_on_one_tape(
        count in 1usize..6, rows in prop::sample::select(vec![1, 5, ROW_BLOCK, 150]), d in 1usize..5, seed: u64,
    ) {
        let (heads, x) = (Heads::new(count, d, seed), inputs(count, rows, d, seed));
        let one_tape = heads.found(&x, false);
        let found = in_pool_of(2, || heads.found(&x, true));
        prop_assert_eq!(found.len(), one_tape.len());
        for (i, (a, b)) in found.iter().zip(&one_tape).enumerate() {
            assert_close(a, b, TOLERANCE * rows as Real, &format!("number {i}"));
        }
    }

    #[test]
    fn gradients(count in 1usize..4, seed: u64) {
        let heads = Heads::new(count, 3, seed);
        let checked = gradcheck(
            |tape, x| {
                let outputs = heads.outputs(tape, x, true);
                outputs.into_iter().map(|y| y.tanh().sum()).reduce(|a, b| a * b).expect("one or more")
            },
            &inputs(count, 2, 3, seed),
        );
        prop_assert_eq!(checked, Ok(()));
    }
}

/// The comparison above sees which head an input went through.
#[test]
fn other_heads_give_other_numbers() {
    let x = inputs(2, 5, 3, 1);
    let [a, b] = [1, 2].map(|seed| Heads::new(2, 3, seed).found(&x, true));
    assert!(a.iter().zip(&b).all(|(a, b)| a != b));
}

#[test]
fn bits_and_counted_work_do_not_depend_on_the_threads() {
    let (heads, x) = (Heads::new(5, 8, 1), inputs(5, 150, 8, 1));
    let work = |threads, at_once| {
        in_pool_of(threads, || {
            let before = multiply_adds();
            (heads.found(&x, at_once), multiply_adds() - before)
        })
    };
    let (alone, of_one_tape) = (work(1, true), work(1, false).1);
    assert_eq!(alone.1, of_one_tape);
    for threads in [2, 3] {
        let (found, counted) = work(threads, true);
        assert_eq!(counted, of_one_tape, "{threads} threads");
        for (a, b) in found.iter().zip(&alone.0) {
            assert_same_bits(a.as_slice(), b.as_slice(), "found");
        }
    }
}

#[test]
fn each_has_a_thread_if_it_is_worth_it() {
    let on = |rows: usize, work: usize| {
        in_pool_of(2, || {
            let tape = Tape::new();
            let x = tape.constant(Tensor::zeros([rows, 1]));
            let barrier = std::sync::Barrier::new(2);
            let both_are_here = rows >= ROW_BLOCK && work > 1;
            let threads = tape.map_each(&[x, x], work, |_, x| {
                if both_are_here {
                    barrier.wait();
                }
                let thread = rayon::current_thread_index().expect("of the pool");
                x.tape().constant(Tensor::scalar(thread as Real))
            });
            threads[0].value() != threads[1].value()
        })
    };
    assert!(on(ROW_BLOCK, 1 << 20), "neither would pass the barrier alone");
    assert!(!on(ROW_BLOCK, 1) && !on(ROW_BLOCK - 1, 1 << 20));
}

#[test]
fn what_is_not_wanted_has_no_gradient() {
    let mut weights = [2.0, 3.0].map(|w| Parameter::new(Tensor::full([1, 1], w)));
    weights[1].set_frozen(true);
    let tape = Tape::new();
    let (a, b) =
        (tape.constant(Tensor::full([2, 1], 1.0)), tape.variable(Tensor::full([3, 1], 1.0)));
    let y = tape.map_each(&[a, b], 1, |i, x| x.matmul(x.tape().parameter(&weights[i])));
    let gradients = tape.backward(y[0].sum() + y[1].sum());
    assert_eq!(gradients.get(&weights[0]).expect("it learns").stored().item(), 2.0);
    assert!(gradients.get(&weights[1]).is_none() && gradients.wrt(a).is_none());
    assert_eq!(gradients.wrt(b).expect("a variable").as_slice(), [3.0; 3]);
    // All of the first is constant: the second still has the gradients that belong to it.
    let y = tape.map_each(&[a, b], 1, |i, x| x.matmul(x.tape().parameter(&weights[1 - i])));
    let gradients = tape.backward(y[0].sum() + y[1].sum().scale(10.0));
    assert_eq!(gradients.get(&weights[0]).expect("it learns").stored().item(), 30.0);
    assert_eq!(gradients.wrt(b).expect("a variable").as_slice(), [20.0; 3]);
    // Nothing of a tape for inference is recorded.
    let tape = Tape::inference();
    let x = tape.constant(Tensor::full([2, 1], 1.0));
    let y = tape.map_each(&[x, x], 1, |i, x| {
        assert!(!x.tape().is_recording());
        x.matmul(x.tape().parameter(&weights[i]))
    });
    assert_eq!(y[1].value().as_slice(), [3.0; 2]);
}

#[test]
fn an_output_that_nothing_depends_on_has_no_slope() {
    let heads = Heads::new(2, 1, 1);
    let tape = Tape::new();
    let x = tape.variable(Tensor::full([2, 1], 1.0));
    let y = heads.outputs(&tape, &[x], true);
    let gradients = tape.backward(y[0].sum());
    assert!(gradients.get(&heads.own[0]).is_some_and(|g| g.stored().as_slice()[0] != 0.0));
    assert!(gradients.get(&heads.own[1]).is_some_and(|g| g.stored().as_slice() == [0.0; 2]));
    assert!(tape.map_each(&[], 1, |_, x| x).is_empty());
}

#[test]
fn clearing_the_tape_lets_parameters_go() {
    let mut heads = Heads::new(2, 1, 1);
    let mut tape = Tape::new();
    let x = tape.constant(Tensor::full([2, 1], 1.0));
    heads.outputs(&tape, &[x], true);
    tape.clear();
    let before = heads.shared.value().as_slice().as_ptr();
    heads.shared.value_mut().as_mut_slice()[0] = 4.0;
    assert_eq!(heads.shared.value().as_slice().as_ptr(), before, "updated in place");
}

#[test]
#[should_panic(expected = "map_each: an output is of another tape")]
fn an_output_of_another_tape_is_refused() {
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([2, 2]));
    tape.map_each(&[x, x], 1, |_, _| {
        let other: &'static Tape = Box::leak(Box::default());
        other.constant(Tensor::zeros([2, 2]))
    });
}

#[test]
#[should_panic(expected = "map_each was given a variable of another tape")]
fn an_input_of_another_tape_is_refused() {
    let (tape, other) = (Tape::new(), Tape::new());
    tape.map_each(&[other.constant(Tensor::zeros([2, 2]))], 1, |_, x| x);
}
