use moe_core::kernel::for_row_blocks;
use moe_core::random::standard_normals;
use moe_core::{Real, Tensor};

use crate::router::RouteContext;
use crate::routers::moesart::sample::uniforms;

impl RouteContext<'_> {
    /// Standard normal numbers for `purpose`: a function of seed, step, gate, row id and column alone.
    ///
    /// # Shapes
    /// → `shape`, `[B, columns]`
    ///
    /// # Panics
    /// If the pass is not one of B rows.
    pub fn standard_normals(&self, purpose: &str, shape: [usize; 2]) -> Tensor {
        let philox = self.philox(purpose);
        self.draw_rows(shape, |row, out| standard_normals(philox, row, out))
    }

    /// Uniform numbers in [0, 1) for `purpose`: a function of seed, step, gate, row id and column alone.
    ///
    /// # Shapes
    /// → `shape`, `[B, columns]`
    ///
    /// # Panics
    /// If the pass is not one of B rows.
    pub fn uniforms(&self, purpose: &str, shape: [usize; 2]) -> Tensor {
        let philox = self.philox(purpose);
        self.draw_rows(shape, |row, out| uniforms(philox, row, out))
    }

    /// What `draw(row id, out)` writes for each row.
    fn draw_rows(
        &self,
        [rows, columns]: [usize; 2],
        draw: impl Fn(u64, &mut [Real]) + Send + Sync,
    ) -> Tensor {
        let row_ids = self.pass.row_ids;
        assert_eq!(row_ids.len(), rows, "one id per row");
        let mut drawn = Tensor::unspecified([rows, columns]);
        for_row_blocks(drawn.as_mut_slice(), columns, |first, block| {
            for (row, id) in block.chunks_exact_mut(columns).zip(&row_ids[first..]) {
                draw(*id, row);
            }
        });
        drawn
    }
}
