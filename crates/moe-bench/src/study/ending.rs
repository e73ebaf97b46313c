//! How trials end, and how one that lost its worker is repeated.

use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Attributes, Study, Trial, TrialState};
use crate::study::trial::{self, ERROR, FIXED, INDEX, RETRY_OF, SEED};

/// A trial whose workers have died this often is not repeated again.
pub(crate) const MOST_DEATHS: usize = 10;

/// The end of a trial in this state.
pub(crate) fn ended(trial: usize, state: TrialState, loss: Option<f64>) -> Operation {
    Operation::SetTrialState { trial, state, values: loss.map(|loss| vec![loss]), time: None }
}

/// Ends a trial that could not run to its end.
pub(crate) fn fail(trial: &Trial, reason: &str) -> Vec<Operation> {
    let (key, value) = (ERROR.into(), reason.into());
    vec![
        Operation::SetTrialUserAttr { trial: trial.id, key, value },
        ended(trial.id, TrialState::Fail, None),
    ]
}

/// Ends a trial that lost its worker, and lets another one wait that repeats it, unless it is the last of so many attempts.
pub(crate) fn fail_and_repeat(
    study: &Study,
    trial: &Trial,
    reason: &str,
    most_attempts: usize,
) -> Vec<Operation> {
    let before = |trial: &&Trial| {
        let number = trial.user_attrs.get(RETRY_OF)?.as_u64()?;
        // A trial repeats an earlier one; another one's attribute may say anything.
        study.trials[..trial.number].get(usize::try_from(number).ok()?)
    };
    let attempts = std::iter::successors(Some(trial), before).count();
    if attempts >= most_attempts {
        return fail(
            trial,
            &format!("{reason}; this was attempt {attempts}, and it is not repeated"),
        );
    }
    let mut operations = fail(trial, reason);
    let mut user_attrs = Attributes::from_iter([(RETRY_OF.into(), trial.number.into())]);
    for key in [SEED, INDEX] {
        user_attrs.extend(trial.user_attrs.get(key).map(|value| (key.into(), value.clone())));
    }
    let fixed = trial::external(&trial.params).into_iter().collect::<Attributes>();
    let system_attrs = Attributes::from_iter([(FIXED.into(), fixed.into())]);
    let trial = Box::new(NewTrial { user_attrs, system_attrs, ..NewTrial::waiting() });
    operations.push(Operation::CreateTrial { study: study.id, trial });
    operations
}
