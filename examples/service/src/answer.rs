//! The answer to `POST /predict`.

use moe_core::Real;
use moe_core::batch::TaskKind;
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

/// The prediction of a task for a row.
#[derive(Serialize)]
#[serde(untagged)]
enum Predicted<'a> {
    Binary { probability: Real },
    Multiclass { class: Class<'a>, probabilities: &'a [Real] },
    Regression { value: Real },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Class<'a> {
    Name(&'a str),
    Number(usize),
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
            (task.name.as_str(), predicted(task.kind, values, names))
        }))
    }
}

fn predicted<'a>(kind: TaskKind, values: &'a [Real], names: Option<&'a [String]>) -> Predicted<'a> {
    match kind {
        TaskKind::binary() => Predicted::Binary { probability: values[0] },
        TaskKind::regression() => Predicted::Regression { value: values[0] },
        TaskKind::Multiclass { .. } => {
            let first_largest = (1..values.len())
                .fold(0, |best, i| if values[i] > values[best] { i } else { best });
            let name = names.and_then(|names| names.get(first_largest));
            let class = name.map_or(Class::Number(first_largest), |name| Class::Name(name));
            Predicted::Multiclass { class, probabilities: values }
        }
    }
}
