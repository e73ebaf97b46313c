use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::kernel::reduce::sum_axis;
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::{Shape, Tensor};

/// The shape that two operands broadcast to: axes are aligned at the end, and an axis of length 1 or a missing
/// one is repeated.
fn broadcast_shape(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let axis =
        |shape: &Shape, i: usize| (i + shape.rank()).checked_sub(rank).map_or(1, |i| shape[i]);
    let mut dims = [0; Shape::MAX_RANK];
    for (i, dim) in dims[..rank].iter_mut().enumerate() {
        *dim = match (axis(a, i), axis(b, i)) {
            (1, n) | (n, 1) => n,
            (m, n) if m == n => n,
            _ => return None,
        };
    }
    Some(Shape::new(&dims[..rank]))
}

/// Calls `f(position in the output, position in an operand of shape `from`)` for every output element.
fn for_each_position(to: &Shape, from: &Shape, mut f: impl FnMut(usize, usize)) {
    let skipped = to.rank() - from.rank();
    let mut strides = [0; Shape::MAX_RANK];
    let mut stride = 1;
    for axis in (0..from.rank()).rev() {
        strides[skipped + axis] = if from[axis] == 1 { 0 } else { stride };
        stride *= from[axis];
    }
    let mut index = [0; Shape::MAX_RANK];
    let mut position = 0;
    for out in 0..to.size() {
        f(out, position);
        for axis in (0..to.rank()).rev() {
            index[axis] += 1;
            position += strides[axis];
            if index[axis] < to[axis] {
                break;
            }
            position -= strides[axis] * index[axis];
            index[axis] = 0;
        }
    }
}

/// `x` repeated to `shape`.
fn expand(x: &Tensor, shape: Shape) -> Tensor {
    if *x.shape() == shape {
        return x.clone();
    }
    let mut out = Tensor::unspecified(shape);
    let values = out.as_mut_slice();
    for_each_position(&shape, x.shape(), |to, from| values[to] = x.as_slice()[from]);
    out
}

/// The sum of `x` over the axes along which `shape` was repeated.
fn reduce(x: Tensor, shape: &Shape) -> Tensor {
    if x.shape() == shape {
        return x;
    }
    let mut out = Tensor::zeros(*shape);
    let sum = out.as_mut_slice();
    if shape.as_matrix() == (1, x.cols()) {
        sum_axis(x.as_slice(), x.rows(), x.cols(), sum);
    } else {
        for_each_position(x.shape(), shape, |from, to| sum[to] += x.as_slice()[from]);
    }
    out
}

/// `a op b`, element by element.
fn zip(a: &Tensor, b: &Tensor, name: &str, op: impl Fn(&mut Real, Real)) -> Tensor {
    let shape = broadcast_shape(a.shape(), b.shape()).unwrap_or_else(|| {
        panic!("{name}: shapes {:?} and {:?} do not broadcast", a.shape(), b.shape())
    });
    let mut out = expand(a, shape);
    let values = out.as_mut_slice();
    if b.shape().size() == shape.size() {
        for (v, b) in values.iter_mut().zip(b.as_slice()) {
            op(v, *b);
        }
    } else {
        for_each_position(&shape, b.shape(), |to, from| op(&mut values[to], b.as_slice()[from]));
    }
    out
}

struct AddOperator;

impl Operator for AddOperator {
    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        zip(inputs[0], inputs[1], "add", |a, b| *a += b)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        for (i, input) in at.inputs.iter().enumerate() {
            if gradients.wants(i) {
                gradients.add(i, reduce(at.cotangent.clone(), input.shape()));
            }
        }
    }
}

struct MulOperator;

impl Operator for MulOperator {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        zip(inputs[0], inputs[1], "mul", |a, b| *a *= b)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        for (i, input) in at.inputs.iter().enumerate() {
            if gradients.wants(i) {
                let product = zip(&at.cotangent, at.inputs[1 - i], "mul", |a, b| *a *= b);
                gradients.add(i, reduce(product, input.shape()));
            }
        }
    }
}

struct SubOperator;

impl Operator for SubOperator {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        zip(inputs[0], inputs[1], "sub", |a, b| *a -= b)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        if gradients.wants(0) {
            gradients.add(0, reduce(at.cotangent.clone(), at.inputs[0].shape()));
        }
        if gradients.wants(1) {
            gradients.add(1, reduce(at.cotangent.map(|d| -d), at.inputs[1].shape()));
        }
    }
}

struct DivOperator;

impl Operator for DivOperator {
    fn name(&self) -> &'static str {
        "div"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        zip(inputs[0], inputs[1], "div", |a, b| *a /= b)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let [a, b] = [at.inputs[0], at.inputs[1]];
        // d(a / b) = da / b - (a / b) db / b
        let da = zip(&at.cotangent, b, "div", |d, b| *d /= b);
        if gradients.wants(1) {
            let db = zip(&da, at.output, "div", |d, y| *d *= -y);
            gradients.add(1, reduce(db, b.shape()));
        }
        if gradients.wants(0) {
            gradients.add(0, reduce(da, a.shape()));
        }
    }
}

struct Scale(Real);

impl Operator for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        inputs[0].map(|v| v * self.0)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, at.cotangent.map(|v| v * self.0));
    }
}

impl<'t> Var<'t> {
    /// x times a constant.
    ///
    /// # Shapes
    /// any → the same.
    pub fn scale(self, factor: Real) -> Var<'t> {
        self.tape().apply(Scale(factor), &[self])
    }
}

/// The sum, with broadcasting: axes are aligned at the end; an axis of length 1 or a missing one is repeated.
///
/// # Panics
/// If the shapes do not broadcast.
impl<'t> Add for Var<'t> {
    type Output = Var<'t>;
    fn add(self, other: Var<'t>) -> Var<'t> {
        self.tape().apply(AddOperator, &[self, other])
    }
}

/// The element-wise product, with broadcasting as for the sum.
///
/// # Panics
/// If the shapes do not broadcast.
impl<'t> Mul for Var<'t> {
    type Output = Var<'t>;
    fn mul(self, other: Var<'t>) -> Var<'t> {
        self.tape().apply(MulOperator, &[self, other])
    }
}

/// The difference, with broadcasting as for the sum.
///
/// # Panics
/// If the shapes do not broadcast.
impl<'t> Sub for Var<'t> {
    type Output = Var<'t>;
    fn sub(self, other: Var<'t>) -> Var<'t> {
        self.tape().apply(SubOperator, &[self, other])
    }
}

/// The element-wise quotient, with broadcasting as for the sum.
///
/// # Panics
/// If the shapes do not broadcast.
impl<'t> Div for Var<'t> {
    type Output = Var<'t>;
    fn div(self, other: Var<'t>) -> Var<'t> {
        self.tape().apply(DivOperator, &[self, other])
    }
}

/// The negative.
impl<'t> Neg for Var<'t> {
    type Output = Var<'t>;
    fn neg(self) -> Var<'t> {
        self.scale(-1.0)
    }
}
