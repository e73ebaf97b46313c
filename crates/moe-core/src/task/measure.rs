use std::fmt;

use crate::task::intervals::{self, Interval};
use crate::task::metrics;
use crate::task::task_rows::TaskRows;

/// A metric that a kind of task has.
pub struct Metric<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_default: bool,
    pub(crate) rule: Box<dyn Fn(&TaskRows) -> Estimate + 'a>,
}

/// The value of a metric and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// `None` where the metric is not defined: without rows, or such as the AUC of rows of one class.
    pub value: Option<f64>,
    /// `None` where there is no formula, or too few rows.
    pub interval: Option<Interval>,
}

impl<'a> Metric<'a> {
    /// A metric that every evaluation computes.
    pub fn new<E: Into<Estimate>>(name: &'a str, rule: impl Fn(&TaskRows) -> E + 'a) -> Self {
        Metric { name, is_default: true, rule: Box::new(move |rows| rule(rows).into()) }
    }

    /// A metric that is computed when it is asked for.
    pub fn on_request<E: Into<Estimate>>(
        name: &'a str,
        rule: impl Fn(&TaskRows) -> E + 'a,
    ) -> Self {
        Metric { is_default: false, ..Self::new(name, rule) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name
    }
}

impl fmt::Debug for Metric<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric")
            .field("name", &self.name)
            .field("is_default", &self.is_default)
            .finish_non_exhaustive()
    }
}

impl Estimate {
    /// No value, as without rows.
    pub const UNDEFINED: Estimate = Estimate { value: None, interval: None };

    /// The mean of non-negative values of independent rows, 0 without rows, and its interval ([`intervals::mean`]).
    pub fn mean(values: &[f64]) -> Self {
        Estimate { value: Some(metrics::mean(values)), interval: intervals::mean(values) }
    }

    /// A share of `rows` independent rows and its interval ([`intervals::share`]).
    pub fn share(share: f64, rows: usize) -> Self {
        Estimate { value: Some(share), interval: intervals::share(share, rows) }
    }
}

/// A value without an interval.
impl From<f64> for Estimate {
    fn from(value: f64) -> Self {
        Estimate { value: Some(value), interval: None }
    }
}
