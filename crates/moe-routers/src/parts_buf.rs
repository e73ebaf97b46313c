use moe_core::Real;

use crate::parts::Parts;

/// The parts of a gate for B rows, without a tape: the weights of [`Parts`] in a reusable buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartsBuf {
    parts: usize,
    experts: usize,
    weights: Vec<Real>,
}

impl PartsBuf {
    /// Makes room for K parts over N experts for each of B rows, and returns the weights, whose values are unspecified.
    ///
    /// # Shapes
    /// → `[B, K, N]`
    pub fn resize(&mut self, rows: usize, parts: usize, experts: usize) -> &mut [Real] {
        (self.parts, self.experts) = (parts, experts);
        self.weights.resize(rows * parts * experts, 0.0);
        &mut self.weights
    }

    /// Number of rows (B).
    pub(crate) fn rows(&self) -> usize {
        self.weights.len() / (self.parts * self.experts).max(1)
    }

    /// Number of parts (K).
    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    /// Number of experts (N).
    pub(crate) fn experts(&self) -> usize {
        self.experts
    }

    /// The weights of a row, part by part.
    ///
    /// # Shapes
    /// → `[K, N]`
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn row(&self, row: usize) -> &[Real] {
        let size = self.parts * self.experts;
        &self.weights[row * size..(row + 1) * size]
    }

    /// The weights, writable.
    ///
    /// # Shapes
    /// → `[B, K, N]`
    pub fn weights_mut(&mut self) -> &mut [Real] {
        &mut self.weights
    }

    /// Copies the weights of `parts`.
    pub(crate) fn copy_from(&mut self, parts: &Parts<'_>) {
        let weights = parts.weights.value();
        let shape = weights.shape();
        self.resize(shape[0], shape[1], shape[2]).copy_from_slice(weights.as_slice());
    }
}
