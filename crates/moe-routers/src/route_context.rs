use moe_core::kernel::for_row_blocks;
use moe_core::random::{Philox, standard_normals, unit};
use moe_core::{Pass, Real, Tensor};

/// The context of a routing: everything a router needs besides its input.
#[derive(Clone, Copy, Debug)]
pub struct RouteContext<'a> {
    /// Mode, step, row ids and keys.
    pub pass: Pass<'a>,
    /// Index of the gate in its layer; gates draw different random numbers.
    pub gate: usize,
}

impl<'a> RouteContext<'a> {
    /// The random function of this gate for `purpose` at this step; use row ids and experts as its counter.
    pub fn philox(&self, purpose: &str) -> Philox {
        self.pass.philox(&format!("router.{}.{purpose}", self.gate))
    }

    /// Standard normal numbers for `purpose`, which depend on seed, step, gate, row id and column alone.
    ///
    /// # Shapes
    /// → `shape`, `[B, columns]`
    ///
    /// # Panics
    /// If the pass does not have B rows.
    pub fn standard_normals(&self, purpose: &str, shape: [usize; 2]) -> Tensor {
        let philox = self.philox(purpose);
        self.draw_rows(shape, |row, out| standard_normals(philox, row, out))
    }

    /// Uniform numbers in [0, 1) for `purpose`, which depend on seed, step, gate, row id and column alone.
    ///
    /// # Shapes
    /// → `shape`, `[B, columns]`
    ///
    /// # Panics
    /// If the pass does not have B rows.
    pub fn uniforms(&self, purpose: &str, shape: [usize; 2]) -> Tensor {
        let philox = self.philox(purpose);
        self.draw_rows(shape, |row, out| uniforms(philox, row, out))
    }

    /// The numbers that `draw(row id, out)` writes for each row.
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

/// Uniform numbers in [0, 1) for a row: the i-th is word `i % 4` of the block with counter (`row`, `i / 4`, 0).
pub(crate) fn uniforms(philox: Philox, row: u64, out: &mut [Real]) {
    for (block, out) in (0..).zip(out.chunks_mut(4)) {
        let words = philox.row_block(row, block, 0);
        out.iter_mut().zip(words).for_each(|(u, word)| *u = unit(word));
    }
}
