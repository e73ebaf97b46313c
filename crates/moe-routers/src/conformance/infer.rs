//! Use without a tape.

use moe_core::tape::Tape;
use moe_core::{Mode, Pass};

use super::subject::{Call, Decision, Rows, Setting, Size, decide, same_bits};
use super::{Failure, Outcome, Subject, Verdict};
use crate::gate_set::GateSet;
use crate::parts::PartsBuf;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// [`GateSet::infer`](crate::GateSet::infer) gives the numbers of `route` outside training, to the bit, and
/// [`GateSet::infer_parts`](crate::GateSet::infer_parts) those of `route_parts`: for whole batches, for seven rows, for
/// row after row and for no rows; also, if the router allows them, for a single expert, for numbers of experts that are
/// no power of two, and where kernels run in parallel; with buffers that are used again.
pub fn infer_equals_route(subject: &Subject<'_>) -> Verdict {
    let mut memory = Memory::default();
    for at in subject.settings().into_iter().filter(|at| at.mode == Mode::Infer) {
        let gates = subject.gates(at)?;
        memory.check(&*gates, at, &at.rows())?;
        memory.check(&*gates, at, &Setting { size: Size { rows: 0, ..at.size }, ..at }.rows())?;
        memory.check(&*gates, at, &Setting { size: Size { rows: 7, ..at.size }, ..at }.rows())?;
        let rows = at.rows();
        (0..at.size.rows).try_for_each(|row| memory.check(&*gates, at, &rows.pick(&[row])))?;
        let numbers = subject.options.odd_experts.iter().chain([&1]);
        for &experts in numbers {
            memory.check_allowed(subject, Setting { size: Size { experts, ..at.size }, ..at })?;
        }
    }
    let (size, seed) = (subject.options.wide, subject.options.seeds[0]);
    memory.check_allowed(subject, Setting { size, seed, mode: Mode::Infer })?;
    Ok(Outcome::passed())
}

/// Used again from gates to gates.
#[derive(Default)]
struct Memory {
    out: Vec<RoutingBuf>,
    parts: Vec<PartsBuf>,
    scratch: Scratch,
}

impl Memory {
    /// Gates that the router may refuse.
    fn check_allowed(&mut self, subject: &Subject<'_>, at: Setting) -> Result<(), Failure> {
        match subject.moved(at.size, at.seed) {
            Ok(gates) => self.check(&*gates, at, &at.rows()),
            Err(_) => Ok(()),
        }
    }

    fn check(&mut self, gates: &dyn GateSet, at: Setting, rows: &Rows) -> Result<(), Failure> {
        let named = Rows { ids: rows.keys.clone(), ..rows.clone() };
        let call = Call { mode: Mode::Infer, seed: 0, step: 0, epoch: 0 };
        gates.infer(&rows.x, &rows.keys, &mut self.out, &mut self.scratch);
        compare(&decide(gates, &named, call), &self.out)
            .and_then(|()| self.compare_parts(gates, rows))
            .map_err(|found| Failure::new(format!("{at}, {} at a time", rows.ids.len()), found))
    }

    fn compare_parts(&mut self, gates: &dyn GateSet, rows: &Rows) -> Result<(), String> {
        let tape = Tape::inference();
        let expected = gates.route_parts(&Pass::of_keys(&rows.keys), tape.constant(rows.x.clone()));
        let found = gates.infer_parts(&rows.x, &rows.keys, &mut self.parts, &mut self.scratch);
        let expected = match (expected, found) {
            (Some(expected), true) => expected,
            (None, false) => return Ok(()),
            (expected, _) => {
                let is = if expected.is_some() { "are" } else { "are not" };
                return Err(format!("there {is} parts, `infer_parts` says otherwise"));
            }
        };
        for (gate, (expected, found)) in expected.iter().zip(&self.parts).enumerate() {
            let mut copy = PartsBuf::default();
            copy.copy_from(expected);
            if copy != *found {
                return Err(format!(
                    "gate {gate}: expected {copy:?} as of `route_parts`, found {found:?}"
                ));
            }
        }
        Ok(())
    }
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
            if !same_bits(&expected, &found) {
                return Err(format!(
                    "gate {gate}, row {row}: expected (expert, weight) {expected:?} as of `route`, found {found:?}"
                ));
            }
        }
    }
    Ok(())
}
