use moe_core::kernel::{for_row_blocks, sum_axis};
use moe_core::ops::{affine, product};
use moe_core::tape::{Backward, InputGradients, Operator, RowGradient, Var, Vars};
use moe_core::{Buffer, Tensor};

/// x W + b, whose backward rule skips the rows without a gradient: those whose splits are all saturated.
struct RowSparseLinear;

/// The given rows of a matrix.
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
        affine(x, w, inputs.get(2).copied(), y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, dy) = (at.inputs[0], at.inputs[1], &at.cotangent);
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
            let dx = product(dy_rows.as_mat(), w.as_mat().t());
            gradients.add_rows(0, RowGradient::scatter(*x.shape(), &rows, &dx));
        }
        gradients.add(1, product(x_rows.as_mat().t(), dy_rows.as_mat()));
        if at.inputs.len() == 3 {
            let mut db = Tensor::zeros(*at.inputs[2].shape());
            let (rows, cols) = dy_rows.shape().as_matrix();
            sum_axis(dy_rows.as_slice(), rows, cols, db.as_mut_slice());
            gradients.add(2, db);
        }
    }
}

/// x W, plus b if one is given.
///
/// # Shapes
/// `x` `[B, D]`, `weight` `[D, O]`, `bias` `[O]` → `[B, O]`
pub(crate) fn row_sparse_linear<'t>(x: Var<'t>, weight: Var<'t>, bias: Option<Var<'t>>) -> Var<'t> {
    let inputs: Vars<'t> = [x, weight].into_iter().chain(bias).collect();
    x.tape().apply(RowSparseLinear, &inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::kernel::multiply_adds;
    use moe_core::random::{chacha, uniform};
    use moe_core::tape::Tape;
    use moe_core::testing::gradcheck;
    use proptest::prelude::*;

    /// x, W, b, and a cotangent that is zero in the rows that `is_idle` names.
    fn given(rows: usize, cols: usize, seed: u64, is_idle: &[bool]) -> ([Tensor; 3], Tensor) {
        let mut rng = chacha(seed, "tests", 0);
        let inputs = [[rows, 3], [3, cols], [1, cols]].map(|shape| uniform(shape, 1.0, &mut rng));
        let mut mask = uniform([rows, cols], 1.0, &mut rng);
        for (row, _) in is_idle[..rows].iter().enumerate().filter(|(_, idle)| **idle) {
            mask.as_mut_slice()[row * cols..(row + 1) * cols].fill(0.0);
        }
        let [x, w, b] = inputs;
        ([x, w, Tensor::new([cols], b.as_slice().to_vec())], mask)
    }

    proptest! {
        #[test]
        fn it_is_the_linear_map_at_the_cost_of_the_rows_with_a_gradient(
            rows in 0usize..9, cols in 1usize..6, seed in any::<u64>(),
            is_idle in prop::collection::vec(any::<bool>(), 9),
        ) {
            let (inputs, mask) = given(rows, cols, seed, &is_idle);
            let run = |sparse: bool, with_bias: bool| {
                let tape = Tape::new();
                let vars = inputs.each_ref().map(|input| tape.variable(input.clone()));
                let bias = with_bias.then_some(vars[2]);
                let y = match (sparse, bias) {
                    (true, bias) => row_sparse_linear(vars[0], vars[1], bias),
                    (false, Some(bias)) => vars[0].linear(vars[1], bias),
                    (false, None) => vars[0].matmul(vars[1]),
                };
                let before = multiply_adds();
                let gradients = tape.backward_from(y, mask.clone());
                let work = multiply_adds() - before;
                let of = |i: usize| gradients.wrt(vars[i]).unwrap_or(Tensor::zeros(*inputs[i].shape()));
                (y.value(), [of(0), of(1), of(2)], work)
            };
            for with_bias in [false, true] {
                let (y, found, work) = run(true, with_bias);
                let (expected_y, expected, _) = run(false, with_bias);
                prop_assert_eq!(y, expected_y);
                let busy = is_idle[..rows].iter().filter(|idle| !**idle).count();
                prop_assert_eq!(work, 2 * (busy * 3 * cols) as u64);
                for (found, expected) in found.iter().zip(&expected) {
                    for (a, b) in found.as_slice().iter().zip(expected.as_slice()) {
                        prop_assert!((a - b).abs() <= 8.0 * moe_core::Real::EPSILON * 4.0);
                    }
                }
            }
        }
    }

    #[test]
    fn it_passes_a_gradient_check() {
        let (inputs, mask) = given(5, 4, 1, &[false, true, false, false, true]);
        let check = gradcheck(
            |tape, v| row_sparse_linear(v[0], v[1], Some(v[2])) * tape.constant(mask.clone()),
            &inputs,
        );
        check.unwrap();
    }
}
