use std::sync::Arc;

use crate::dispatch::ExpertPlan;
use crate::kernel::{Block, Mat, for_each_block, gemm_blocks, sum_rows};
use crate::ops::linear::fill_rows;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

struct GroupedLinear {
    plan: Arc<ExpertPlan>,
}

/// What belongs to each expert, in a slice where `size(expert)` elements do.
fn split_by_expert<'a>(
    plan: &ExpertPlan,
    mut slice: &'a mut [Real],
    size: impl Fn(usize) -> usize,
) -> Vec<&'a mut [Real]> {
    (0..plan.num_experts())
        .map(|expert| slice.split_off_mut(..size(expert)).expect("sizes add up to the slice"))
        .collect()
}

impl GroupedLinear {
    /// The slots of an expert as a matrix.
    fn slots<'a>(&self, tensor: &'a Tensor, expert: usize) -> Mat<'a> {
        let (range, cols) = (self.plan.slots_of_expert(expert), tensor.cols());
        Mat::new(&tensor.as_slice()[range.start * cols..range.end * cols], range.len(), cols)
    }

    /// The weight matrix of an expert.
    fn weight<'a>(&self, weight: &'a Tensor, expert: usize) -> Mat<'a> {
        let (inputs, outputs) = (weight.shape()[1], weight.shape()[2]);
        let size = inputs * outputs;
        Mat::new(&weight.as_slice()[expert * size..(expert + 1) * size], inputs, outputs)
    }

    /// `c = a b + beta c` for every expert, where `c` of an expert has `size(expert)` elements of `out`.
    fn products<'a>(
        &self,
        out: &'a mut Tensor,
        size: impl Fn(usize) -> usize,
        beta: Real,
        factors: impl Fn(usize) -> (Mat<'a>, Mat<'a>),
    ) {
        let blocks = split_by_expert(&self.plan, out.as_mut_slice(), size)
            .into_iter()
            .enumerate()
            .map(|(expert, c)| {
                let (a, b) = factors(expert);
                Block { a, b, c }
            })
            .collect();
        gemm_blocks(beta, blocks);
    }
}

impl Operator for GroupedLinear {
    fn name(&self) -> &'static str {
        "grouped_linear"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w, b) = (inputs[0], inputs[1], inputs[2]);
        let plan = &self.plan;
        assert!(
            w.shape().rank() == 3
                && w.shape()[0] == plan.num_experts()
                && w.shape()[1] == x.cols()
                && b.shape()[..] == [w.shape()[0], w.shape()[2]]
                && x.rows() == plan.slots(),
            "grouped_linear: slots {:?}, weight {:?} and bias {:?} do not fit {} slots of {} experts",
            x.shape(),
            w.shape(),
            b.shape(),
            plan.slots(),
            plan.num_experts()
        );
        let outputs = w.cols();
        let size = |expert| plan.slots_of_expert(expert).len() * outputs;
        let mut y = Tensor::zeros([plan.slots(), outputs]);
        for (expert, block) in split_by_expert(plan, y.as_mut_slice(), size).into_iter().enumerate()
        {
            fill_rows(block, b.row(expert));
        }
        self.products(&mut y, size, 1.0, |e| (self.slots(x, e), self.weight(w, e)));
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let (plan, dy) = (&self.plan, at.cotangent);
        if gradients.wants(0) {
            let mut dx = Tensor::zeros(*x.shape());
            let size = |expert| plan.slots_of_expert(expert).len() * x.cols();
            self.products(&mut dx, size, 0.0, |e| (self.slots(dy, e), self.weight(w, e).t()));
            gradients.add(0, dx);
        }
        if gradients.wants(1) {
            let mut dw = Tensor::zeros(*w.shape());
            let size = |_| w.shape()[1] * w.shape()[2];
            self.products(&mut dw, size, 0.0, |e| (self.slots(x, e).t(), self.slots(dy, e)));
            gradients.add(1, dw);
        }
        if gradients.wants(2) {
            let mut db = Tensor::zeros(*b.shape());
            let outputs = b.cols();
            let pieces = db.as_mut_slice().chunks_mut(outputs.max(1)).enumerate().collect();
            for_each_block(dy.len(), pieces, |(expert, sum): (usize, &mut [Real])| {
                let slots = plan.slots_of_expert(expert);
                sum_rows(&dy.as_slice()[slots.start * outputs..slots.end * outputs], sum);
            });
            gradients.add(2, db);
        }
    }
}

impl<'t> Var<'t> {
    /// x W + b of every slot with the weights of its expert. An expert without slots costs nothing.
    ///
    /// # Shapes
    /// x `[S, D]`, `weight` `[N, D, O]`, `bias` `[N, O]` → `[S, O]`
    ///
    /// # Panics
    /// If the shapes do not fit each other and the plan.
    pub fn grouped_linear(self, weight: Var<'t>, bias: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t> {
        let plan = Arc::clone(plan);
        self.tape().apply(GroupedLinear { plan }, &[self, weight, bias])
    }
}
