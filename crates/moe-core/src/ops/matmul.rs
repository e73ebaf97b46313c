use crate::kernel::gemm::gemm;
use crate::kernel::mat::Mat;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

/// `op(a) op(b)`, each factor transposed or not.
struct MatMul {
    transpose_a: bool,
    transpose_b: bool,
}

fn turned(matrix: Mat<'_>, transpose: bool) -> Mat<'_> {
    if transpose { matrix.t() } else { matrix }
}

/// A new tensor `a b`.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]` → `[m, n]`
///
/// # Panics
/// If the inner dimensions differ.
pub fn product(a: Mat<'_>, b: Mat<'_>) -> Tensor {
    let mut out = Tensor::unspecified([a.rows(), b.cols()]);
    gemm(a, b, out.as_mut_slice());
    out
}

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (a, b) = (inputs[0], inputs[1]);
        assert_eq!(
            turned(a.as_mat(), self.transpose_a).cols(),
            turned(b.as_mat(), self.transpose_b).rows(),
            "matmul: inner dimensions of {:?}{} and {:?}{} differ",
            a.shape(),
            if self.transpose_a { "ᵀ" } else { "" },
            b.shape(),
            if self.transpose_b { "ᵀ" } else { "" },
        );
        product(turned(a.as_mat(), self.transpose_a), turned(b.as_mat(), self.transpose_b))
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let [a, b] = [at.inputs[0], at.inputs[1]];
        let dy = at.cotangent.as_mat();
        if gradients.wants(0) {
            let b = turned(b.as_mat(), self.transpose_b);
            let da = if self.transpose_a { product(b, dy.t()) } else { product(dy, b.t()) };
            gradients.add(0, da.reshape(*a.shape()));
        }
        if gradients.wants(1) {
            let a = turned(a.as_mat(), self.transpose_a);
            let db = if self.transpose_b { product(dy.t(), a) } else { product(a.t(), dy) };
            gradients.add(1, db.reshape(*b.shape()));
        }
    }
}

impl<'t> Var<'t> {
    /// Matrix product.
    ///
    /// # Shapes
    /// `[M, K]`, `[K, N]` → `[M, N]`
    ///
    /// # Panics
    /// If the inner dimensions differ.
    pub fn matmul(self, other: Var<'t>) -> Var<'t> {
        self.matmul_with(other, false, false)
    }

    /// Matrix product with either factor transposed first.
    ///
    /// # Shapes
    /// `self` `[M, K]` (`[K, M]` if `transpose_self`), `other` `[K, N]` (`[N, K]` if `transpose_other`) → `[M, N]`
    ///
    /// # Panics
    /// If the inner dimensions differ.
    pub fn matmul_with(
        self,
        other: Var<'t>,
        transpose_self: bool,
        transpose_other: bool,
    ) -> Var<'t> {
        let matmul = MatMul { transpose_a: transpose_self, transpose_b: transpose_other };
        self.tape().apply(matmul, &[self, other])
    }
}
