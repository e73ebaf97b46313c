//! Computations on the values of a tape that do not depend on each other.

use smallvec::SmallVec;

use crate::kernel::parallel::{are_worth_a_region, for_each2};
use crate::tensor::Tensor;

use super::sub_tape::SubTape;
use super::tape::{Tape, Var, Vars};

impl Tape {
    /// Computes `f(i, inputs[i])` for every input, of about `work` elementary operations for each row.
    ///
    /// On a tape that does not record, they are computed in one parallel region if they are worth it, each on a tape of its own,
    /// so that a thread that has finished one goes on with another. Otherwise they are computed one after the other on this
    /// tape. The bits are the same.
    ///
    /// ```
    /// use moe_core::{Tensor, tape::Tape};
    ///
    /// let tape = Tape::new();
    /// let inputs = [1.0, 2.0].map(|value| tape.constant(Tensor::scalar(value)));
    /// let outputs = tape.map_each(&inputs, 1, |i, x| x.scale(10.0 + i as moe_core::Real));
    /// assert_eq!([outputs[0].value().item(), outputs[1].value().item()], [10.0, 22.0]);
    /// ```
    ///
    /// # Panics
    /// If an input or an output of `f` is of another tape.
    pub fn map_each<'t>(
        &'t self,
        inputs: &[Var<'t>],
        work: usize,
        f: impl for<'s> Fn(usize, Var<'s>) -> Var<'s> + Sync,
    ) -> Vars<'t> {
        let rows = inputs.first().map_or(0, |x| x.shape().as_matrix().0);
        if self.recording || !are_worth_a_region(rows, inputs.len() * work) {
            return inputs.iter().enumerate().map(|(i, &x)| f(i, x)).collect();
        }
        self.assert_own("map_each", inputs);
        let mut inputs: SmallVec<[Tensor; 4]> = inputs.iter().map(Var::value).collect();
        let mut outputs: SmallVec<[Tensor; 4]> = inputs.iter().map(|_| Tensor::default()).collect();
        for_each2((rows, work), &mut inputs, &mut outputs, |i, x, out| {
            let x = std::mem::take(x);
            (*out, _) = SubTape::run("map_each: an output", x, false, false, |x| f(i, x));
        });
        outputs.into_iter().map(|output| self.constant(output)).collect()
    }
}
