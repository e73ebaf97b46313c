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
            let width = task.kind.outputs();
            let values = &answer.predicted[i][row * width..][..width];
            let names = answer.served.class_names[i].as_deref();
            (task.name.as_str(), Predicted { kind: &task.kind, values, names })
        }))
    }
}

impl Serialize for Predicted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = Vec::new();
        self.kind.field_values(self.values, &mut |value| {
            shown.push(match value {
                FieldValue::Number(value) => Shown::Number(value),
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
