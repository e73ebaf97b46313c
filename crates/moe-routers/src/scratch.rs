use moe_core::Real;
use moe_core::tape::Tape;

use crate::parts_buf::PartsBuf;

/// Working memory of [`Router::infer`](crate::Router::infer), which the caller keeps between calls. A router may use
/// all of it, and may not rely on what an earlier call left in it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scratch {
    /// The gate logits of all rows, or values computed from them.
    pub logits: Vec<Real>,
    /// A second matrix: what the logits are computed from, or what is needed beside them.
    pub hidden: Vec<Real>,
    /// Values of one row or column.
    pub line: Vec<Real>,
    /// Indices of rows, experts or pairs.
    pub order: Vec<u32>,
    /// Parts of each gate.
    parts: Vec<PartsBuf>,
    /// Working memory of each gate, where several are computed at the same time.
    pub(crate) gates: Vec<Scratch>,
    /// For routers that implement only `route`.
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
    /// Calls `f` with an empty inference tape and clears it afterwards, so that its buffers return to the pool.
    pub fn with_tape<T>(&mut self, f: impl FnOnce(&Tape) -> T) -> T {
        let result = f(&self.tape);
        self.tape.clear();
        result
    }

    /// Calls `f` with room for the parts of `gates` gates and with the rest of the memory.
    pub(crate) fn with_parts(&mut self, gates: usize, f: impl FnOnce(&mut [PartsBuf], &mut Self)) {
        let mut parts = std::mem::take(&mut self.parts);
        parts.resize_with(parts.len().max(gates), PartsBuf::default);
        f(&mut parts[..gates], self);
        self.parts = parts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::Tensor;

    #[test]
    fn a_tape_is_empty_again_afterwards() {
        let mut scratch = Scratch::default();
        let mut rows = Tensor::zeros([1, 4]);
        let address = rows.as_slice().as_ptr();
        scratch.with_tape(|tape| tape.constant(rows.clone()).value());
        // Nothing else holds the buffer, so that writing to it does not copy.
        rows.as_mut_slice()[0] = 1.0;
        assert_eq!(rows.as_slice().as_ptr(), address);
    }
}
