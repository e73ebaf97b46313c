//! Inference without a tape.

use moe_core::tape::Tape;
use moe_core::{Mode, Pass};

use crate::conformance::subject::{
    Call, Decision, Rows, Setting, Size, Subject, decide, same_bits,
};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;
use crate::parts::Parts;
use crate::parts_buf::PartsBuf;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// [`GateSet::infer`](crate::GateSet::infer) equals `route` outside training, bit by bit, and
/// [`GatesOfParts::infer_parts`](crate::GatesOfParts::infer_parts) equals `route_parts`, whose sums are those of
/// `route`. Checked for whole batches, for seven rows, row by row and without rows; also, if the router allows them,
/// for a single expert, for numbers of experts that are not powers of two, and where kernels run in parallel; with
/// reused buffers.
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

/// Buffers that are reused for all gates.
#[derive(Default)]
struct Memory {
    out: Vec<RoutingBuf>,
    parts: Vec<PartsBuf>,
    scratch: Scratch,
}

impl Memory {
    /// Checks gates that the router may refuse.
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
        let decisions = decide(gates, &named, call);
        compare(&decisions, &self.out)
            .and_then(|()| self.compare_parts(gates, rows, &decisions))
            .map_err(|found| Failure::new(format!("{at}, {} at a time", rows.ids.len()), found))
    }

    fn compare_parts(
        &mut self,
        gates: &dyn GateSet,
        rows: &Rows,
        decisions: &[Decision],
    ) -> Result<(), String> {
        let Some(sums) = gates.as_parts() else { return Ok(()) };
        let (tape, pass) = (Tape::inference(), Pass::of_keys(&rows.keys));
        let expected = sums.route_parts(&pass, tape.constant(rows.x.clone()));
        self.parts.resize_with(gates.num_gates(), PartsBuf::default);
        sums.infer_parts(&rows.x, &rows.keys, &mut self.parts, &mut self.scratch);
        for (gate, (expected, found)) in expected.iter().zip(&self.parts).enumerate() {
            let mut copy = PartsBuf::default();
            copy.copy_from(expected);
            if copy != *found {
                return Err(format!(
                    "gate {gate}: expected {copy:?} as of `route_parts`, found {found:?}"
                ));
            }
        }
        let routings = expected.into_iter().map(Parts::into_routing).collect();
        for (gate, sum) in sums.finish(&pass, routings).iter().enumerate() {
            let (weights, expected) = (sum.weights.value(), &decisions[gate].weights);
            if sum.assignments != decisions[gate].assignments || weights != *expected {
                return Err(format!("gate {gate}: the sum of the parts is not that of `route`"));
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
