//! Whether routers had the same budget.

use crate::statistics::budget::BudgetUnit;

/// What the search of a router was given.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterBudget {
    /// The router's id.
    pub router: String,
    /// Number of trials.
    pub trials: f64,
    /// Number of epochs of all trials.
    pub epochs: f64,
    /// Seconds of all trials.
    pub seconds: f64,
}

/// Routers that had different budgets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the routers had different budgets: {}; a comparison needs equal ones", self.list())]
pub struct UnequalBudgets {
    /// What the budget is counted in.
    pub unit: BudgetUnit,
    /// Each router and its budget.
    pub budgets: Vec<(String, f64)>,
}

impl UnequalBudgets {
    /// The sentence under a table that compares the routers all the same.
    pub fn sentence(&self) -> String {
        format!(
            "The routers had different budgets ({}): a difference may be one of the budgets.",
            self.list()
        )
    }

    fn list(&self) -> String {
        let unit = self.unit.name();
        let budgets = self.budgets.iter();
        // Four significant digits of seconds, whole trials and epochs.
        let digits = usize::from(self.unit == BudgetUnit::Seconds);
        let budgets = budgets.map(|(router, budget)| format!("{router} {budget:.digits$} {unit}"));
        budgets.collect::<Vec<_>>().join(", ")
    }
}

/// Refuses a comparison of routers whose largest budget in `unit` exceeds the smallest one by more than `tolerance`, such as
/// 0.05 for seconds, which are never the same twice, and 0 for trials.
///
/// ```
/// use moe_bench::statistics::{BudgetUnit, RouterBudget, check_equal_budgets};
///
/// let budget = |router: &str, trials| {
///     RouterBudget { router: router.into(), trials, epochs: 50.0 * trials, seconds: 1.5 * trials }
/// };
/// let budgets = [budget("top-k", 150.0), budget("comet", 100.0)];
/// let error = check_equal_budgets(&budgets, BudgetUnit::Trials, 0.0).unwrap_err();
/// let says = "the routers had different budgets: top-k 150 trials, comet 100 trials; a comparison needs equal ones";
/// assert_eq!(error.to_string(), says);
/// ```
///
/// # Errors
/// If they differ by more, with the budget of each router; [`UnequalBudgets::sentence`] is for a table that is forced.
pub fn check_equal_budgets(
    budgets: &[RouterBudget],
    unit: BudgetUnit,
    tolerance: f64,
) -> Result<(), UnequalBudgets> {
    let amount = |budget: &RouterBudget| match unit {
        BudgetUnit::Trials => budget.trials,
        BudgetUnit::Epochs => budget.epochs,
        BudgetUnit::Seconds => budget.seconds,
    };
    let amounts = budgets.iter().map(|budget| (budget.router.clone(), amount(budget)));
    let budgets: Vec<(String, f64)> = amounts.collect();
    let least = budgets.iter().map(|budget| budget.1).fold(f64::INFINITY, f64::min);
    let most = budgets.iter().map(|budget| budget.1).fold(0.0, f64::max);
    let are_equal = budgets.is_empty() || most <= least * (1.0 + tolerance);
    if are_equal { Ok(()) } else { Err(UnequalBudgets { unit, budgets }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_share() {
        let budget = |seconds| RouterBudget {
            router: format!("r{seconds}"),
            trials: 20.0,
            epochs: 400.0,
            seconds,
        };
        let budgets = [budget(100.0), budget(104.0), budget(102.0)];
        assert_eq!(check_equal_budgets(&budgets, BudgetUnit::Trials, 0.0), Ok(()));
        assert_eq!(check_equal_budgets(&budgets, BudgetUnit::Epochs, 0.0), Ok(()));
        assert_eq!(check_equal_budgets(&budgets, BudgetUnit::Seconds, 0.05), Ok(()));
        let unequal = check_equal_budgets(&budgets, BudgetUnit::Seconds, 0.03).unwrap_err();
        let sentence = unequal.sentence();
        assert!(sentence.contains("(r100 100.0 seconds, r104 104.0 seconds, r102"), "{sentence}");
        assert_eq!(check_equal_budgets(&[], BudgetUnit::Trials, 0.0), Ok(()));
    }
}
