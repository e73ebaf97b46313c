use crate::buffer::Buffer;
use crate::kernel::parallel::for_pieces;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::axis::{Around, resized};

struct IndexSelect {
    axis: usize,
    indices: Buffer<u32>,
}

impl Operator for IndexSelect {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let around = Around::new(self.name(), x.shape(), self.axis);
        let (slab, inner) = (around.slab(), around.inner.max(1));
        let mut y = Tensor::unspecified(resized(x.shape(), self.axis, self.indices.len()));
        let piece = (self.indices.len() * inner).max(1);
        for_pieces(y.len(), y.as_mut_slice(), piece, |outer, y| {
            let x = &x.as_slice()[outer * slab..][..slab];
            for (row, &index) in y.chunks_exact_mut(inner).zip(self.indices.iter()) {
                row.copy_from_slice(&x[index as usize * inner..][..inner]);
            }
        });
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = Tensor::zeros(*at.inputs[0].shape());
        let around = Around::new(self.name(), dx.shape(), self.axis);
        let (slab, inner) = (around.slab().max(1), around.inner.max(1));
        let piece = self.indices.len() * inner;
        for_pieces(dx.len(), dx.as_mut_slice(), slab, |outer, dx| {
            let dy = &at.cotangent.as_slice()[outer * piece..][..piece];
            for (row, &index) in dy.chunks_exact(inner).zip(self.indices.iter()) {
                let sum = &mut dx[index as usize * inner..][..inner];
                sum.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// The elements of one axis with these indices, in the order of the indices. Gradients of a repeated index add up, first
    /// occurrence first. For rows of a large table, [`Var::gather_rows`] has a sparse gradient.
    ///
    /// # Shapes
    /// `[…, C, …]`, I indices → `[…, I, …]`
    ///
    /// # Panics
    /// If there is no such axis, or an index is not below C.
    pub fn index_select(self, axis: usize, indices: &[u32]) -> Var<'t> {
        let shape = self.shape();
        let length = Around::new("index_select", &shape, axis).length;
        for &index in indices {
            assert!(
                (index as usize) < length,
                "index_select: index {index} of axis {axis} of shape {shape:?}"
            );
        }
        let select = IndexSelect { axis, indices: Buffer::copy_of(indices) };
        self.tape().apply(select, &[self])
    }
}
