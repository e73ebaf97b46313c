use std::fmt;

use crate::real::Real;
use crate::tape::tape::Var;
use crate::task::field::{Field, FieldValue};
use crate::task::measure::Metric;
use crate::task::target::Target;
use crate::task::task_rows::TaskRows;

/// A kind of task: everything that training, evaluation and prediction have to know about it.
///
/// A [`TaskKind`](crate::task::TaskKind) made from it goes into a [`TaskSpec`](crate::task::TaskSpec). The fields of the
/// implementing struct are the parameters of the kind in files, so it implements serde's `Serialize`, and `Deserialize` to be
/// read by [`TaskKinds`](crate::task::TaskKinds).
///
/// Several labels at a time:
/// ```
/// use moe_core::tape::{Tape, Var};
/// use moe_core::task::{Field, Metric, Target, Task, TaskKind, TaskKinds, TaskRows, TaskSpec, metrics};
/// use moe_core::{Real, Tensor};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct MultiLabel { labels: usize }
///
/// impl Task for MultiLabel {
///     fn id(&self) -> &str { "multi-label" }
///     fn outputs(&self) -> usize { self.labels }
///     fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t> {
///         prediction.bce_with_logits(&target.values, &target.present)
///     }
///     fn losses(&self, rows: &TaskRows) -> Vec<f64> {
///         let positive: Vec<bool> = rows.values().iter().map(|&value| value > 0.5).collect();
///         let losses = metrics::log_losses(rows.predictions(), &positive);
///         losses.chunks(self.labels).map(|row| row.iter().sum::<f64>() / row.len() as f64).collect()
///     }
///     fn metrics(&self) -> Vec<Metric<'_>> { vec![] }
///     fn fields(&self) -> Vec<Field> { vec![Field::one("logit").per_class()] }
/// }
///
/// // Two labels; the second row has no target.
/// let kind = TaskKind::new(MultiLabel { labels: 2 });
/// let target = Target::values(vec![1.0, 0.0, 0.0, 0.0], 2).with_present(vec![true, false]);
/// let tape = Tape::inference();
/// let logits = tape.constant(Tensor::new([2, 2], vec![0.0, 0.0, 9.0, -9.0]));
/// let loss = kind.loss(logits, &target).value().item();
/// assert!((f64::from(loss) - 2f64.ln()).abs() < 1e-6);
///
/// // A program that reads it from a file.
/// let text = r#"{"name":"genres","kind":"multi-label","labels":2}"#;
/// let read: TaskSpec = serde_json::from_str(text)?;
/// let kinds = TaskKinds::standard().with::<MultiLabel>("multi-label");
/// assert_eq!(kinds.resolve(&[read])?[0].kind, kind);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Task: fmt::Debug + Send + Sync + 'static {
    /// The name of the kind in files and results, such as `binary`.
    fn id(&self) -> &str;

    /// The kind in words, for reports.
    fn summary(&self) -> String {
        self.id().to_owned()
    }

    /// Number of outputs of the model for each row.
    fn outputs(&self) -> usize;

    /// The loss of a batch: the mean over the rows that have a target; 0 if none has.
    ///
    /// # Shapes
    /// `prediction` `[B, outputs]`, `target` B rows → `[]`
    ///
    /// # Panics
    /// If prediction and target differ in their number of rows, or the target is not one of this kind.
    fn loss<'t>(&self, prediction: Var<'t>, target: &Target) -> Var<'t>;

    /// The loss of each row in double precision. Their mean is the metric `loss`, whose interval takes them as independent.
    fn losses(&self, rows: &TaskRows) -> Vec<f64>;

    /// All metrics beside the loss. The first one stands for the task in tables with a column per task.
    fn metrics(&self) -> Vec<Metric<'_>>;

    /// The fields of a prediction.
    fn fields(&self) -> Vec<Field>;

    /// Turns outputs of the model into what the fields show, such as logits into probabilities. By default they stay as they
    /// are.
    ///
    /// # Shapes
    /// `outputs` `[B, outputs]`
    fn probabilities(&self, _outputs: &mut [Real]) {}

    /// Passes the values of the fields of one row on, in order: one, or one for each class, as the field says. `outputs` are
    /// those of the model, or what [`Task::probabilities`] has made of them. By default each is a value.
    fn field_values(&self, outputs: &[Real], each: &mut dyn FnMut(FieldValue)) {
        outputs.iter().for_each(|&output| each(FieldValue::Number(output)));
    }

    /// Number of classes, which a feature schema may name; 0 if there are none.
    fn classes(&self) -> usize {
        0
    }

    /// The name of a class that the feature schema does not name.
    fn class_name(&self, class: u32) -> String {
        class.to_string()
    }

    /// The class by which a row is grouped, given that the row has a target; `None` if rows have no single class.
    fn class_of(&self, _target: &Target, _row: usize) -> Option<u32> {
        None
    }
}
