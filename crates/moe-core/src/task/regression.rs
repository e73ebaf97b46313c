use serde::{Deserialize, Serialize};

use crate::tape::tape::Var;
use crate::task::field::Field;
use crate::task::measure::{Estimate, Metric};
use crate::task::metrics;
use crate::task::target::Target;
use crate::task::task::Task;
use crate::task::task_rows::TaskRows;

/// A number: mean squared error. The target is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {}

impl Regression {
    /// Its id.
    pub const ID: &str = "regression";
}

impl Task for Regression {
    fn id(&self) -> &str {
        Self::ID
    }

    fn outputs(&self) -> usize {
        1
    }

    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
        prediction.masked_mse(&target.values, &target.present)
    }

    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        metrics::squared_errors(rows.predictions(), rows.values())
    }

    fn metrics(&self) -> Vec<Metric<'_>> {
        vec![
            Metric::new("mse", |rows| Estimate::mean(&self.losses(rows))),
            Metric::on_request("rmse", |rows| {
                // The root is monotone, so it maps the bounds too.
                let Estimate { value, interval } = Estimate::mean(&self.losses(rows));
                Estimate {
                    value: value.map(f64::sqrt),
                    interval: interval.map(|of| of.map(f64::sqrt)),
                }
            }),
        ]
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::one("value")]
    }
}
