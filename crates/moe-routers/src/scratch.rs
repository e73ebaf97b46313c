use moe_core::Real;
use moe_core::tape::Tape;

use crate::parts::PartsBuf;

/// Working memory of [`Router::infer`](crate::Router::infer), kept by the caller from call to call. Every router may use
/// all of it; what a call leaves in it means nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scratch {
    /// The gate logits of all rows, or what becomes of them.
    pub logits: Vec<Real>,
    /// Another matrix: what the logits are made of, or what stands beside them.
    pub hidden: Vec<Real>,
    /// Numbers of one row or column.
    pub line: Vec<Real>,
    /// Numbers of rows, experts or pairs.
    pub order: Vec<u32>,
    /// Of each gate.
    pub parts: Vec<PartsBuf>,
    /// Of each gate, where several are computed at the same time.
    pub(crate) gates: Vec<Scratch>,
    /// For routers that have no more than `route`.
    tape: Tape,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            logits: Vec::new(),
            hidden: Vec::new(),
            line: Vec::new(),
            order: Vec::new(),
            parts: Vec::new(),
            gates: Vec::new(),
            tape: Tape::inference(),
        }
    }
}

impl Scratch {
    /// Calls `f` with an empty tape for inference, and clears it afterwards, so that its buffers go back to the pool.
    pub fn with_tape<T>(&mut self, f: impl FnOnce(&Tape) -> T) -> T {
        let result = f(&self.tape);
        self.tape.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::Tensor;

    #[test]
    fn a_tape_is_empty_again_after_use() {
        let mut scratch = Scratch::default();
        let mut rows = Tensor::zeros([1, 4]);
        let address = rows.as_slice().as_ptr();
        scratch.with_tape(|tape| tape.constant(rows.clone()).value());
        // Nobody else holds the buffer, so that writing to it does not copy.
        rows.as_mut_slice()[0] = 1.0;
        assert_eq!(rows.as_slice().as_ptr(), address);
    }
}
