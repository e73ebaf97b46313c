//! Computations that know nothing of each other, at the same time.

use crate::buffer::Buffer;
use crate::kernel::for_each2;
use crate::real::Real;
use crate::tensor::Tensor;

use super::sub_tape::{Found, SubTape};
use super::{Backward, InputGradients, Operator, Tape, Var};

/// Its inputs are those of the branches and then, branch by branch, the parameters that learn; its output is theirs, one
/// after the other.
struct Branches {
    /// Absent where no gradient is needed.
    sub_tapes: Vec<Option<SubTape>>,
    /// Elements of every output.
    lengths: Vec<usize>,
    /// Rows of a branch, and multiply-adds for each.
    work: (usize, usize),
    /// Computed before the operator is recorded, since only then its inputs are known.
    output: Option<Tensor>,
}

impl Operator for Branches {
    fn name(&self) -> &'static str {
        "map_each"
    }

    fn forward(&mut self, _inputs: &[&Tensor]) -> Tensor {
        self.output.take().expect("forward is called once")
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut rest = at.cotangent.as_slice();
        let mut branches: Vec<_> = (self.sub_tapes.iter().zip(&self.lengths))
            .map(|(sub_tape, &length)| (sub_tape, rest.split_off(..length).expect("all outputs")))
            .collect();
        let mut found: Vec<Found> = branches.iter().map(|_| Found::default()).collect();
        let (rows, work) = self.work;
        for_each2(
            (rows, 2 * work),
            &mut branches,
            &mut found,
            |_, (sub_tape, cotangent), found| {
                if let Some(sub_tape) = sub_tape {
                    *found = sub_tape.backward(Buffer::copy_of(cotangent));
                }
            },
        );
        let (of_inputs, of_parameters): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| (found.of_input, found.of_parameters)).unzip();
        let found = of_inputs.into_iter().chain(of_parameters.into_iter().flatten());
        // The last one first, as if they were operators of this tape.
        for (i, gradient) in found.enumerate().collect::<Vec<_>>().into_iter().rev() {
            if let Some(gradient) = gradient {
                gradients.add_gradient(i, gradient);
            }
        }
    }
}

impl Tape {
    /// `f(i, inputs[i])` for every input, at the same time if there are rows enough and `work` (multiply-adds for a row) is
    /// worth it: computations that know nothing of each other, heads for instance.
    ///
    /// Each of several has a tape of its own, forward and backward, and may be made of any operators. Parameters and inputs
    /// that several use get the sum of their gradients, the last computation's first, so that bits do not depend on the
    /// number of threads. The gradient of all of them is computed if one is asked for: a parameter of an output that the
    /// result does not depend on has a gradient of zeros. Leaves that `f` makes with [`Tape::variable`] stay inside.
    ///
    /// ```
    /// use moe_core::tape::Tape;
    /// use moe_core::{Parameter, Tensor};
    ///
    /// let weights = [2.0, 3.0].map(|w| Parameter::new(Tensor::full([1, 1], w)));
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::new([2, 1], vec![1.0, 4.0]));
    /// let y = tape.map_each(&[x, x], 1, |i, x| x.matmul(x.tape().parameter(&weights[i])));
    /// assert_eq!(y[1].value().as_slice(), [3.0, 12.0]);
    /// let gradients = tape.backward((y[0] * y[1]).sum());
    /// assert_eq!(gradients.get(&weights[0]).unwrap().stored().item(), 51.0);
    /// ```
    ///
    /// # Shapes
    /// Any; rows are those of the longest input.
    ///
    /// # Panics
    /// If an input is of another tape, or `f` panics.
    pub fn map_each<'t>(
        &'t self,
        inputs: &[Var<'t>],
        work: usize,
        f: impl for<'s> Fn(usize, Var<'s>) -> Var<'s> + Sync,
    ) -> Vec<Var<'t>> {
        self.assert_own("map_each", inputs);
        if let [input] = inputs {
            return vec![f(0, *input)];
        }
        let recording = self.recording;
        let wants = |x: &Var<'_>| self.nodes.borrow()[x.index()].needs_gradient;
        let mut values: Vec<_> = inputs.iter().map(|x| (x.value(), wants(x))).collect();
        let rows = values.iter().map(|(x, _)| x.rows()).max().unwrap_or(0);
        let mut branches: Vec<_> = inputs.iter().map(|_| (Tensor::default(), None)).collect();
        for_each2((rows, work), &mut values, &mut branches, |i, (x, wants), branch| {
            let name = "map_each: an output";
            *branch = SubTape::run(name, x.clone(), *wants, recording, |x| f(i, x));
        });

        let (outputs, sub_tapes): (Vec<Tensor>, Vec<_>) = branches.into_iter().unzip();
        let mut all = inputs.to_vec();
        for sub_tape in sub_tapes.iter().flatten() {
            sub_tape.parameters_on(self, &mut all);
        }
        let lengths: Vec<usize> = outputs.iter().map(Tensor::len).collect();
        let mut output = Tensor::unspecified([lengths.iter().sum()]);
        let mut rest: &mut [Real] = output.as_mut_slice();
        for one in &outputs {
            rest.split_off_mut(..one.len()).expect("all outputs").copy_from_slice(one.as_slice());
        }
        let branches = Branches { sub_tapes, lengths, work: (rows, work), output: Some(output) };
        let output = self.apply(branches, &all);
        let mut end = 0;
        let parts = outputs.iter().map(|one| {
            let start = end;
            end += one.len();
            output.slice(0, start..end).reshape(*one.shape())
        });
        parts.collect()
    }
}
