//! Tapes that do not record: values that are freed, and computations side by side.

use moe_core::random::{chacha, uniform};
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Real, Tensor};

/// A few operators, whose intermediate values are freed.
fn block(x: Var<'_>) -> Var<'_> {
    let mark = x.tape().mark();
    let y = x.scale(0.5).tanh() + x;
    x.tape().free_since(mark, &[y]);
    y
}

#[test]
fn memory_does_not_grow_with_depth() {
    let live = |tape: Tape, depth: usize| {
        let start = tape.constant(Tensor::full([3, 2], 1.0));
        let mark = tape.mark();
        let end = (0..depth).fold(start, |x, _| {
            let y = block(x);
            tape.free_since(mark, &[y]);
            y
        });
        (end.value(), tape.num_values())
    };
    let (shallow, deep) = (live(Tape::inference(), 2), live(Tape::inference(), 50));
    assert_eq!((shallow.1, deep.1), (2, 2));
    // A tape that records keeps what its backward pass needs.
    let (recorded, values) = live(Tape::new(), 50);
    assert_eq!((recorded, values), (deep.0, 1 + 3 * 50));
}

#[test]
#[should_panic(expected = "a value that has been freed")]
fn a_freed_value_is_not_read() {
    let tape = Tape::inference();
    let mark = tape.mark();
    let x = tape.constant(Tensor::scalar(1.0));
    let y = x.scale(2.0);
    tape.free_since(mark, &[y]);
    assert_eq!(y.value().item(), 2.0);
    let _ = x.value();
}

#[test]
#[should_panic(expected = "a mark of another tape")]
fn a_mark_is_of_its_tape() {
    Tape::inference().free_since(Tape::inference().mark(), &[]);
}

#[test]
fn a_parameter_that_is_used_twice_has_one_leaf_where_it_is_recorded() {
    let parameter = Parameter::new(Tensor::scalar(3.0));
    let tape = Tape::new();
    let square = tape.parameter(&parameter) * tape.parameter(&parameter);
    assert_eq!(tape.num_values(), 2);
    let gradients = tape.backward(square);
    assert_eq!(gradients.get(&parameter).expect("it is used").stored().item(), 6.0);
    let tape = Tape::inference();
    assert_eq!((tape.parameter(&parameter) * tape.parameter(&parameter)).value().item(), 9.0);
}

#[test]
fn each_is_computed_alike_one_after_the_other_and_side_by_side() {
    const ROWS: usize = 256;
    let mut rng = chacha(1, "tests", 0);
    let inputs: Vec<Tensor> = (0..5).map(|_| uniform([ROWS, 24], 1.0, &mut rng)).collect();
    let weights: Vec<Parameter> =
        (0..5).map(|_| Parameter::new(uniform([24, 40], 1.0, &mut rng))).collect();
    let run = |tape: Tape, rows: usize, work: usize| -> Vec<Tensor> {
        let first = |x: &Tensor| Tensor::new([rows, 24], x.as_slice()[..rows * 24].to_vec());
        let inputs: Vec<_> = inputs.iter().map(|x| tape.constant(first(x))).collect();
        let outputs = tape.map_each(&inputs, work, |i, x| {
            x.matmul(x.tape().parameter(&weights[i])).scale(i as Real)
        });
        outputs.iter().map(|y| y.value()).collect()
    };
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for rows in [0, 1, ROWS] {
            let expected = pool.install(|| run(Tape::new(), rows, 1 << 20));
            for work in [0, 1 << 20] {
                let found = pool.install(|| run(Tape::inference(), rows, work));
                assert_eq!(found, expected, "{rows} rows, {work}, {threads} threads");
            }
        }
    }
}
