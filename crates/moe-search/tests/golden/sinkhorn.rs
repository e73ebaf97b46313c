//! The Sinkhorn operator, the entropy of what it gives, and the gradient of both.

use moe_core::Real;
use moe_core::Tensor;
use moe_core::tape::Tape;
use moe_search::{gumbel, permutation_entropy, sinkhorn};

use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

pub(crate) const FAMILY: Family = Family {
    folder: "sinkhorn",
    dtypes: &["float64"],
    config: &["n", "batch", "temp", "n_iters", "noise_factor", "entropy_coef", "entropy_eps"],
    inputs: &["log_alpha", "C", "u"],
    outputs: &["P", "perm_entropy", "loss"],
    grads: &["log_alpha"],
    check: |case| check(case).map(|()| Outcome::Agrees),
};

fn check(case: &Case<'_>) -> Result<(), String> {
    let (n, batch) = (case.count("n")?, case.count("batch")?);
    let shape = [batch, n, n];
    if case.number("entropy_eps")? != 1e-6 {
        return Err("another epsilon in the entropy".into());
    }
    let factor = case.number("noise_factor")? as Real;
    let noise = match case.has_input("u") {
        true => Some(gumbel(&real(&case.input("u", &shape)?, &shape)).map(|v| v * factor)),
        false if factor == 0.0 => None,
        false => return Err("noise without its draws".into()),
    };
    let tape = Tape::new();
    let log_alpha = tape.variable(real(&case.input("log_alpha", &shape)?, &shape));
    let temperature = tape.constant(Tensor::scalar(case.number("temp")? as Real));
    let soft = sinkhorn(log_alpha, temperature, case.count("n_iters")?, noise);
    case.compare("P", &doubles(&soft.value()), &shape)?;
    let entropy = permutation_entropy(soft);
    case.compare_number("perm_entropy", f64::from(entropy.value().item()))?;
    let c = tape.constant(real(&case.input("C", &shape)?, &shape));
    let loss = (soft * c).sum() + entropy.scale(case.number("entropy_coef")? as Real);
    case.compare_number("loss", f64::from(loss.value().item()))?;
    let gradient = tape.backward(loss).wrt(log_alpha).expect("the loss depends on it");
    case.compare_grad("log_alpha", &doubles(&gradient), &shape)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("sinkhorn/sinkhorn_n6_t1e-2_i20_noise.json");
    let pointers = [
        "/config/temp",
        "/config/n_iters",
        "/config/noise_factor",
        "/config/entropy_coef",
        "/inputs/log_alpha/data/1/2/3",
        "/inputs/u/data/0/4/1",
        "/inputs/C/data/1/0/5",
        "/outputs/P/data/0/2/2",
        "/outputs/perm_entropy",
        "/grads/log_alpha/data/1/5/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
