//! The smooth-step function of COMET's code: values and slopes.

use moe_core::Real;
use moe_routers::SmoothStep;

use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "smoothstep",
    dtypes: &["float64"],
    config: &["gamma"],
    inputs: &["x"],
    outputs: &["y"],
    grads: &["x"],
    check,
};

/// Number of points of every case.
const POINTS: usize = 46;

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let step = SmoothStep::new(case.number("gamma")? as Real);
    let points = case.input("x", &[POINTS])?;
    let at = || points.iter().map(|&t| step.at(t as Real));
    case.compare("y", &at().map(|s| f64::from(s.value)).collect::<Vec<_>>(), &[POINTS])?;
    case.compare_grad("x", &at().map(|s| f64::from(s.slope)).collect::<Vec<_>>(), &[POINTS])?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("smoothstep/smoothstep_gamma1.json");
    let pointers = ["/config/gamma", "/inputs/x/data/9", "/outputs/y/data/3", "/grads/x/data/0"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
