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
    /// The planted expert of each row, for generated data.
    pub(crate) planted: Option<Vec<u32>>,
}

/// The inputs of a model.
pub(crate) enum Features {
    /// `[rows, width]` row-major; the inputs are the values divided by `divisor`.
    Bytes { width: usize, divisor: u8, values: Vec<u8> },
    /// `[rows, width]` row-major.
    Floats { width: usize, values: Vec<f32> },
    /// One vector per column.
    Ids(Vec<Vec<u32>>),
    /// One vector per column, and `[rows, width]` row-major.
    Mixed { ids: Vec<Vec<u32>>, width: usize, values: Vec<f32> },
}

/// The targets of one task.
pub(crate) enum Column {
    /// 0 or 1.
    Binary(Vec<u8>),
    /// Classes.
    Multiclass(Vec<u8>),
    /// Values; NaN where absent.
    Regression(Vec<f32>),
}

impl Table {
    /// A table of these features, which a model takes as `input`, and of each task's name, kind and targets. It has no
    /// planted experts.
    pub(crate) fn new<'a>(
        input: InputSpec,
        features: Features,
        tasks: impl IntoIterator<Item = (&'a str, TaskKind, Column)>,
    ) -> Self {
        let task = |(name, kind, targets): (&str, _, _)| {
            (TaskSpec { name: name.to_owned(), kind }, targets)
        };
        let (tasks, targets) = tasks.into_iter().map(task).unzip();
        Table { input, tasks, features, targets, planted: None }
    }

    pub(crate) fn rows(&self) -> usize {
        match self.targets.first() {
            Some(Column::Binary(values) | Column::Multiclass(values)) => values.len(),
            Some(Column::Regression(values)) => values.len(),
            None => 0,
        }
    }

    /// The key of each of these rows: its first id or, for dense inputs, its row id.
    pub(crate) fn keys(&self, rows: &[u32]) -> Vec<u64> {
        match &self.features {
            Features::Ids(ids) | Features::Mixed { ids, .. } if !ids.is_empty() => {
                rows.iter().map(|&row| ids[0][row as usize].into()).collect()
            }
            _ => rows.iter().map(|&row| row.into()).collect(),
        }
    }
}

impl Features {
    pub(crate) fn gather(&self, rows: &[u32]) -> Inputs {
        match self {
            Features::Bytes { width, divisor, values } => {
                let divisor = Real::from(*divisor);
                Inputs::Dense(gather_dense(rows, *width, values, |v| Real::from(v) / divisor))
            }
            Features::Floats { width, values } => {
                Inputs::Dense(gather_dense(rows, *width, values, |v| v as Real))
            }
            Features::Ids(ids) => Inputs::Ids(ids.iter().map(|ids| pick(ids, rows)).collect()),
            Features::Mixed { ids, width, values } => Inputs::Mixed {
                ids: ids.iter().map(|ids| pick(ids, rows)).collect(),
                dense: gather_dense(rows, *width, values, |v| v as Real),
            },
        }
    }
}

impl Column {
    pub(crate) fn gather(&self, rows: &[u32]) -> Target {
        match self {
            Column::Binary(values) => {
                Target::Binary(pick(values, rows).into_iter().map(Real::from).collect())
            }
            Column::Multiclass(classes) => {
                Target::Multiclass(pick(classes, rows).into_iter().map(u32::from).collect())
            }
            Column::Regression(values) => {
                let values = pick(values, rows);
                Target::Regression {
                    present: values.iter().map(|v| !v.is_nan()).collect(),
                    values: values
                        .into_iter()
                        .map(|v| if v.is_nan() { 0.0 } else { v as Real })
                        .collect(),
                }
            }
        }
    }
}

fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}

/// The given rows as a tensor, `[rows, width]`.
fn gather_dense<T: Copy>(
    rows: &[u32],
    width: usize,
    values: &[T],
    real: impl Fn(T) -> Real,
) -> Tensor {
    let mut data = Buffer::unspecified(rows.len() * width);
    for (&row, out) in rows.iter().zip(data.chunks_exact_mut(width.max(1))) {
        let start = row as usize * width;
        let values = &values[start..start + width];
        out.iter_mut().zip(values).for_each(|(out, &value)| *out = real(value));
    }
    Tensor::from_buffer([rows.len(), width], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_value_is_masked_and_finite() {
        let column = Column::Regression(vec![2.5, f32::NAN, 4.0]);
        assert_eq!(
            column.gather(&[1, 2, 1]),
            Target::Regression { values: vec![0.0, 4.0, 0.0], present: vec![false, true, false] }
        );
    }

    #[test]
    fn bytes_are_scaled() {
        let features = Features::Bytes { width: 2, divisor: 16, values: vec![0, 16, 4, 8] };
        let Inputs::Dense(x) = features.gather(&[1, 0]) else { panic!("dense") };
        assert_eq!(x.as_slice(), [0.25, 0.5, 0.0, 1.0]);
    }
}
