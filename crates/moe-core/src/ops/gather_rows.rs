use crate::Tensor;
use crate::tape::{Backward, InputGradients, Operator, RowGradient, Var};

struct GatherRows {
    ids: Vec<u32>,
}

impl Operator for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let table = inputs[0];
        let mut out = Vec::with_capacity(self.ids.len() * table.cols());
        for &id in &self.ids {
            assert!(
                (id as usize) < table.rows(),
                "gather_rows: row {id} of a table of {} rows",
                table.rows()
            );
            out.extend_from_slice(table.row(id as usize));
        }
        Tensor::new([self.ids.len(), table.cols()], out)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let shape = *at.inputs[0].shape();
        gradients.add_rows(0, RowGradient::scatter(shape, &self.ids, at.cotangent));
    }
}

impl<'t> Var<'t> {
    /// Rows of a table, as an embedding does. Its gradient is sparse: only the rows named.
    ///
    /// # Shapes
    /// `[V, E]`, B ids → `[B, E]`
    ///
    /// # Panics
    /// If an id is not below V.
    pub fn gather_rows(self, ids: &[u32]) -> Var<'t> {
        let gather = GatherRows { ids: ids.to_vec() };
        self.tape().apply(gather, &[self])
    }
}
