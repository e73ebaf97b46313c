//! Gradients of the parts of a batch, added, and gradients that are made by hand.

mod common;

use common::{assert_close, rng, uniform};
use moe_core::rand::Rng;
use moe_core::tape::{Gradient, Gradients, RowGradient, Tape, Var};
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

/// The gradient of `parameter` at the rows `ids`, each `value`.
fn at_rows(parameter: &Parameter, ids: &[u32], value: Real) -> Gradient {
    let values = Tensor::full([ids.len(), parameter.value().cols()], value);
    Gradient::Rows(Box::new(RowGradient::scatter(*parameter.value().shape(), ids, &values)))
}

#[test]
fn gradients_taken_and_put_back_are_the_same() {
    let (model, parts) = (Model::new(), parts());
    let tape = Tape::new();
    let mut found = tape.backward(model.loss(&tape, 1, &parts[1]));
    let expected = model.gradients(&found);
    let mut copied = Gradients::default();
    for parameter in [&model.bias, &model.table, &model.weight] {
        let gradient = found.take(parameter).unwrap();
        assert!(found.get(parameter).is_none() && found.take(parameter).is_none());
        assert!(copied.insert(parameter, gradient).is_none());
    }
    assert!(found.take(&model.unused).is_none());
    let copies = model.gradients(&copied);
    assert_eq!(copies, expected);
    assert!(matches!(copied.get(&model.table), Some(Gradient::Rows(_))));
    // Back into the gradients of the tape, whose leaves are empty now.
    found.accumulate(copied);
    assert_eq!(model.gradients(&found), expected);
}

#[test]
fn gradients_are_replaced_scaled_and_added() {
    let table = Parameter::new(Tensor::zeros([4, 2]));
    let mut one = Gradients::default();
    one.insert(&table, at_rows(&table, &[3, 1, 3], 1.0));
    let before = one.insert(&table, at_rows(&table, &[2], 3.0)).unwrap();
    let Gradient::Rows(rows) = &before else { panic!("{before:?}") };
    assert_eq!((rows.rows(), rows.values().as_slice()), (&[1, 3][..], &[1.0, 1.0, 2.0, 2.0][..]));
    one.scale(-2.0);
    assert_eq!(one.get(&table).unwrap().stored().as_slice(), [-6.0, -6.0]);

    let mut rows = at_rows(&table, &[2], 1.0);
    rows.add_assign(before.clone());
    assert!(matches!(rows, Gradient::Rows(_)));
    rows.stored_mut()[0] += 1.0;
    assert_eq!(rows.clone().into_dense().as_slice(), [0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
    let mut dense = Gradient::Dense(Tensor::full([4, 2], 1.0));
    dense.add_assign(before.clone());
    assert_eq!(dense.stored().as_slice(), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 3.0, 3.0]);
    rows.add_assign(dense.clone());
    assert_eq!(rows.stored().as_slice(), [1.0, 1.0, 4.0, 3.0, 2.0, 2.0, 5.0, 5.0]);
}

#[test]
#[should_panic(expected = "a gradient of [4, 3] for a parameter of [4, 2]")]
fn a_gradient_of_another_shape_is_refused() {
    let table = Parameter::new(Tensor::zeros([4, 2]));
    Gradients::default().insert(&table, Gradient::Dense(Tensor::zeros([4, 3])));
}

#[test]
#[should_panic(expected = "cannot add the gradient of [5, 2] to that of [4, 2]")]
fn gradients_of_other_shapes_are_not_added() {
    let [small, large] = [4, 5].map(|rows| Parameter::new(Tensor::zeros([rows, 2])));
    at_rows(&small, &[1], 1.0).add_assign(at_rows(&large, &[4], 1.0));
}
