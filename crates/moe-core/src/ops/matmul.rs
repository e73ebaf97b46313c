use crate::kernel::{Mat, gemm};
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::tensor::Tensor;

/// `op(a) op(b)`, each factor transposed or not.
struct MatMul {
    transpose_a: bool,
    transpose_b: bool,
}

/// The tensor as a matrix for the GEMM door.
pub(super) fn mat(tensor: &Tensor) -> Mat<'_> {
    Mat::new(tensor.as_slice(), tensor.rows(), tensor.cols())
}

fn turned(matrix: Mat<'_>, transpose: bool) -> Mat<'_> {
    if transpose { matrix.t() } else { matrix }
}

/// A new tensor `a b`.
pub(super) fn product(a: Mat<'_>, b: Mat<'_>, rows: usize, cols: usize) -> Tensor {
    let mut out = Tensor::unspecified([rows, cols]);
    gemm(a, b, false, out.as_mut_slice());
    out
}

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let sides = |x: &Tensor, transpose| match transpose {
            false => (x.rows(), x.cols()),
            true => (x.cols(), x.rows()),
        };
        let (a, b) = (inputs[0], inputs[1]);
        let ((m, inner), (inner_b, n)) = (sides(a, self.transpose_a), sides(b, self.transpose_b));
        assert_eq!(
            inner,
            inner_b,
            "matmul: inner dimensions of {:?}{} and {:?}{} differ",
            a.shape(),
            if self.transpose_a { "ᵀ" } else { "" },
            b.shape(),
            if self.transpose_b { "ᵀ" } else { "" },
        );
        product(turned(mat(a), self.transpose_a), turned(mat(b), self.transpose_b), m, n)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let [a, b] = [at.inputs[0], at.inputs[1]];
        let dy = mat(&at.cotangent);
        if gradients.wants(0) {
            let b = turned(mat(b), self.transpose_b);
            let da = match self.transpose_a {
                false => product(dy, b.t(), a.rows(), a.cols()),
                true => product(b, dy.t(), a.rows(), a.cols()),
            };
            gradients.add(0, da.reshape(*a.shape()));
        }
        if gradients.wants(1) {
            let a = turned(mat(a), self.transpose_a);
            let db = match self.transpose_b {
                false => product(a.t(), dy, b.rows(), b.cols()),
                true => product(dy.t(), a, b.rows(), b.cols()),
            };
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
