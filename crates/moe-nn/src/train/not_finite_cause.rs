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

/// A dense value or a target of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct DataNumber {
    /// `dense value 3` (from 0) or `target left` (the name of the task).
    pub name: String,
    /// Id of the row.
    pub row_id: u64,
    /// The number.
    pub value: f64,
}

impl NotFiniteCause {
    /// The cause in a step with these micro-batches.
    pub(crate) fn of_step(
        model: &dyn Module,
        tasks: &[TaskSpec],
        batches: &[Batch],
        is_first: bool,
    ) -> Self {
        if let Some(cause) = batches.iter().find_map(|batch| NotFiniteCause::in_data(batch, tasks))
        {
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
        NotFiniteCause::FirstStep(
            numbers.max_by(|a, b| a.2.abs().total_cmp(&b.2.abs())).map(DataNumber::new),
        )
    }

    /// The first number of a batch that cannot be computed with.
    pub(crate) fn in_data(batch: &Batch, tasks: &[TaskSpec]) -> Option<Self> {
        let is_sound = |value: f64| value.abs() <= f64::from(Real::MAX.cbrt());
        let mut numbers = numbers(batch, tasks);
        numbers.find(|(.., value)| !is_sound(*value)).map(DataNumber::new).map(NotFiniteCause::Data)
    }
}

/// Where a number comes from.
enum Origin<'a> {
    Dense(usize),
    Target(&'a TaskSpec),
}

/// The dense values of a batch, row by row, then the targets of the rows that have one, with the ids of their rows.
fn numbers<'a>(
    batch: &'a Batch,
    tasks: &'a [TaskSpec],
) -> impl Iterator<Item = (Origin<'a>, u64, f64)> {
    let dense = batch.inputs.dense.iter().flat_map(move |x| {
        let width = (x.len() / batch.rows().max(1)).max(1);
        let values = x.as_slice().iter().enumerate();
        values.map(move |(i, &value)| {
            (Origin::Dense(i % width), batch.row_ids[i / width], f64::from(value))
        })
    });
    let targets = tasks.iter().zip(&batch.targets).flat_map(move |(task, target)| {
        let rows = (0..target.rows()).filter(|&row| target.present[row]);
        rows.flat_map(move |row| {
            let values = target.values_of(row).iter();
            values.map(move |&value| (Origin::Target(task), batch.row_ids[row], f64::from(value)))
        })
    });
    dense.chain(targets)
}

impl DataNumber {
    fn new((origin, row_id, value): (Origin<'_>, u64, f64)) -> Self {
        let name = match origin {
            Origin::Dense(index) => format!("dense value {index}"),
            Origin::Target(task) => format!("target {}", task.name),
        };
        DataNumber { name, row_id, value }
    }
}

impl fmt::Display for DataNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DataNumber { name, row_id, value } = self;
        // The digits of 1e300 help nobody.
        if value.abs() < 1e6 || !value.is_finite() {
            write!(f, "{name} of the row with id {row_id} is {value}")
        } else {
            write!(f, "{name} of the row with id {row_id} is {value:e}")
        }
    }
}

/// What to do about it, in words.
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
                "in the first step, inputs, targets or initial weights are too large; the largest number of the data: \
                 {largest}"
            ),
            NotFiniteCause::LearningRate => f.write_str("try a smaller learning rate"),
        }
    }
}
