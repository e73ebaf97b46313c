//! Use without a tape.

use moe_core::Mode;

use super::subject::{Call, Decision, Rows, Setting, Size, decide};
use super::{Failure, Outcome, Subject, Verdict};
use crate::{RoutingBuf, Scratch};

/// [`GateSet::infer`](crate::GateSet::infer) gives the numbers of `route` outside training, to the bit: for whole
/// batches, for row after row if the router is row-wise, for no rows; with buffers that are used again.
pub fn infer_equals_route(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings().into_iter().filter(|at| at.mode == Mode::Infer) {
        let gates = subject.gates(at)?;
        let rows = at.rows();
        let (mut out, mut scratch) = (Vec::new(), Scratch::default());
        let mut check = |rows: &Rows| {
            gates.infer(&rows.x, &rows.keys, &mut out, &mut scratch);
            let named = Rows { ids: rows.keys.clone(), ..rows.clone() };
            let call = Call { mode: Mode::Infer, seed: 0, step: 0, epoch: 0 };
            compare(&decide(&*gates, &named, call), &out)
                .map_err(|found| Failure::new(format!("{at}, {} at a time", rows.ids.len()), found))
        };
        check(&rows)?;
        check(&Setting { size: Size { rows: 0, ..at.size }, ..at }.rows())?;
        if gates.properties().iter().all(|properties| properties.row_wise) {
            (0..at.size.rows).try_for_each(|row| check(&rows.pick(&[row])))?;
        }
    }
    Ok(Outcome::passed())
}

fn compare(decisions: &[Decision], out: &[RoutingBuf]) -> Result<(), String> {
    if decisions.len() != out.len() {
        return Err(format!("expected {} routings, found {}", decisions.len(), out.len()));
    }
    for (gate, (decision, out)) in decisions.iter().zip(out).enumerate() {
        let assignments = &decision.assignments;
        let expected = (assignments.rows(), assignments.num_experts());
        if expected != (out.rows(), out.num_experts()) {
            return Err(format!(
                "gate {gate}: expected {expected:?} rows and experts, found {:?}",
                (out.rows(), out.num_experts())
            ));
        }
        for row in 0..out.rows() {
            let (expected, found) = (decision.row(row), out.row(row).collect::<Vec<_>>());
            if expected != found {
                return Err(format!(
                    "gate {gate}, row {row}: expected (expert, weight) {expected:?} as of `route`, found {found:?}"
                ));
            }
        }
    }
    Ok(())
}
