//! The inputs that a routing may depend on.

use moe_core::Mode;

use crate::conformance::gradients::slopes;
use crate::conformance::subject::{Call, Decision, Rows, Setting, Subject, decide, difference};
use crate::conformance::verdict::{Failure, Outcome, Verdict};

/// Equal arguments give equal bits, for a repeated call and for gates that are built again.
pub(super) fn repeatable(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings().into_iter().chain(wide(subject)) {
        let rows = at.rows();
        let gates = subject.gates(at)?;
        let first = decide(&*gates, &rows, at.call());
        if let Some(found) = difference(&first, &decide(&*gates, &rows, at.call())) {
            return Err(Failure::new(at, format!("two equal calls differ: {found}")));
        }
        let again = decide(&*subject.gates(at)?, &rows, at.call());
        if let Some(found) = difference(&first, &again) {
            return Err(Failure::new(at, format!("gates of the same seed differ: {found}")));
        }
    }
    Ok(Outcome::passed())
}

/// The number of threads does not change a bit of decisions, losses and gradients.
pub(super) fn threads(subject: &Subject<'_>) -> Verdict {
    for at in wide(subject) {
        let rows = at.rows();
        let gates = subject.gates(at)?;
        let run = || {
            let slopes = if at.mode == Mode::Train { slopes(&*gates, &rows, at) } else { vec![] };
            (decide(&*gates, &rows, at.call()), slopes)
        };
        let (first, first_slopes) = run();
        for &threads in &subject.options.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|error| Failure::new(at, error.to_string()))?;
            let (decisions, slopes) = pool.install(run);
            if let Some(found) = difference(&first, &decisions) {
                let found = format!("expected the same bits on {threads} threads; {found}");
                return Err(Failure::new(at, found));
            }
            for (a, b) in first_slopes.iter().zip(slopes) {
                if a.gradients != b.gradients {
                    let found = format!("the gradient of {} differs on {threads} threads", a.term);
                    return Err(Failure::new(at, found));
                }
            }
        }
    }
    Ok(Outcome::passed())
}

/// A row is routed with the same bits in any batch and at any position, if the router declares to be row-wise.
pub(super) fn row_wise(subject: &Subject<'_>) -> Verdict {
    for at in wide(subject) {
        let gates = subject.gates(at)?;
        if gates.properties().iter().any(|properties| !properties.row_wise) {
            return Ok(Outcome::skipped("the router declares not to be row-wise"));
        }
        let rows = at.rows();
        let whole = decide(&*gates, &rows, at.call());
        let compare = |picked: &[usize]| {
            let part = decide(&*gates, &rows.pick(picked), at.call());
            for (place, &row) in picked.iter().enumerate() {
                for (gate, (whole, part)) in whole.iter().zip(&part).enumerate() {
                    if !whole.same_row(row, part, place) {
                        let found = format!(
                            "gate {gate}, row {row}: (expert, weight) {:?} among all rows, {:?} at position {place} \
                             of {}",
                            whole.row(row),
                            part.row(place),
                            picked.len()
                        );
                        return Err(Failure::new(at, found));
                    }
                }
            }
            Ok(())
        };
        let order: Vec<usize> = (0..at.size.rows).collect();
        // Block and vector sizes of kernels, and their neighbours.
        for size in [1, 2, 7, 63, 64, 65] {
            let first = &order[..order.len().min(2 * size + 1)];
            first.chunks(size).try_for_each(&compare)?;
        }
        compare(&order.into_iter().rev().collect::<Vec<_>>())?;
    }
    Ok(Outcome::passed())
}

/// If the router draws random numbers in training, they differ between steps and between row ids.
///
/// A batch of equal rows under several seeds shows whether it draws. `row_wise` checks that draws do not depend on the
/// position of a row.
pub(super) fn draws(subject: &Subject<'_>) -> Verdict {
    const COPIES: usize = 64;
    const TIMES: u64 = 16;
    let mut drawn = false;
    for at in subject.training() {
        let gates = subject.gates(at)?;
        let one = at.rows().pick(&[0; COPIES]);
        let rows = Rows { ids: (0..COPIES as u64).map(|id| 5 * id).collect(), ..one };
        let decided = |call| decide(&*gates, &rows, call);
        let first = decided(at.call());
        let varies = |calls: &mut dyn Iterator<Item = Call>| {
            calls.map(decided).any(|other| difference(&first, &other).is_some())
        };
        let seeds = &mut (1..TIMES).map(|i| Call { seed: at.seed + i, ..at.call() });
        if !varies(seeds) {
            continue;
        }
        drawn = true;
        if !varies(&mut (1..TIMES).map(|i| Call { step: at.call().step + i, ..at.call() })) {
            let found =
                format!("expected other draws at other steps, found the same in {TIMES} steps");
            return Err(Failure::new(at, found));
        }
        let rows_vary =
            |decision: &Decision| (1..COPIES).any(|row| !decision.same_row(0, decision, row));
        if !first.iter().any(rows_vary) {
            let found =
                format!("expected other draws for other row ids, found the same for {COPIES} rows");
            return Err(Failure::new(at, found));
        }
    }
    Ok(if drawn {
        Outcome::passed()
    } else {
        Outcome::skipped("the router draws no random numbers")
    })
}

/// Outside training a routing depends only on the rows and their keys: not on seed, step, epoch and row ids.
pub(super) fn infer_draws_nothing(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings().into_iter().filter(|at| at.mode == Mode::Infer) {
        let gates = subject.gates(at)?;
        let rows = at.rows();
        let first = decide(&*gates, &rows, at.call());
        for i in 1..8 {
            let call = Call { seed: i, step: 10 * i, epoch: i, mode: Mode::Infer };
            let named = Rows { ids: rows.ids.iter().map(|id| id + i).collect(), ..rows.clone() };
            if let Some(found) = difference(&first, &decide(&*gates, &named, call)) {
                let found = format!(
                    "expected the same routing for another seed, step, epoch and other row ids; {found}"
                );
                return Err(Failure::new(at, found));
            }
        }
    }
    Ok(Outcome::passed())
}

/// The planted groups of the rows do not matter, unless the router declares that it reads them.
pub(super) fn groups_are_not_read(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings() {
        let gates = subject.gates(at)?;
        if gates.properties().iter().any(|properties| properties.reads_groups) {
            return Ok(Outcome::skipped("the router declares to read the groups"));
        }
        let rows = at.rows();
        let regrouped =
            Rows { groups: rows.groups.iter().map(|g| g + 1).collect(), ..rows.clone() };
        let [first, other] = [rows, regrouped].map(|rows| decide(&*gates, &rows, at.call()));
        if let Some(found) = difference(&first, &other) {
            let found = format!("expected the same routing for other groups of the rows; {found}");
            return Err(Failure::new(at, found));
        }
    }
    Ok(Outcome::passed())
}

/// The wide size in both modes.
fn wide(subject: &Subject<'_>) -> [Setting; 2] {
    let (size, seed) = (subject.options.wide, subject.options.seeds[0]);
    [Mode::Train, Mode::Infer].map(|mode| Setting { size, seed, mode })
}
