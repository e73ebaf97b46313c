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
    /// 0 or 1; [`Column::NO_FLAG`] where absent.
    Flags(Vec<u8>),
    /// Classes; [`Column::NO_CLASS`] where absent.
    Classes(Vec<u32>),
    /// Values; NaN where absent.
    Values(Vec<f32>),
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
            Some(Column::Flags(flags)) => flags.len(),
            Some(Column::Classes(classes)) => classes.len(),
            Some(Column::Values(values)) => values.len(),
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
        let features = Features::Bytes { width: 2, divisor: 16, values: vec![0, 16, 4, 8] };
        let Inputs::Dense(x) = features.gather(&[1, 0]) else { panic!("dense") };
        assert_eq!(x.as_slice(), [0.25, 0.5, 0.0, 1.0]);
    }
}
