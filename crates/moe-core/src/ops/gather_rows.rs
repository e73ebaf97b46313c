use crate::buffer::Buffer;
use crate::kernel::parallel::for_row_blocks;
use crate::tape::gradient::RowGradient;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct GatherRows {
    ids: Buffer<u32>,
}

impl Operator for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let table = inputs[0];
        let cols = table.cols();
        let mut out = Tensor::unspecified([self.ids.len(), cols]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            for (&id, row) in self.ids[first..].iter().zip(block.chunks_exact_mut(cols)) {
                assert!(
                    (id as usize) < table.rows(),
                    "gather_rows: row {id} of a table of {} rows",
                    table.rows()
                );
                row.copy_from_slice(table.row(id as usize));
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let shape = *at.inputs[0].shape();
        gradients.add_rows(0, RowGradient::scatter(shape, &self.ids, &at.cotangent));
    }
}

impl<'t> Var<'t> {
    /// Rows of a table, as for an embedding. The gradient of the table is sparse: it holds only these rows.
    ///
    /// # Shapes
    /// `[V, E]`, B ids → `[B, E]`
    ///
    /// # Panics
    /// If an id is not below V.
    pub fn gather_rows(self, ids: &[u32]) -> Var<'t> {
        let gather = GatherRows { ids: Buffer::copy_of(ids) };
        self.tape().apply(gather, &[self])
    }
}
