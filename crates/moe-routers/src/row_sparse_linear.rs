use moe_core::kernel::{Mat, for_row_blocks, gemm, sum_rows};
use moe_core::tape::{Backward, InputGradients, Operator, RowGradient, Var};
use moe_core::{Buffer, Tensor};

/// x W + b, whose backward rule leaves out the rows without a gradient: those whose splits are all saturated.
struct RowSparseLinear;

fn mat(tensor: &Tensor) -> Mat<'_> {
    Mat::new(tensor.as_slice(), tensor.rows(), tensor.cols())
}

fn product(a: Mat<'_>, b: Mat<'_>, shape: [usize; 2]) -> Tensor {
    let mut out = Tensor::unspecified(shape);
    gemm(a, b, false, out.as_mut_slice());
    out
}

/// These rows of a matrix.
fn pick(matrix: &Tensor, rows: &[u32]) -> Tensor {
    let cols = matrix.cols();
    let mut out = Tensor::unspecified([rows.len(), cols]);
    for_row_blocks(out.as_mut_slice(), cols, |first, block| {
        for (out, &row) in block.chunks_exact_mut(cols).zip(&rows[first..]) {
            out.copy_from_slice(matrix.row(row as usize));
        }
    });
    out
}

impl Operator for RowSparseLinear {
    fn name(&self) -> &'static str {
        "row_sparse_linear"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w) = (inputs[0], inputs[1]);
        let mut y = Tensor::unspecified([x.rows(), w.cols()]);
        if let Some(bias) = inputs.get(2) {
            for row in y.as_mut_slice().chunks_exact_mut(w.cols().max(1)) {
                row.copy_from_slice(bias.as_slice());
            }
        }
        gemm(mat(x), mat(w), inputs.len() == 3, y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, dy) = (at.inputs[0], at.inputs[1], at.cotangent);
        let mut rows = Buffer::<u32>::unspecified(dy.rows());
        let mut count = 0;
        for row in 0..dy.rows() {
            rows[count] = row as u32;
            count += usize::from(dy.row(row).iter().any(|&d| d != 0.0));
        }
        rows.truncate(count);
        if count == 0 {
            return;
        }
        let (x_rows, dy_rows) = (pick(x, &rows), pick(dy, &rows));
        if gradients.wants(0) {
            let dx = product(mat(&dy_rows), mat(w).t(), [count, x.cols()]);
            gradients.add_rows(0, RowGradient::scatter(*x.shape(), &rows, &dx));
        }
        gradients.add(1, product(mat(&x_rows).t(), mat(&dy_rows), [w.rows(), w.cols()]));
        if at.inputs.len() == 3 {
            let mut db = Tensor::zeros(*at.inputs[2].shape());
            sum_rows(dy_rows.as_slice(), db.as_mut_slice());
            gradients.add(2, db);
        }
    }
}

/// x W, plus b if there is one.
///
/// # Shapes
/// `x` `[B, D]`, `weight` `[D, O]`, `bias` `[O]` → `[B, O]`
pub(crate) fn row_sparse_linear<'t>(x: Var<'t>, weight: Var<'t>, bias: Option<Var<'t>>) -> Var<'t> {
    let inputs: Vec<Var<'t>> = [x, weight].into_iter().chain(bias).collect();
    x.tape().apply(RowSparseLinear, &inputs)
}
