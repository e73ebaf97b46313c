use serde::{Deserialize, Serialize};

use crate::kernel::vector_math::{Sigmoid, map};
use crate::real::Real;
use crate::tape::tape::Var;
use crate::task::field::Field;
use crate::task::measure::{Estimate, Metric};
use crate::task::target::Target;
use crate::task::task::Task;
use crate::task::task_rows::TaskRows;
use crate::task::{intervals, metrics};

/// Yes or no: binary cross-entropy on one logit. The target is a value of 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {}

impl Binary {
    /// Its id.
    pub const ID: &str = "binary";
}

impl Task for Binary {
    fn id(&self) -> &str {
        Self::ID
    }

    fn outputs(&self) -> usize {
        1
    }

    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
        prediction.bce_with_logits(&target.values, &target.present)
    }

    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        metrics::log_losses(rows.predictions(), &actual(rows))
    }

    fn metrics(&self) -> Vec<Metric<'_>> {
        vec![
            Metric::new("auc", auc),
            Metric::new("accuracy", |rows| {
                Estimate::share(metrics::accuracy(&predicted(rows), &actual(rows)), rows.len())
            }),
            Metric::on_request("f1", |rows| metrics::f1(&predicted(rows), &actual(rows))),
            Metric::on_request("macro-f1", |rows| {
                metrics::macro_f1(&predicted(rows), &actual(rows))
            }),
            Metric::on_request("mcc", |rows| {
                metrics::matthews_correlation(&predicted(rows), &actual(rows))
            }),
            Metric::on_request("log-loss", |rows| Estimate::mean(&self.losses(rows))),
        ]
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::probability()]
    }

    fn probabilities(&self, outputs: &mut [Real]) {
        map(Sigmoid, outputs);
    }

    fn classes(&self) -> usize {
        2
    }

    fn class_name(&self, class: u32) -> String {
        if class == 0 { "no" } else { "yes" }.to_owned()
    }

    fn class_of(&self, target: &Target, row: usize) -> Option<u32> {
        Some(u32::from(target.values_of(row)[0] > 0.5))
    }
}

/// Whether the target of each row is yes.
fn actual(rows: &TaskRows) -> Vec<bool> {
    rows.values().iter().map(|&value| value > 0.5).collect()
}

/// Whether the probability of each row is above 1/2.
fn predicted(rows: &TaskRows) -> Vec<bool> {
    rows.predictions().iter().map(|&logit| logit > 0.0).collect()
}

fn auc(rows: &TaskRows) -> Estimate {
    let actual = actual(rows);
    let value = metrics::roc_auc(rows.predictions(), &actual);
    let positives = actual.iter().filter(|&&positive| positive).count();
    let negatives = actual.len() - positives;
    let interval = value.and_then(|auc| intervals::auc(auc, positives, negatives));
    Estimate { value, interval }
}
