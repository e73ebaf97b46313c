use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Buffer, Real, Tensor};

use super::elementwise::sigmoid;
use super::softmax::softmax_in_place;

/// A mean of losses of rows, with the gradient of that mean computed in the forward pass.
struct RowLoss<F> {
    name: &'static str,
    /// Fills in the gradient of the loss with respect to `x` and returns the loss.
    rule: F,
    gradient: Option<Tensor>,
}

impl<F: Fn(&Tensor, &mut [Real]) -> Real + Send + 'static> Operator for RowLoss<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut gradient = Tensor::zeros(*inputs[0].shape());
        let loss = (self.rule)(inputs[0], gradient.as_mut_slice());
        self.gradient = Some(gradient);
        Tensor::scalar(loss)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let gradient = self.gradient.as_ref().expect("forward has run");
        let factor = at.cotangent.item();
        gradients.add(0, gradient.map(|g| g * factor));
    }
}

impl<'t> Var<'t> {
    fn row_loss(
        self,
        name: &'static str,
        rule: impl Fn(&Tensor, &mut [Real]) -> Real + Send + 'static,
    ) -> Var<'t> {
        let loss = RowLoss { name, rule, gradient: None };
        self.tape().apply(loss, &[self])
    }

    /// Binary cross-entropy of logits z against targets t in [0, 1], mean over the rows:
    /// max(z, 0) - z t + ln(1 + e^-|z|). No rows: 0.
    ///
    /// # Shapes
    /// `[B]` or `[B, 1]`, B targets → `[]`
    ///
    /// # Panics
    /// If there is not one target per logit.
    pub fn bce_with_logits(self, targets: &[Real]) -> Var<'t> {
        let targets = Buffer::copy_of(targets);
        self.row_loss("bce_with_logits", move |z, gradient| {
            assert_eq!(z.len(), targets.len(), "bce_with_logits: one target per logit");
            let rows = targets.len().max(1) as Real;
            let mut sum = 0.0;
            for ((z, t), g) in z.as_slice().iter().zip(targets.iter()).zip(gradient) {
                sum += z.max(0.0) - z * t + (-z.abs()).exp().ln_1p();
                *g = (sigmoid(*z) - t) / rows;
            }
            sum / rows
        })
    }

    /// Squared error, mean over the rows that are present. No such row: 0.
    ///
    /// # Shapes
    /// `[B]` or `[B, 1]`, B values and flags → `[]`
    ///
    /// # Panics
    /// If there is not one value and one flag per prediction.
    pub fn masked_mse(self, values: &[Real], present: &[bool]) -> Var<'t> {
        let (values, present) = (Buffer::copy_of(values), present.to_vec());
        self.row_loss("masked_mse", move |x, gradient| {
            assert_eq!(
                (x.len(), x.len()),
                (values.len(), present.len()),
                "masked_mse: one value and one flag per prediction"
            );
            let count = present.iter().filter(|&&p| p).count().max(1) as Real;
            let mut sum = 0.0;
            for i in (0..values.len()).filter(|&i| present[i]) {
                let error = x.as_slice()[i] - values[i];
                sum += error * error;
                gradient[i] = 2.0 * error / count;
            }
            sum / count
        })
    }

    /// Cross-entropy of the softmax of logits against classes, mean over the rows. No rows: 0.
    ///
    /// # Shapes
    /// `[B, C]`, B classes → `[]`
    ///
    /// # Panics
    /// If there is not one class per row, or a class is not below C.
    pub fn cross_entropy(self, classes: &[u32]) -> Var<'t> {
        let classes = Buffer::copy_of(classes);
        self.row_loss("cross_entropy", move |z, gradient| {
            assert_eq!(z.rows(), classes.len(), "cross_entropy: one class per row");
            let rows = classes.len().max(1) as Real;
            let cols = z.cols();
            gradient.copy_from_slice(z.as_slice());
            let mut sum = 0.0;
            for (row, (&class, g)) in
                classes.iter().zip(gradient.chunks_exact_mut(cols)).enumerate()
            {
                let class = class as usize;
                assert!(class < cols, "cross_entropy: class {class} of {cols}");
                let z = z.row(row);
                let max = z.iter().copied().fold(Real::NEG_INFINITY, Real::max);
                let total: Real = z.iter().map(|v| (v - max).exp()).sum();
                sum += (max - z[class]) + total.ln();
                softmax_in_place(g);
                g[class] -= 1.0;
                g.iter_mut().for_each(|g| *g /= rows);
            }
            sum / rows
        })
    }
}
