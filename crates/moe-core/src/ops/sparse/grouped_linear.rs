use std::sync::Arc;

use crate::dispatch::ExpertPlan;
use crate::kernel::{Around, Mat, for_pieces, gemm_groups, sum_axis};
use crate::ops::linear::fill_rows;
use crate::ops::rectifier::Rectifier;
use crate::random::DropoutDraws;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

struct GroupedLinear {
    plan: Arc<ExpertPlan>,
    rectifier: Option<Rectifier>,
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
        let before = |expert, rows: &mut [Real]| fill_rows(rows, b.row(expert));
        let after = self.rectifier.as_ref().map(|rectifier| {
            move |first, rows: &mut [Real]| rectifier.forward(first, rows, outputs)
        });
        let around =
            Around { before: Some(&before), after: after.as_ref().map(|after| after as _) };
        gemm_groups(
            plan.num_experts(),
            |e| plan.slots_of_expert(e).len(),
            |e| (self.slots(x, e), self.weight(w, e)),
            around,
            y.as_mut_slice(),
        );
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let plan = &self.plan;
        let mut dy = at.cotangent;
        if let Some(rectifier) = &self.rectifier {
            rectifier.backward(at.output, &mut dy);
        }
        let dy = &dy;
        let experts = plan.num_experts();
        if gradients.wants(0) {
            let mut dx = Tensor::unspecified(*x.shape());
            let rows = |e| plan.slots_of_expert(e).len();
            let factors = |e| (self.slots(dy, e), self.weight(w, e).t());
            gemm_groups(experts, rows, factors, Around::default(), dx.as_mut_slice());
            gradients.add(0, dx);
        }
        if gradients.wants(1) {
            let mut dw = Tensor::unspecified(*w.shape());
            let factors = |e| (self.slots(x, e).t(), self.slots(dy, e));
            gemm_groups(experts, |_| x.cols(), factors, Around::default(), dw.as_mut_slice());
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
        let grouped = GroupedLinear { plan: Arc::clone(plan), rectifier: None };
        self.tape().apply(grouped, &[self, weight, bias])
    }

    /// [`Var::grouped_linear`], [`Var::relu`] and [`Var::dropout`] in one pass, with the same numbers.
    ///
    /// # Shapes
    /// As `grouped_linear`; S rows named for the dropout.
    ///
    /// # Panics
    /// As `grouped_linear` and `dropout`.
    pub fn grouped_linear_relu(
        self,
        weight: Var<'t>,
        bias: Var<'t>,
        plan: &Arc<ExpertPlan>,
        dropout: Option<DropoutDraws<'_>>,
    ) -> Var<'t> {
        let rectifier = Some(Rectifier::new(self.shape().as_matrix().0, dropout));
        let grouped = GroupedLinear { plan: Arc::clone(plan), rectifier };
        self.tape().apply(grouped, &[self, weight, bias])
    }
}
