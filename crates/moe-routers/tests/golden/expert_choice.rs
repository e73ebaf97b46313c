//! Expert choice, of V-MoE's code.

use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::{Mode, Real};
use moe_routers::{ExpertChoice, ExpertChoiceOptions, GateSpec};

use crate::common::route;
use crate::gate::{Parameter, capacity_factor, check_gate, given_noise};
use crate::schema::{Case, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "expert_choice",
    dtypes: &["float64"],
    config: &["B", "D", "n_experts", "capacity", "noise_std", "effective_noise_std"],
    inputs: &["x", "w", "noise", "C"],
    outputs: &["probs", "g", "items_per_expert", "loss"],
    grads: &["x", "w"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (rows, d, n) = (case.count("B")?, case.count("D")?, case.count("n_experts")?);
    // Any K with the factor that makes the capacity.
    for k in [1, n] {
        let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
        let options = ExpertChoiceOptions {
            capacity_factor: capacity_factor(case, k)?,
            noise_std: case.number("noise_std")? as Real,
            ..ExpertChoiceOptions::default()
        };
        let gate = ExpertChoice::new(&spec, options);
        let mut gates = given_noise(case, gate, ExpertChoice::route_with_noise)?;
        let parameters = [Parameter::same("0.weight", "w", &[d, n])];
        check_gate(case, &mut *gates, Mode::Train, &parameters, None)?;

        let tape = Tape::inference();
        let x = tape.constant(real(&case.input("x", &[rows, d])?, &[rows, d]));
        let assignments = route(&*gates, x, Mode::Train).remove(0).assignments;
        let rows_of = |expert: u32| {
            let takes = |row: &u32| assignments.of_row(*row as usize).contains(&expert);
            (0..rows as u32).filter(takes).collect::<Vec<_>>()
        };
        let taken = Assignments::from_rows(rows, (0..n as u32).map(rows_of));
        case.compare_sets("items_per_expert", &taken)?;
    }
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("expert_choice/expert_choice_n5_c3_noise.json");
    let pointers = [
        "/inputs/x/data/1/2",
        "/inputs/noise/data/3/1",
        "/inputs/w/data/3/1",
        "/outputs/loss",
        "/grads/x/data/5/2",
        "/grads/w/data/3/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let mut case: serde_json::Value = serde_json::from_str(text).unwrap();
    case["config"]["capacity"] = 2.into();
    assert!(crate::check(&FAMILY, &case).is_err());
}
