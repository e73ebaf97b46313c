//! Gradients of the parts of a batch, added.

mod common;

use common::{assert_close, rng, uniform};
use moe_core::rand::Rng;
use moe_core::tape::{Gradient, Gradients, Tape, Var};
use moe_core::{Parameter, Real, Tensor};

const TOLERANCE: Real = if size_of::<Real>() == 8 { 1e-13 } else { 1e-5 };

/// A table whose rows are looked up and that in the third part is also a matrix, and a bias of the second part.
struct Model {
    table: Parameter,
    weight: Parameter,
    bias: Parameter,
    unused: Parameter,
}

/// Rows of the table, and the weight of each.
type Part = (Vec<u32>, Tensor);

impl Model {
    fn new() -> Self {
        let mut rng = rng(1, 0);
        let mut parameter = |shape: &[usize]| Parameter::new(uniform(shape, &mut rng));
        Model {
            table: parameter(&[9, 3]),
            weight: parameter(&[3, 3]),
            bias: parameter(&[3]),
            unused: parameter(&[2]),
        }
    }

    fn loss<'t>(&self, tape: &'t Tape, number: usize, (ids, weights): &Part) -> Var<'t> {
        // A leaf made after the result does not belong to it.
        let table = tape.parameter(&self.table);
        let mut y = table.gather_rows(ids).matmul(tape.parameter(&self.weight)).tanh();
        if number == 1 {
            y = y + tape.parameter(&self.bias);
        }
        if number == 2 {
            y = y + y.matmul_with(table, false, true).matmul(table);
        }
        let loss = (y * tape.constant(weights.clone())).sum();
        tape.parameter(&self.unused);
        loss
    }

    fn gradients(&self, gradients: &Gradients) -> [Option<Tensor>; 4] {
        [&self.table, &self.weight, &self.bias, &self.unused]
            .map(|p| gradients.get(p).cloned().map(Gradient::into_dense))
    }
}

fn parts() -> Vec<Part> {
    let mut rng = rng(2, 0);
    let ids = |rng: &mut moe_core::rand_chacha::ChaCha8Rng| -> Vec<u32> {
        (0..4).map(|_| rng.random_range(0..9)).collect()
    };
    (0..3).map(|_| (ids(&mut rng), uniform([4, 3], &mut rng))).collect()
}

#[test]
fn the_sum_is_the_gradient_of_the_sum() {
    let (model, parts) = (Model::new(), parts());
    let whole = Tape::new();
    let losses = parts.iter().enumerate().map(|(i, part)| model.loss(&whole, i, part));
    let expected = whole.backward(losses.reduce(|a, b| a + b).unwrap());

    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let mut tape = Tape::new();
        let mut sum: Option<Gradients> = None;
        for part in order {
            tape.clear();
            let found = tape.backward(model.loss(&tape, part, &parts[part]));
            match &mut sum {
                Some(sum) => sum.accumulate(found),
                None => sum = Some(found),
            }
        }
        let found = model.gradients(&sum.unwrap());
        for (name, (a, b)) in ["table", "weight", "bias", "unused"]
            .iter()
            .zip(found.into_iter().zip(model.gradients(&expected)))
        {
            match (a, b) {
                (Some(a), Some(b)) => assert_close(&a, &b, TOLERANCE, name),
                (a, b) => assert!(a.is_none() && b.is_none() && *name == "unused", "{name}"),
            }
        }
    }
}

#[test]
fn looked_up_rows_stay_sparse_and_the_first_pass_keeps_its_variables() {
    let table = Parameter::new(Tensor::zeros([5, 1]));
    let late = Parameter::new(Tensor::zeros([1, 1]));
    let tape = Tape::new();
    let x = tape.variable(Tensor::full([2, 1], 3.0));
    let loss = (tape.parameter(&table).gather_rows(&[4, 1]) * x).sum();
    let after = tape.variable(Tensor::zeros([1]));
    let mut sum = tape.backward(loss);

    let other = Tape::new();
    let y = other.parameter(&table).gather_rows(&[1]).matmul(other.parameter(&late));
    let y = y + other.parameter(&table).gather_rows(&[0]) + other.parameter(&late);
    sum.accumulate(other.backward(y.sum()));

    let Some(Gradient::Rows(rows)) = sum.get(&table) else { panic!("{sum:?}") };
    assert_eq!((rows.rows(), rows.values().as_slice()), (&[0, 1, 4][..], &[1.0, 3.0, 3.0][..]));
    assert_eq!(sum.get(&late).unwrap().stored().item(), 1.0);
    assert_eq!(sum.wrt(x).unwrap().as_slice(), [0.0, 0.0]);
    assert!(sum.wrt(after).is_none());
}
