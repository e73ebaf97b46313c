use std::fmt;

use moe_core::Real;
use moe_core::batch::{Batch, TaskSpec};

use crate::module::{Module, visit_parameters};

/// Why a loss or a gradient is not finite, as far as data and weights show it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotFiniteCause {
    /// A number of the data is not finite, or so large that its third power is not: a gradient step changes an output by the
    /// order of an input's third power.
    Data(DataNumber),
    /// An element of an initial weight is not finite.
    Weight {
        /// The parameter.
        parameter: String,
        /// The first such element.
        value: f64,
    },
    /// It is the first step, so that no learning rate has had a part in it. The number of the data with the largest absolute
    /// value, if there is one.
    FirstStep(Option<DataNumber>),
    /// The weights became too large in earlier steps.
    LearningRate,
}

/// A number of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct DataNumber {
    /// Where it stands in the row.
    pub origin: DataOrigin,
    /// Id of the row.
    pub row_id: u64,
    /// The number.
    pub value: f64,
}

/// Where a number stands in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataOrigin {
    /// The dense value with this index, from 0.
    Dense(usize),
    /// A target of the task with this name.
    Target(String),
}

impl NotFiniteCause {
    /// The cause in a step with these micro-batches.
    pub(crate) fn of_step(
        model: &dyn Module,
        tasks: &[TaskSpec],
        batches: &[Batch],
        is_first: bool,
    ) -> Self {
        if let Some(cause) = batches.iter().find_map(|batch| Self::in_data(batch, tasks)) {
            return cause;
        }
        if !is_first {
            return NotFiniteCause::LearningRate;
        }
        let mut wrong = None;
        visit_parameters(model, |name, parameter| {
            let values = parameter.value().as_slice();
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                wrong.get_or_insert((name.to_string(), f64::from(*value)));
            }
        });
        if let Some((parameter, value)) = wrong {
            return NotFiniteCause::Weight { parameter, value };
        }
        let numbers = batches.iter().flat_map(|batch| numbers(batch, tasks));
        let largest = numbers.max_by(|a, b| a.value.abs().total_cmp(&b.value.abs()));
        NotFiniteCause::FirstStep(largest)
    }

    /// The first number of a batch that cannot be computed with.
    pub(crate) fn in_data(batch: &Batch, tasks: &[TaskSpec]) -> Option<Self> {
        let is_sound = |value: f64| value.abs() <= f64::from(Real::MAX.cbrt());
        let mut numbers = numbers(batch, tasks);
        numbers.find(|number| !is_sound(number.value)).map(NotFiniteCause::Data)
    }

    /// The number of the data that it names.
    pub fn number(&self) -> Option<&DataNumber> {
        match self {
            NotFiniteCause::Data(number) => Some(number),
            NotFiniteCause::FirstStep(number) => number.as_ref(),
            NotFiniteCause::Weight { .. } | NotFiniteCause::LearningRate => None,
        }
    }
}

/// The dense values of a batch, row by row, then the targets of the rows that have one, task by task.
fn numbers<'a>(batch: &'a Batch, tasks: &'a [TaskSpec]) -> impl Iterator<Item = DataNumber> {
    let dense = batch.inputs.dense.iter().flat_map(move |x| {
        let width = (x.len() / batch.rows().max(1)).max(1);
        x.as_slice().iter().enumerate().map(move |(i, &value)| DataNumber {
            origin: DataOrigin::Dense(i % width),
            row_id: batch.row_ids[i / width],
            value: value.into(),
        })
    });
    let targets = tasks.iter().zip(&batch.targets).flat_map(move |(task, target)| {
        let rows = (0..target.rows()).filter(|&row| target.present[row]);
        rows.flat_map(move |row| {
            target.values_of(row).iter().map(move |&value| DataNumber {
                origin: DataOrigin::Target(task.name.clone()),
                row_id: batch.row_ids[row],
                value: value.into(),
            })
        })
    });
    dense.chain(targets)
}

impl fmt::Display for DataNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DataNumber { origin, row_id, value } = self;
        // With the digits that the precision of the build has.
        let value = *value as Real;
        match origin {
            DataOrigin::Dense(index) => write!(f, "dense value {index}")?,
            DataOrigin::Target(task) => write!(f, "the target of {task}")?,
        }
        // All digits of 1e300 help nobody.
        if value.abs() < 1e6 || !value.is_finite() {
            write!(f, " of the row with id {row_id} is {value}")
        } else {
            write!(f, " of the row with id {row_id} is {value:e}")
        }
    }
}

/// The cause in words, with what to do about it.
impl fmt::Display for NotFiniteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFiniteCause::Data(number) if number.value.is_finite() => {
                write!(f, "{number}, which is too large to compute with; scale the data")
            }
            NotFiniteCause::Data(number) => write!(f, "{number}"),
            NotFiniteCause::Weight { parameter, value } => {
                write!(f, "the initial weight {parameter} has an element {value}")
            }
            NotFiniteCause::FirstStep(None) => f.write_str("the initial weights are too large"),
            NotFiniteCause::FirstStep(Some(largest)) => write!(
                f,
                "in the first step, inputs, targets or initial weights are too large; of inputs and targets {largest}, the largest"
            ),
            NotFiniteCause::LearningRate => f.write_str("try a smaller learning rate"),
        }
    }
}
