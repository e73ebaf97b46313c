//! The answer to `POST /predict`.

use moe_core::Real;
use moe_core::task::{FieldValue, TaskKind};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::model::Served;

/// The predictions for the rows of a request: `Predictions::probabilities` of each task.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) served: &'a Served,
    pub(crate) rows: usize,
    pub(crate) predicted: &'a [Vec<Real>],
}

impl Answer<'_> {
    /// The number of rows with predictions that are not finite, and the first such row and the task.
    pub(crate) fn not_finite(&self) -> (u64, Option<(usize, &str)>) {
        let tasks = self.served.predictor.tasks();
        let task_of = |row| {
            let mut all = tasks.iter().zip(self.predicted);
            all.find(|(task, values)| !are_finite(of_row(values, row, task.kind.outputs())))
        };
        let mut rows = (0..self.rows).filter_map(|row| Some((row, &*task_of(row)?.0.name)));
        let first = rows.next();
        (first.iter().count() as u64 + rows.count() as u64, first)
    }
}

fn of_row(values: &[Real], row: usize, width: usize) -> &[Real] {
    &values[row * width..][..width]
}

fn are_finite(values: &[Real]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// The rows of an answer.
struct Rows<'a>(&'a Answer<'a>);

/// One row of an answer.
struct Row<'a>(&'a Answer<'a>, usize);

/// The fields of the prediction of a task for a row, with values such as `Predictions::probabilities` and the names of classes.
struct Predicted<'a> {
    kind: &'a TaskKind,
    values: &'a [Real],
    names: Option<&'a [String]>,
}

/// A value of a field.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Number(Real),
    ClassName(&'a str),
    Class(u32),
    /// The class of values that are not finite, `null` as they are.
    None,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("rows", Rows(self))])
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0.rows).map(|row| Row(self.0, row)))
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row(answer, row) = *self;
        let tasks = answer.served.predictor.tasks().iter().enumerate();
        serializer.collect_map(tasks.map(|(i, task)| {
            let values = of_row(&answer.predicted[i], row, task.kind.outputs());
            let names = answer.served.class_names[i].as_deref();
            (task.name.as_str(), Predicted { kind: &task.kind, values, names })
        }))
    }
}

impl Serialize for Predicted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = Vec::new();
        let are_finite = are_finite(self.values);
        self.kind.field_values(self.values, &mut |value| {
            shown.push(match value {
                FieldValue::Number(value) => Shown::Number(value),
                FieldValue::Class(_) if !are_finite => Shown::None,
                FieldValue::Class(class) => {
                    let name = self.names.and_then(|names| names.get(class as usize));
                    name.map_or(Shown::Class(class), |name| Shown::ClassName(name))
                }
            });
        });
        let mut rest = &shown[..];
        let fields = self.kind.fields();
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for field in fields {
            let count = if field.is_per_class { self.kind.classes() } else { 1 };
            let (own, others) = rest.split_at(count);
            rest = others;
            match own {
                [value] if !field.is_per_class => map.serialize_entry(field.name, value)?,
                values => map.serialize_entry(&plural(field.name), values)?,
            }
        }
        map.end()
    }
}

/// The name of a list of such values.
fn plural(name: &str) -> String {
    match name.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{name}s"),
    }
}
