//! Statistics of runs and of trials of a search: pure functions of slices.
//!
//! Runs from several seeds: `summary.rs` has mean and standard error, `paired.rs` paired comparisons by Student's t,
//! `bootstrap.rs` intervals by resampling, `many.rs` the correction for many comparisons, `verdict.rs` the rules by which a
//! router is called better or not worse, `change.rs` relative changes.
//!
//! Trials of a search: `trial.rs` says what is known of a trial, `best_of.rs` what the best of t trials is worth, `top_share.rs`
//! the best few percent of them, `budget.rs` how much less of a budget a router needs, `equal_budgets.rs` whether routers had
//! the same one.
//!
//! A lower value is better everywhere; pass `-x` for a metric `x`, such as the AUC, of which more is better.
//!
//! ```
//! use moe_bench::statistics::{Bootstrap, PairedTest, Verdict, holm, simultaneous_level};
//!
//! // Test losses of a baseline and of two other routers from the same five seeds.
//! let baseline = [0.52, 0.55, 0.53, 0.54, 0.56];
//! let others = [[0.48, 0.52, 0.50, 0.50, 0.52], [0.523, 0.547, 0.53, 0.543, 0.557]];
//! let tests = others.map(|losses| PairedTest::relative(&losses, &baseline));
//! let p_values = tests.map(|test| test.p_value().unwrap());
//! assert!(holm(&p_values)[0] < 0.01 && holm(&p_values)[1] > 0.5);
//!
//! let level = simultaneous_level(0.95, tests.len());
//! let verdicts = tests.map(|test| {
//!     Verdict::of(test.interval(level).unwrap(), test.interval(0.95).unwrap())
//! });
//! assert_eq!(verdicts, [Verdict::Better, Verdict::NotWorse]);
//!
//! let [low, high] = Bootstrap::default().relative_difference(&others[0], &baseline).unwrap();
//! assert!(-0.09 < low && high < -0.05);
//! ```

mod best_of;
pub(crate) mod bootstrap;
mod budget;
mod change;
mod equal_budgets;
pub(crate) mod many;
pub(crate) mod paired;
pub(crate) mod quantile;
pub(crate) mod summary;
pub(crate) mod top_share;
pub(crate) mod trial;
pub(crate) mod verdict;

pub use best_of::{BestOf, best_of_curve, best_of_interval};
pub use bootstrap::{Bootstrap, BootstrapMethod, bca_interval, percentile_interval};
pub use budget::{
    BudgetUnit, Reduction, ReductionPoint, Target, budget_reduction, reduction_curve,
    reduction_interval,
};
pub use change::{AucChange, relative_change};
pub use equal_budgets::{RouterBudget, UnequalBudgets, check_equal_budgets};
pub use many::{holm, simultaneous_level};
pub use paired::PairedTest;
pub use summary::Summary;
pub use top_share::{TopShare, top_share};
pub use trial::Trial;
pub use verdict::{NOT_WORSE_MARGIN, Verdict};
