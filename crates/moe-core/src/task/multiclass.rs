use serde::{Deserialize, Serialize};

use crate::ops::softmax;
use crate::real::Real;
use crate::tape::tape::Var;
use crate::task::field::{Field, FieldValue};
use crate::task::measure::{Estimate, Metric};
use crate::task::metrics;
use crate::task::target::Target;
use crate::task::task::Task;
use crate::task::task_rows::TaskRows;

/// One of several classes: cross-entropy of the softmax of one logit per class. The target is a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiclass {
    /// Number of classes.
    pub classes: usize,
}

impl Multiclass {
    /// Its id.
    pub const ID: &str = "multiclass";

    /// The class with the largest logit of each row.
    fn predicted(self, rows: &TaskRows) -> Vec<u32> {
        let logits = rows.predictions().chunks_exact(self.classes.max(1));
        logits.map(|row| first_largest(row, |a, b| a.total_cmp(b).is_gt())).collect()
    }
}

impl Task for Multiclass {
    fn id(&self) -> &str {
        Self::ID
    }

    fn summary(&self) -> String {
        format!("multiclass, {} classes", self.classes)
    }

    fn outputs(&self) -> usize {
        self.classes
    }

    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
        prediction.cross_entropy(&target.classes, &target.present)
    }

    fn losses(&self, rows: &TaskRows) -> Vec<f64> {
        metrics::cross_entropies(rows.predictions(), self.classes, rows.classes())
    }

    fn metrics(&self) -> Vec<Metric<'_>> {
        vec![
            Metric::new("accuracy", |rows| {
                let accuracy = metrics::accuracy(&self.predicted(rows), rows.classes());
                Estimate::share(accuracy, rows.len())
            }),
            Metric::on_request("macro-f1", |rows| {
                metrics::macro_f1(&self.predicted(rows), rows.classes())
            }),
            Metric::on_request("mcc", |rows| {
                metrics::matthews_correlation(&self.predicted(rows), rows.classes())
            }),
            Metric::on_request("rand-index", |rows| {
                metrics::adjusted_rand_index(&self.predicted(rows), rows.classes())
            }),
            Metric::on_request("cross-entropy", |rows| Estimate::mean(&self.losses(rows))),
        ]
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::one("class"), Field::probability().per_class()]
    }

    fn probabilities(&self, outputs: &mut [Real]) {
        softmax(outputs, self.classes);
    }

    fn field_values(&self, outputs: &[Real], each: &mut dyn FnMut(FieldValue)) {
        each(FieldValue::Class(first_largest(outputs, |a, b| a > b)));
        outputs.iter().for_each(|&output| each(FieldValue::Number(output)));
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_of(&self, target: &Target, row: usize) -> Option<u32> {
        target.classes_of(row).first().copied()
    }
}

/// The index of the largest value, the first of equals.
fn first_largest<T>(values: &[T], is_larger: impl Fn(&T, &T) -> bool) -> u32 {
    let larger = |best, i| if is_larger(&values[i], &values[best]) { i } else { best };
    (1..values.len()).fold(0, larger) as u32
}
