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
        self.masked_losses(&vec![true; self.soft.len()])
    }

    /// The same over the rows that are present.
    fn masked_losses(&self, present: &[bool]) -> [[Tensor; 2]; 4] {
        [
            run(&self.column, |x| x.bce_with_logits(&self.soft, present)),
            run(&self.column, |x| x.masked_mse(&self.soft, present)),
            run(&self.matrix, |x| x.cross_entropy(&self.classes, present)),
            run(&self.matrix, |x| x.kl_with_logits(&self.probabilities, present)),
        ]
    }

    /// The case of these rows alone.
    fn rows(&self, rows: &[usize]) -> Self {
        let matrix = |t: &Tensor| {
            let picked = rows.iter().flat_map(|&row| t.row(row).to_vec()).collect();
            Tensor::new([rows.len(), t.cols()], picked)
        };
        let column = rows.iter().map(|&row| self.column.as_slice()[row]).collect();
        Case {
            column: Tensor::new([rows.len()], column),
            matrix: matrix(&self.matrix),
            soft: rows.iter().map(|&row| self.soft[row]).collect(),
            classes: rows.iter().map(|&row| self.classes[row]).collect(),
            probabilities: matrix(&self.probabilities),
        }
    }

    /// The case with anything in the numbers and classes of these rows.
    fn spoilt(mut self, rows: &[usize]) -> Self {
        for &row in rows {
            self.column.as_mut_slice()[row] = Real::NAN;
            let cols = self.matrix.cols();
            self.matrix.as_mut_slice()[row * cols..][..cols].fill(Real::INFINITY);
            self.probabilities.as_mut_slice()[row * cols..][..cols].fill(Real::NAN);
            (self.soft[row], self.classes[row]) = (Real::NAN, u32::MAX);
        }
        self
    }
}

proptest! {
    #![proptest_config(cases(128))]

    /// The mean of the losses of single rows, and its gradient.
    #[test]
    fn a_loss_is_a_mean_over_rows(rows in 1usize..8, classes in 1usize..5, seed: u64) {
        let case = Case::new(rows, classes, seed);
        let singles: Vec<_> = (0..rows).map(|row| case.rows(&[row]).losses()).collect();
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

    /// Rows without a target, whatever is in them, leave loss and gradient as if they were not there.
    #[test]
    fn an_absent_row_is_as_good_as_none(
        flags in prop::collection::vec(any::<bool>(), 1..9),
        classes in 1usize..5,
        seed: u64,
    ) {
        let (here, gone): (Vec<usize>, Vec<usize>) = (0..flags.len()).partition(|&row| flags[row]);
        let case = Case::new(flags.len(), classes, seed);
        let alone = case.rows(&here).losses();
        let masked = case.spoilt(&gone).masked_losses(&flags);
        for (loss, (masked, alone)) in masked.iter().zip(&alone).enumerate() {
            assert_close(&masked[0], &alone[0], 4.0 * ULPS, &format!("loss {loss}"));
            let cols = masked[1].len() / flags.len();
            for (place, &row) in here.iter().enumerate() {
                let of = |gradient: &Tensor, row| gradient.as_slice()[row * cols..][..cols].to_vec();
                prop_assert_eq!(of(&masked[1], row), of(&alone[1], place), "loss {}", loss);
            }
            for &row in &gone {
                let slopes = &masked[1].as_slice()[row * cols..][..cols];
                prop_assert!(slopes.iter().all(|&slope| slope == 0.0), "loss {}", loss);
            }
        }
    }
}

/// The negative control of the property above: a row that is present does change every loss.
#[test]
fn a_present_row_counts() {
    let case = Case::new(3, 4, 5);
    let (two, three) = (case.masked_losses(&[true, true, false]), case.losses());
    for (loss, (two, three)) in two.iter().zip(&three).enumerate() {
        assert_ne!(two[0], three[0], "loss {loss}");
    }
    let spoilt = case.spoilt(&[2]);
    let [loss, _] = run(&spoilt.column, |x| x.bce_with_logits(&spoilt.soft, &[true; 3]));
    assert!(loss.item().is_nan());
}

/// Two numbers per row: a row is left out with all of them, and the mean is over those that remain.
#[test]
fn a_flag_is_for_all_numbers_of_a_row() {
    let x = Tensor::new([2, 2], vec![Real::NAN, 7.0, 1.0, 2.0]);
    let present = [false, true];
    let [loss, gradient] = run(&x, |x| x.masked_mse(&[0.0; 4], &present));
    assert_eq!((loss.item(), gradient.as_slice()), (2.5, &[0.0, 0.0, 1.0, 2.0][..]));
    let z = Tensor::new([2, 2], vec![Real::NAN, 7.0, 0.0, 0.0]);
    let [loss, gradient] = run(&z, |z| z.bce_with_logits(&[0.0, 0.0, 1.0, 0.0], &present));
    assert_close(&loss, &Tensor::scalar(ln(2.0)), ULPS, "bce");
    assert_eq!(gradient.as_slice(), [0.0, 0.0, -0.25, 0.25]);
}

/// bce: ln(4/3) and ln 4 at z = ln 3. mse: errors 1 and 2.
#[test]
fn losses_by_hand() {
    let z = Tensor::new([2], vec![ln(3.0); 2]);
    let [loss, _] = run(&z, |z| z.bce_with_logits(&[1.0, 0.0], &[true; 2]));
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
    let [loss, gradient] = run(&Tensor::full([1, 2], 7.0), |z| z.kl_with_logits(&t, &[true]));
    let expected = Tensor::scalar(0.25 * ln(0.5) + 0.75 * ln(1.5));
    assert_close(&loss, &expected, ULPS, "loss");
    assert_eq!(gradient.as_slice(), [0.25, -0.25]);

    let sure = Tensor::new([1, 2], vec![0.0, 1.0]);
    let [loss, gradient] =
        run(&Tensor::new([1, 2], vec![-Real::INFINITY, 0.5]), |z| z.kl_with_logits(&sure, &[true]));
    assert_eq!((loss.item(), gradient.as_slice()), (0.0, &[0.0, 0.0][..]));

    let case = Case::new(9, 4, 2);
    let one_hot =
        Tensor::from_fn([9, 4], |i| Real::from(u8::from(case.classes[i / 4] as usize == i % 4)));
    let [kl, ce] = [
        run(&case.matrix, |z| z.kl_with_logits(&one_hot, &[true; 9])),
        run(&case.matrix, |z| z.cross_entropy(&case.classes, &[true; 9])),
    ];
    assert_close(&kl[0], &ce[0], ULPS, "loss");
    assert_close(&kl[1], &ce[1], ULPS, "gradient");

    let own = Tape::inference().constant(case.matrix.clone()).softmax().value();
    let [loss, gradient] = run(&case.matrix, |z| z.kl_with_logits(&own, &[true; 9]));
    assert_close(&loss, &Tensor::scalar(0.0), ULPS, "loss");
    assert_close(&gradient, &Tensor::zeros([9, 4]), ULPS, "gradient");
    // Logits far out.
    let [loss, _] = run(&Tensor::new([1, 2], vec![1e4, -1e4]), |z| z.kl_with_logits(&t, &[true]));
    assert_close(&loss, &Tensor::scalar(0.25 * ln(0.25) + 0.75 * (ln(0.75) + 2e4)), ULPS, "far");
}

/// A Kullback-Leibler divergence is never below 0; this one by more than rounding would be an error of sign.
#[test]
fn kl_is_not_negative() {
    for seed in 0..50 {
        let case = Case::new(1, 7, seed);
        let [loss, _] = run(&case.matrix, |z| z.kl_with_logits(&case.probabilities, &[true]));
        assert!(loss.item() > -ULPS, "{loss:?}");
    }
}

#[test]
#[should_panic(expected = "masked_mse: one flag per row")]
fn a_missing_flag_is_refused() {
    let _ = run(&Tensor::zeros([2]), |x| x.masked_mse(&[0.0, 1.0], &[true]));
}

#[test]
#[should_panic(expected = "kl_with_logits: shapes of logits and targets differ")]
fn targets_of_another_shape_are_refused() {
    let _ = run(&Tensor::zeros([2, 3]), |z| z.kl_with_logits(&Tensor::zeros([3, 2]), &[true; 2]));
}
