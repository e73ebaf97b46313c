use std::sync::Arc;

use crate::Tensor;
use crate::dispatch::ExpertPlan;
use crate::kernel::{Mat, for_pieces, gemm_groups, sum_axis};
use crate::ops::linear::fill_rows;
use crate::tape::{Backward, InputGradients, Operator, Var};

struct GroupedLinear {
    plan: Arc<ExpertPlan>,
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
        let mut y = Tensor::unspecified([plan.slots(), outputs]);
        for expert in 0..plan.num_experts() {
            let slots = plan.slots_of_expert(expert);
            let block = &mut y.as_mut_slice()[slots.start * outputs..slots.end * outputs];
            fill_rows(block, b.row(expert));
        }
        gemm_groups(
            plan.num_experts(),
            |e| plan.slots_of_expert(e).len(),
            |e| (self.slots(x, e), self.weight(w, e)),
            true,
            y.as_mut_slice(),
        );
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let (plan, dy) = (&self.plan, at.cotangent);
        let experts = plan.num_experts();
        if gradients.wants(0) {
            let mut dx = Tensor::unspecified(*x.shape());
            let rows = |e| plan.slots_of_expert(e).len();
            let factors = |e| (self.slots(dy, e), self.weight(w, e).t());
            gemm_groups(experts, rows, factors, false, dx.as_mut_slice());
            gradients.add(0, dx);
        }
        if gradients.wants(1) {
            let mut dw = Tensor::unspecified(*w.shape());
            let factors = |e| (self.slots(x, e).t(), self.slots(dy, e));
            gemm_groups(experts, |_| x.cols(), factors, false, dw.as_mut_slice());
            gradients.add(1, dw);
        }
        if gradients.wants(2) {
            let mut db = Tensor::unspecified(*b.shape());
            let outputs = b.cols();
            for_pieces(dy.len(), db.as_mut_slice(), outputs.max(1), |expert, sum| {
                let slots = plan.slots_of_expert(expert);
                let of_expert = &dy.as_slice()[slots.start * outputs..slots.end * outputs];
                sum_axis(of_expert, slots.len(), outputs, sum);
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
