use std::sync::Arc;

use crate::dispatch::plan::ExpertPlan;
use crate::kernel::gemm::{Around, gemm_groups};
use crate::kernel::mat::Mat;
use crate::kernel::parallel::for_pieces;
use crate::kernel::product::RowFn;
use crate::kernel::reduce::sum_axis;
use crate::ops::linear::add_gradients;
use crate::ops::rectifier::Rectifier;
use crate::ops::weight::Weight;
use crate::random::dropout_mask::DropoutDraws;
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct GroupedLinear {
    plan: Arc<ExpertPlan>,
    rectifier: Option<Rectifier>,
}

/// The slots of an expert as a matrix.
fn slots<'a>(plan: &ExpertPlan, tensor: &'a Tensor, expert: usize) -> Mat<'a> {
    let (range, cols) = (plan.slots_of_expert(expert), tensor.cols());
    Mat::new(&tensor.as_slice()[range.start * cols..range.end * cols], range.len(), cols)
}

/// x W + b of every slot with the weights of its expert, and then `after` on every value, called with a slot, the first of some
/// of its columns, and the values there. The function behind [`Var::grouped_linear`], without a tape.
///
/// The slots of a plan for one row are computed one after the other on the calling thread.
///
/// # Shapes
/// `x` `[S, D]`, `weight` `[N, D, O]`, `bias` `[N, O]`, `y` S * O elements.
///
/// # Panics
/// If the shapes do not fit each other and the plan.
pub fn grouped_affine(
    x: &Tensor,
    weight: Weight<'_>,
    bias: &Tensor,
    plan: &ExpertPlan,
    after: Option<RowFn<'_>>,
    y: &mut [Real],
) {
    assert_eq!(x.rows(), plan.slots(), "grouped_linear: one row per slot");
    assert!(
        weight.shape().rank() == 3
            && weight.shape()[0] == plan.num_experts()
            && weight.shape()[1] == x.cols()
            && bias.shape()[..] == [weight.shape()[0], weight.shape()[2]],
        "grouped_linear: input {:?}, weight {:?} and bias {:?} do not fit {} experts",
        x.shape(),
        weight.shape(),
        bias.shape(),
        plan.num_experts()
    );
    if plan.rows() == 1 {
        let cols = weight.cols();
        assert_eq!(y.len(), plan.slots() * cols, "grouped_linear: elements of the output");
        for (slot, y) in y.chunks_exact_mut(cols.max(1)).enumerate() {
            let expert = plan.slot_experts()[slot] as usize;
            let row = Mat::new(x.row(slot), 1, x.cols());
            let bias = |_| bias.row(expert);
            let after = after.map(|after| move |_, col, y: &mut [Real]| after(slot, col, y));
            let after = after.as_ref().map(|after| after as _);
            let around = Around { bias: Some(&bias), after };
            gemm_groups(1, |_| (row, weight.matrix(expert)), around, y);
        }
        return;
    }
    let bias = |expert| bias.row(expert);
    gemm_groups(
        plan.num_experts(),
        |expert| (slots(plan, x, expert), weight.matrix(expert)),
        Around { bias: Some(&bias), after },
        y,
    );
}

impl Operator for GroupedLinear {
    fn name(&self) -> &'static str {
        "grouped_linear"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w, b) = (inputs[0], inputs[1], inputs[2]);
        let outputs = w.cols();
        let mut y = Tensor::unspecified([self.plan.slots(), outputs]);
        let after = self.rectifier.as_ref().map(|rectifier| {
            move |slot, col, values: &mut [Real]| rectifier.forward(slot, col, values)
        });
        let after = after.as_ref().map(|after| after as _);
        grouped_affine(x, w.into(), b, &self.plan, after, y.as_mut_slice());
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
        let of_x = || {
            let mut dx = Tensor::unspecified(*x.shape());
            let factors = |e| (slots(plan, dy, e), Weight::from(w).matrix(e).t());
            gemm_groups(experts, factors, Around::default(), dx.as_mut_slice());
            dx
        };
        let of_weight = || {
            let mut dw = Tensor::unspecified(*w.shape());
            let factors = |e| (slots(plan, x, e).t(), slots(plan, dy, e));
            gemm_groups(experts, factors, Around::default(), dw.as_mut_slice());
            dw
        };
        let of_bias = || {
            let mut db = Tensor::unspecified(*b.shape());
            let outputs = b.cols();
            for_pieces(dy.len(), db.as_mut_slice(), outputs.max(1), |expert, sum| {
                let slots = plan.slots_of_expert(expert);
                let of_slots = &dy.as_slice()[slots.start * outputs..slots.end * outputs];
                sum_axis(of_slots, slots.len(), outputs, sum);
            });
            db
        };
        add_gradients(gradients, dy.len() * x.cols(), of_x, of_weight, of_bias);
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

    /// [`Var::grouped_linear`], [`Var::relu`] and [`Var::dropout`] in one pass, with the same bits.
    ///
    /// # Shapes
    /// As `grouped_linear`, with the names of S rows for the dropout.
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
