//! Columnar storage of a whole data set.

use moe_core::batch::{InputSpec, Inputs, Target, TaskKind, TaskSpec};
use moe_core::{Buffer, Real, Tensor};

/// All rows of a data set, column by column. A row's id is its index here.
pub(crate) struct Table {
    pub(crate) input: InputSpec,
    pub(crate) tasks: Vec<TaskSpec>,
    pub(crate) features: Features,
    /// One column per task.
    pub(crate) targets: Vec<Column>,
    /// The planted group of each row, where it is known.
    pub(crate) groups: Option<Vec<u32>>,
}

/// The inputs of a model. Parts that it does not take are empty.
#[derive(Default)]
pub(crate) struct Features {
    /// One vector per column.
    pub(crate) ids: Vec<Vec<u32>>,
    pub(crate) dense: Option<Dense>,
}

/// Dense values of all rows, row-major.
pub(crate) enum Dense {
    /// The inputs are the values divided by `divisor`.
    Bytes { divisor: u8, values: Vec<u8> },
    /// The inputs.
    Floats(Vec<f32>),
}

/// The targets of one task.
pub(crate) enum Column {
    /// 0 or 1; [`Column::NO_FLAG`] where absent.
    Flags(Vec<u8>),
    /// Classes; [`Column::NO_CLASS`] where absent.
    Classes(Vec<u32>),
    /// Values; NaN where absent.
    Values(Vec<f32>),
}

impl Table {
    /// A table of these features, which a model takes as `input`, and of each task's name, kind and targets. It has no
    /// planted groups.
    pub(crate) fn new<'a>(
        input: InputSpec,
        features: Features,
        tasks: impl IntoIterator<Item = (&'a str, TaskKind, Column)>,
    ) -> Self {
        let task = |(name, kind, targets): (&str, _, _)| {
            (TaskSpec { name: name.to_owned(), kind }, targets)
        };
        let (tasks, targets) = tasks.into_iter().map(task).unzip();
        Table { input, tasks, features, targets, groups: None }
    }

    pub(crate) fn rows(&self) -> usize {
        match self.targets.first() {
            Some(Column::Flags(flags)) => flags.len(),
            Some(Column::Classes(classes)) => classes.len(),
            Some(Column::Values(values)) => values.len(),
            None => 0,
        }
    }

    /// The key of each of these rows: its first id or, without ids, its row id.
    pub(crate) fn keys(&self, rows: &[u32]) -> Vec<u64> {
        match self.features.ids.first() {
            Some(ids) => rows.iter().map(|&row| ids[row as usize].into()).collect(),
            None => rows.iter().map(|&row| row.into()).collect(),
        }
    }

    /// The inputs of these rows.
    pub(crate) fn inputs(&self, rows: &[u32]) -> Inputs {
        let Features { ids, dense } = &self.features;
        Inputs {
            ids: ids.iter().map(|ids| pick(ids, rows)).collect(),
            dense: dense.as_ref().map(|dense| dense.gather(rows, &self.input)),
            tokens: None,
        }
    }
}

impl Features {
    /// One vector per column of ids.
    pub(crate) fn ids(ids: Vec<Vec<u32>>) -> Self {
        Features { ids, ..Features::default() }
    }

    pub(crate) fn dense(values: Dense) -> Self {
        Features { dense: Some(values), ..Features::default() }
    }
}

impl Dense {
    fn gather(&self, rows: &[u32], input: &InputSpec) -> Tensor {
        match self {
            Dense::Bytes { divisor, values } => {
                let divisor = Real::from(*divisor);
                gather_dense(rows, input, values, |v| Real::from(v) / divisor)
            }
            Dense::Floats(values) => gather_dense(rows, input, values, |v| v as Real),
        }
    }
}

impl Column {
    pub(crate) const NO_FLAG: u8 = u8::MAX;
    pub(crate) const NO_CLASS: u32 = u32::MAX;

    pub(crate) fn gather(&self, rows: &[u32]) -> Target {
        match self {
            Column::Flags(flags) => {
                let flags = pick(flags, rows);
                let present = flags.iter().map(|&flag| flag != Self::NO_FLAG).collect();
                let values = flags.iter().map(|&flag| Real::from(u8::from(flag == 1)));
                Target::binary(values.collect()).with_present(present)
            }
            Column::Classes(classes) => {
                let classes = pick(classes, rows);
                let present = classes.iter().map(|&class| class != Self::NO_CLASS).collect();
                Target::classes(classes).with_present(present)
            }
            Column::Values(values) => {
                let values = pick(values, rows);
                let present = values.iter().map(|v| !v.is_nan()).collect();
                let values = values.into_iter().map(|v| if v.is_nan() { 0.0 } else { v as Real });
                Target::regression(values.collect(), present)
            }
        }
    }
}

fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}

/// The dense values of these rows, in the shape that `input` gives a row.
fn gather_dense<T: Copy>(
    rows: &[u32],
    input: &InputSpec,
    values: &[T],
    real: impl Fn(T) -> Real,
) -> Tensor {
    let width = input.dense_width();
    let mut data = Buffer::unspecified(rows.len() * width);
    for (&row, out) in rows.iter().zip(data.chunks_exact_mut(width.max(1))) {
        let start = row as usize * width;
        let values = &values[start..start + width];
        out.iter_mut().zip(values).for_each(|(out, &value)| *out = real(value));
    }
    Tensor::from_buffer(input.dense_shape(rows.len()), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_target_is_masked_and_finite() {
        let present = || vec![false, true, false];
        assert_eq!(
            Column::Values(vec![2.5, f32::NAN, 4.0]).gather(&[1, 2, 1]),
            Target::regression(vec![0.0, 4.0, 0.0], present())
        );
        assert_eq!(
            Column::Flags(vec![0, Column::NO_FLAG, 1]).gather(&[1, 2, 1]),
            Target::binary(vec![0.0, 1.0, 0.0]).with_present(present())
        );
        let target = Column::Classes(vec![0, Column::NO_CLASS, 300]).gather(&[1, 2, 1]);
        assert_eq!((target.present.clone(), target.classes_of(1)), (present(), &[300][..]));
    }

    #[test]
    fn bytes_are_scaled() {
        let features = Features::dense(Dense::Bytes { divisor: 16, values: vec![0, 16, 4, 8] });
        let table = Table::new(InputSpec::default().with_dense([1, 2]), features, []);
        let expected = Tensor::new([2, 1, 2], vec![0.25, 0.5, 0.0, 1.0]);
        assert_eq!(table.inputs(&[1, 0]), Inputs::dense(expected));
    }
}
