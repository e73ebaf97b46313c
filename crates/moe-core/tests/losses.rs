//! Losses as means over rows, and the Kullback-Leibler divergence, by hand and against what they must equal.

mod common;

use common::{assert_close, cases, rng, spread};
use moe_core::rand::Rng;
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor};
use proptest::prelude::*;

/// A few units in the last place of numbers of size one.
const ULPS: Real = 8.0 * Real::EPSILON;

fn ln(x: f64) -> Real {
    x.ln() as Real
}

/// Loss and gradient.
fn run(x: &Tensor, loss: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> [Tensor; 2] {
    let tape = Tape::new();
    let x = tape.variable(x.clone());
    let loss = loss(x);
    [loss.value(), tape.backward(loss).wrt(x).unwrap()]
}

/// Targets of every loss for `rows` rows, and the logits that they are held against.
struct Case {
    column: Tensor,
    matrix: Tensor,
    soft: Vec<Real>,
    classes: Vec<u32>,
    probabilities: Tensor,
}

impl Case {
    fn new(rows: usize, classes: usize, seed: u64) -> Self {
        let mut rng = rng(seed, 0);
        let softmax = |x: Tensor| Tape::inference().constant(x).softmax().value();
        Case {
            column: spread([rows], &mut rng),
            matrix: spread([rows, classes], &mut rng),
            soft: (0..rows).map(|_| rng.random_range(0.0..1.0)).collect(),
            classes: (0..rows).map(|_| rng.random_range(0..classes as u32)).collect(),
            probabilities: softmax(spread([rows, classes], &mut rng)),
        }
    }

    /// Loss and gradient of each loss.
    fn losses(&self) -> [[Tensor; 2]; 4] {
        [
            run(&self.column, |x| x.bce_with_logits(&self.soft)),
            run(&self.column, |x| x.masked_mse(&self.soft, &vec![true; self.soft.len()])),
            run(&self.matrix, |x| x.cross_entropy(&self.classes)),
            run(&self.matrix, |x| x.kl_with_logits(&self.probabilities)),
        ]
    }

    fn row(&self, row: usize) -> Self {
        let matrix = |t: &Tensor| Tensor::new([1, t.cols()], t.row(row).to_vec());
        Case {
            column: Tensor::new([1], vec![self.column.as_slice()[row]]),
            matrix: matrix(&self.matrix),
            soft: vec![self.soft[row]],
            classes: vec![self.classes[row]],
            probabilities: matrix(&self.probabilities),
        }
    }
}

proptest! {
    #![proptest_config(cases(128))]

    /// The mean of the losses of single rows, and its gradient.
    #[test]
    fn a_loss_is_a_mean_over_rows(rows in 1usize..8, classes in 1usize..5, seed: u64) {
        let case = Case::new(rows, classes, seed);
        let singles: Vec<_> = (0..rows).map(|row| case.row(row).losses()).collect();
        let share = 1.0 / rows as Real;
        for (loss, [value, gradient]) in case.losses().into_iter().enumerate() {
            let mean: Real = (0..rows).map(|row| share * singles[row][loss][0].item()).sum();
            assert_close(&value, &Tensor::scalar(mean), 4.0 * ULPS, &format!("loss {loss}"));
            let gradients = (0..rows)
                .flat_map(|row| singles[row][loss][1].as_slice().iter().map(|g| share * g));
            let expected = Tensor::new(&gradient.shape()[..], gradients.collect());
            assert_close(&gradient, &expected, ULPS, &format!("gradient of loss {loss}"));
        }
    }
}

/// bce: ln(4/3) and ln 4 at z = ln 3. mse: errors 1 and 2.
#[test]
fn losses_by_hand() {
    let z = Tensor::new([2], vec![ln(3.0); 2]);
    let [loss, _] = run(&z, |z| z.bce_with_logits(&[1.0, 0.0]));
    assert_close(&loss, &Tensor::scalar((ln(4.0 / 3.0) + ln(4.0)) / 2.0), ULPS, "bce");
    let x = Tensor::new([2, 1], vec![1.0, 2.0]);
    let [loss, gradient] = run(&x, |x| x.masked_mse(&[0.0, 0.0], &[true, true]));
    assert_eq!((loss.item(), gradient.as_slice()), (2.5, &[1.0, 2.0][..]));
}

/// A row that is masked out may hold anything, and without any row the loss is 0.
#[test]
fn a_masked_row_does_not_count() {
    let x = Tensor::new([2], vec![Real::NAN, 1.0]);
    let [loss, gradient] = run(&x, |x| x.masked_mse(&[Real::NAN, 3.0], &[false, true]));
    assert_eq!((loss.item(), gradient.as_slice()), (4.0, &[0.0, -4.0][..]));
    let [loss, gradient] = run(&x, |x| x.masked_mse(&[0.0, 3.0], &[false, false]));
    assert_eq!((loss.item(), gradient.as_slice()), (0.0, &[0.0, 0.0][..]));
    for [loss, gradient] in Case::new(0, 2, 1).losses() {
        assert_eq!((loss.item(), gradient.len()), (0.0, 0));
    }
}

/// From (1/4, 3/4) to equal logits: 1/4 ln(1/2) + 3/4 ln(3/2); gradient 1/2 - t. A target of 0 costs nothing, whatever
/// the logit; a target of 1 is cross-entropy; and a softmax is at distance 0 from itself.
#[test]
fn kl_by_hand() {
    let t = Tensor::new([1, 2], vec![0.25, 0.75]);
    let [loss, gradient] = run(&Tensor::full([1, 2], 7.0), |z| z.kl_with_logits(&t));
    let expected = Tensor::scalar(0.25 * ln(0.5) + 0.75 * ln(1.5));
    assert_close(&loss, &expected, ULPS, "loss");
    assert_eq!(gradient.as_slice(), [0.25, -0.25]);

    let sure = Tensor::new([1, 2], vec![0.0, 1.0]);
    let [loss, gradient] =
        run(&Tensor::new([1, 2], vec![-Real::INFINITY, 0.5]), |z| z.kl_with_logits(&sure));
    assert_eq!((loss.item(), gradient.as_slice()), (0.0, &[0.0, 0.0][..]));

    let case = Case::new(9, 4, 2);
    let one_hot =
        Tensor::from_fn([9, 4], |i| Real::from(u8::from(case.classes[i / 4] as usize == i % 4)));
    let [kl, ce] = [
        run(&case.matrix, |z| z.kl_with_logits(&one_hot)),
        run(&case.matrix, |z| z.cross_entropy(&case.classes)),
    ];
    assert_close(&kl[0], &ce[0], ULPS, "loss");
    assert_close(&kl[1], &ce[1], ULPS, "gradient");

    let own = Tape::inference().constant(case.matrix.clone()).softmax().value();
    let [loss, gradient] = run(&case.matrix, |z| z.kl_with_logits(&own));
    assert_close(&loss, &Tensor::scalar(0.0), ULPS, "loss");
    assert_close(&gradient, &Tensor::zeros([9, 4]), ULPS, "gradient");
    // Logits far out.
    let [loss, _] = run(&Tensor::new([1, 2], vec![1e4, -1e4]), |z| z.kl_with_logits(&t));
    assert_close(&loss, &Tensor::scalar(0.25 * ln(0.25) + 0.75 * (ln(0.75) + 2e4)), ULPS, "far");
}

/// A Kullback-Leibler divergence is never below 0; this one by more than rounding would be an error of sign.
#[test]
fn kl_is_not_negative() {
    for seed in 0..50 {
        let case = Case::new(1, 7, seed);
        let [loss, _] = run(&case.matrix, |z| z.kl_with_logits(&case.probabilities));
        assert!(loss.item() > -ULPS, "{loss:?}");
    }
}

#[test]
#[should_panic(expected = "masked_mse: one flag per prediction")]
fn a_missing_flag_is_refused() {
    let _ = run(&Tensor::zeros([2]), |x| x.masked_mse(&[0.0, 1.0], &[true]));
}

#[test]
#[should_panic(expected = "kl_with_logits: shapes of logits and targets differ")]
fn targets_of_another_shape_are_refused() {
    let _ = run(&Tensor::zeros([2, 3]), |z| z.kl_with_logits(&Tensor::zeros([3, 2])));
}
