//! Inference on a tape that does not record.

use moe_core::tape::Tape;
use moe_core::{Mode, Tensor};

use crate::conformance::subject::{Call, Rows, Setting, Size, Subject, route};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;
use crate::parts::Parts;
use crate::routing::Routing;

/// Outside training, the routing on a tape that does not record equals that on one that does, bit by bit, and is the sum of
/// the parts if the gates have parts. Checked for whole batches, for seven rows, row by row and without rows; also, if the
/// router allows them, for a single expert, for numbers of experts that are not powers of two, and where kernels run in
/// parallel.
pub fn recording_does_not_show(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings().into_iter().filter(|at| at.mode == Mode::Infer) {
        let gates = subject.gates(at)?;
        check(&*gates, at, &at.rows())?;
        check(&*gates, at, &Setting { size: Size { rows: 0, ..at.size }, ..at }.rows())?;
        check(&*gates, at, &Setting { size: Size { rows: 7, ..at.size }, ..at }.rows())?;
        let rows = at.rows();
        (0..at.size.rows).try_for_each(|row| check(&*gates, at, &rows.pick(&[row])))?;
        let numbers = subject.options.odd_experts.iter().chain([&1]);
        for &experts in numbers {
            check_allowed(subject, Setting { size: Size { experts, ..at.size }, ..at })?;
        }
    }
    let (size, seed) = (subject.options.wide, subject.options.seeds[0]);
    check_allowed(subject, Setting { size, seed, mode: Mode::Infer })?;
    Ok(Outcome::passed())
}

/// Checks gates that the router may refuse.
fn check_allowed(subject: &Subject<'_>, at: Setting) -> Result<(), Failure> {
    match subject.moved(at.size, at.seed) {
        Ok(gates) => check(&*gates, at, &at.rows()),
        Err(_) => Ok(()),
    }
}

fn check(gates: &dyn GateSet, at: Setting, rows: &Rows) -> Result<(), Failure> {
    let call = Call { mode: Mode::Infer, seed: 0, step: 0, epoch: 0 };
    let (recorded, inference) = (Tape::new(), Tape::inference());
    let of = |tape| route(gates, Tape::constant(tape, rows.x.clone()), rows, call);
    let (expected, found) = (of(&recorded), of(&inference));
    compare("on a tape that does not record", &expected, &found)
        .and_then(|()| {
            let Some(sums) = gates.as_parts() else { return Ok(()) };
            let (pass, x) = (call.pass(rows), inference.constant(rows.x.clone()));
            let parts = sums.route_parts(&pass, x).into_iter();
            let found = sums.finish(&pass, parts.map(Parts::into_routing).collect());
            compare("as the sum of the parts", &expected, &found)
        })
        .map_err(|found| Failure::new(format!("{at}, {} at a time", rows.ids.len()), found))
}

fn compare(way: &str, expected: &[Routing<'_>], found: &[Routing<'_>]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("expected {} routings, found {} {way}", expected.len(), found.len()));
    }
    let bits =
        |weights: &Tensor| weights.as_slice().iter().map(|w| w.to_bits()).collect::<Vec<_>>();
    for (gate, (expected, found)) in expected.iter().zip(found).enumerate() {
        let (weights, others) = (expected.weights.value(), found.weights.value());
        if expected.assignments != found.assignments || bits(&weights) != bits(&others) {
            return Err(format!(
                "gate {gate}: expected {:?} with weights {:?}, found {:?} with {:?} {way}",
                expected.assignments,
                weights.as_slice(),
                found.assignments,
                others.as_slice()
            ));
        }
    }
    Ok(())
}
