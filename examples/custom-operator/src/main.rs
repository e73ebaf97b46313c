//! Fits a line to points with outliers, with the squared error and with the Huber loss.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

use custom_operator::huber;
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Real, Tensor};

/// Slope and intercept after 2000 steps of gradient descent.
fn fit(x: &Tensor, loss: impl for<'t> Fn(Var<'t>) -> Var<'t>) -> [Real; 2] {
    let mut line = [Parameter::new(Tensor::zeros([1, 1])), Parameter::new(Tensor::zeros([1]))];
    for _ in 0..2000 {
        let tape = Tape::new();
        let [slope, intercept] = [0, 1].map(|i| tape.parameter(&line[i]));
        let gradients = tape.backward(loss(tape.constant(x.clone()).linear(slope, intercept)));
        drop(tape);
        for parameter in &mut line {
            let gradient = gradients.get(parameter).expect("the loss depends on it").stored();
            parameter.value_mut().as_mut_slice()[0] -= 0.1 * gradient.item();
        }
    }
    line.each_ref().map(|parameter| parameter.value().item())
}

/// Points of y = 2x + 1 on [-1, 1), every tenth of which is 20 too high.
fn points() -> (Tensor, Vec<Real>) {
    let x = Tensor::from_fn([200, 1], |i| i as Real / 100.0 - 1.0);
    let off = |i: usize| if i.is_multiple_of(10) { 20.0 } else { 0.0 };
    let y = x.as_slice().iter().enumerate().map(|(i, x)| 2.0 * x + 1.0 + off(i)).collect();
    (x, y)
}

fn main() {
    let (x, y) = points();
    let [slope, intercept] = fit(&x, |p| p.masked_mse(&y, &vec![true; y.len()]));
    println!("squared error: y = {slope:.2} x + {intercept:.2}");
    let [slope, intercept] = fit(&x, |p| huber(p, &y));
    println!("Huber loss:    y = {slope:.2} x + {intercept:.2}");
}
