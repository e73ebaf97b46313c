//! The best assignment of columns to rows.

use moe_core::Real;
use moe_search::round_permutation;
use serde_json::Value as Json;

use crate::common::DOUBLE;
use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "hungarian",
    dtypes: &["float64"],
    config: &["n", "maximise"],
    inputs: &["w"],
    outputs: &["col", "objective", "gap_to_second_best", "unique"],
    grads: &[],
    check: |case| check(case).map(|()| Outcome::Agrees),
};

fn check(case: &Case<'_>) -> Result<(), String> {
    let file = case.file;
    let n = case.count("n")?;
    let weights = case.input("w", &[n, n])?;
    let maximises = case.flag("maximise")?;
    let sign = if maximises { 1.0 } else { -1.0 };
    let given: Vec<Real> = weights.iter().map(|&w| (sign * w) as Real).collect();
    let columns = round_permutation(&given, n).map_err(|error| error.to_string())?;
    if (0..n as u32).any(|column| !columns.contains(&column)) {
        return Err(format!("{columns:?} is not a permutation"));
    }
    let objective = columns.iter().enumerate().map(|(i, &column)| weights[i * n + column as usize]);
    case.compare_number("objective", objective.sum())?;
    let output = |key| file.pointer(&format!("/outputs/{key}"));
    let unique = output("unique").and_then(Json::as_bool).ok_or("no switch \"unique\"")?;
    // Single precision may not tell the best from the second best.
    let gap = output("gap_to_second_best").and_then(Json::as_f64).unwrap_or(f64::INFINITY);
    let largest = weights.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
    let told_apart = DOUBLE || gap > n as f64 * largest * f64::from(Real::EPSILON);
    let found: Vec<f64> = columns.into_iter().map(f64::from).collect();
    if unique && told_apart { case.compare("col", &found, &[n]) } else { Ok(()) }
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("hungarian/hungarian_n3_neg.json");
    let pointers = ["/inputs/w/data/0/2", "/outputs/col/data/1", "/outputs/objective"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
