//! Losses of rows and their means.

use crate::buffer::Buffer;
use crate::kernel::parallel::for_row_blocks2;
use crate::kernel::reduce::sum;
use crate::kernel::vector_math::{Function, Ln, LnOnePlusExpOfMinusAbs, Sigmoid, map};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::softmax::softmax_rows;

/// The mean of the losses of rows, with its gradient computed in the forward pass.
struct RowLoss<F> {
    name: &'static str,
    rows: usize,
    /// 1 for each row that counts and 0 for the others. Absent if all rows count.
    counts: Option<Buffer<Real>>,
    /// `rule(x, losses, gradient)` writes the loss of each row, and replaces x in `gradient` by the gradient of the loss.
    rule: F,
    gradient: Option<Tensor>,
}

impl<F: Fn(&Tensor, &mut [Real], &mut [Real]) + Send + 'static> Operator for RowLoss<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let (mut losses, mut gradient) = (Buffer::filled(self.rows, 0.0), x.clone());
        let slopes = gradient.as_mut_slice();
        (self.rule)(x, &mut losses, slopes);
        let total = self.counts.as_ref().map_or(self.rows as Real, |counts| sum(counts));
        let cols = (x.len() / self.rows.max(1)).max(1);
        for (row, (slopes, loss)) in
            slopes.chunks_exact_mut(cols).zip(losses.iter_mut()).enumerate()
        {
            if self.counts.as_ref().is_some_and(|counts| counts[row] == 0.0) {
                // The row may hold anything, NaN too.
                *loss = 0.0;
                slopes.fill(0.0);
            } else {
                slopes.iter_mut().for_each(|g| *g /= total);
            }
        }
        self.gradient = Some(gradient);
        Tensor::scalar(if total == 0.0 { 0.0 } else { sum(&losses) / total })
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let gradient = self.gradient.as_ref().expect("forward has run");
        let factor = at.cotangent.item();
        gradients.add(0, gradient.map(|g| g * factor));
    }
}

impl<'t> Var<'t> {
    /// `present` has a flag for each entry of the first axis, which has `rows / flags` losses.
    fn row_loss(
        self,
        name: &'static str,
        rows: usize,
        present: &[bool],
        rule: impl Fn(&Tensor, &mut [Real], &mut [Real]) + Send + 'static,
    ) -> Var<'t> {
        let flags = self.shape().first().copied().unwrap_or(1);
        assert_eq!(present.len(), flags, "{name}: one flag per row");
        let each = rows / flags.max(1);
        let counts = present.contains(&false).then(|| {
            let mut counts = Buffer::unspecified(rows);
            for (counts, &present) in counts.chunks_exact_mut(each.max(1)).zip(present) {
                counts.fill(Real::from(u8::from(present)));
            }
            counts
        });
        self.tape().apply(RowLoss { name, rows, counts, rule, gradient: None }, &[self])
    }

    /// Binary cross-entropy of logits z against targets t in [0, 1], mean over the logits of the rows that are present:
    /// max(z, 0) - z t + ln(1 + e^-|z|). No such row: 0.
    ///
    /// # Shapes
    /// `[B]` or `[B, W]`, B W targets, B flags → `[]`
    ///
    /// # Panics
    /// If there is not one target per logit and one flag per row.
    pub fn bce_with_logits(self, targets: &[Real], present: &[bool]) -> Var<'t> {
        let targets = Buffer::copy_of(targets);
        assert_eq!(self.shape().size(), targets.len(), "bce_with_logits: one target per logit");
        self.row_loss("bce_with_logits", targets.len(), present, move |z, losses, gradient| {
            losses.copy_from_slice(z.as_slice());
            map(LnOnePlusExpOfMinusAbs, losses);
            map(Sigmoid, gradient);
            for (i, (&z, &t)) in z.as_slice().iter().zip(targets.iter()).enumerate() {
                losses[i] += z.max(0.0) - z * t;
                gradient[i] -= t;
            }
        })
    }

    /// Squared error, mean over the predictions of the rows that are present. No such row: 0.
    ///
    /// # Shapes
    /// `[B]` or `[B, W]`, B W values, B flags → `[]`
    ///
    /// # Panics
    /// If there is not one value per prediction and one flag per row.
    pub fn masked_mse(self, values: &[Real], present: &[bool]) -> Var<'t> {
        let values = Buffer::copy_of(values);
        assert_eq!(self.shape().size(), values.len(), "masked_mse: one value per prediction");
        self.row_loss("masked_mse", values.len(), present, move |_, losses, gradient| {
            for ((loss, g), value) in losses.iter_mut().zip(gradient).zip(values.iter()) {
                let error = *g - value;
                *loss = error * error;
                *g = 2.0 * error;
            }
        })
    }

    /// Cross-entropy of the softmax of logits against classes, mean over the rows that are present. No such row: 0.
    ///
    /// # Shapes
    /// `[B, C]`, B classes and flags → `[]`
    ///
    /// # Panics
    /// If there is not one class and one flag per row, or the class of a row that is present is not below C.
    pub fn cross_entropy(self, classes: &[u32], present: &[bool]) -> Var<'t> {
        let mut classes = Buffer::copy_of(classes);
        let (rows, cols) = self.shape().as_matrix();
        assert_eq!(rows, classes.len(), "cross_entropy: one class per row");
        assert_eq!(rows, present.len(), "cross_entropy: one flag per row");
        for (class, &present) in classes.iter_mut().zip(present) {
            // The class of another row may be anything.
            *class = if present { *class } else { 0 };
            assert!((*class as usize) < cols, "cross_entropy: class {class} of {cols}");
        }
        self.row_loss("cross_entropy", rows, present, move |z, losses, gradient| {
            for_row_blocks2((gradient, cols), (losses, 1), |first, gradient, losses| {
                let class = |r: usize| classes[first + r] as usize;
                softmax_rows(gradient, cols, |r, largest, total| {
                    losses[r] = (largest - z.row(first + r)[class(r)]) + Ln::at(total);
                });
                for (r, row) in gradient.chunks_exact_mut(cols).enumerate() {
                    row[class(r)] -= 1.0;
                }
            });
        })
    }

    /// Kullback-Leibler divergence of the softmax of logits z from target probabilities t, mean over the rows that
    /// are present: Σ t (ln t - log_softmax(z)), where a term with t = 0 is 0. The targets are constants and should add up
    /// to 1 in each row. A negative target makes the loss NaN. No such row: 0.
    ///
    /// For distillation t is the teacher's softmax, for a router the desired gate.
    ///
    /// # Shapes
    /// `[B, C]`, `targets` `[B, C]`, B flags → `[]`
    ///
    /// # Panics
    /// If the shapes differ, or there is not one flag per row.
    pub fn kl_with_logits(self, targets: &Tensor, present: &[bool]) -> Var<'t> {
        let shape = self.shape();
        assert_eq!(shape, *targets.shape(), "kl_with_logits: shapes of logits and targets differ");
        let (rows, cols) = shape.as_matrix();
        let targets = targets.clone();
        self.row_loss("kl_with_logits", rows, present, move |z, losses, gradient| {
            for_row_blocks2((gradient, cols), (losses, 1), |first, gradient, losses| {
                softmax_rows(gradient, cols, |r, largest, total| {
                    let total = Ln::at(total);
                    let terms = targets.row(first + r).iter().zip(z.row(first + r));
                    let divergences = terms.map(|(&t, &z)| match t {
                        0.0 => 0.0,
                        _ => t * (Ln::at(t) - ((z - largest) - total)),
                    });
                    losses[r] = divergences.sum();
                });
                for (r, row) in gradient.chunks_exact_mut(cols).enumerate() {
                    let targets = targets.row(first + r);
                    let mass = sum(targets);
                    row.iter_mut().zip(targets).for_each(|(g, t)| *g = mass * *g - t);
                }
            });
        })
    }
}
