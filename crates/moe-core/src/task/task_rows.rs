use crate::real::Real;
use crate::task::target::Target;

/// Predictions and targets of one task, collected over the batches of a split, in double precision. Rows without a target are
/// left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRows {
    rows: usize,
    predictions: Vec<f64>,
    values: Vec<f64>,
    classes: Vec<u32>,
}

impl TaskRows {
    /// Adds the rows of a batch that have a target.
    ///
    /// # Shapes
    /// `predictions` `[B, outputs of the task]`, `target` B rows
    ///
    /// # Panics
    /// If `predictions` is not a whole number of outputs for each row.
    pub fn add(&mut self, predictions: &[Real], target: &Target) {
        let outputs = predictions.len() / target.rows().max(1);
        assert_eq!(predictions.len(), outputs * target.rows(), "one row of outputs per target");
        for (row, _) in target.present.iter().enumerate().filter(|(_, present)| **present) {
            let prediction = &predictions[row * outputs..][..outputs];
            self.predictions.extend(prediction.iter().map(|&output| f64::from(output)));
            self.values.extend(target.values_of(row).iter().map(|&value| f64::from(value)));
            self.classes.extend(target.classes_of(row));
            self.rows += 1;
        }
    }

    /// Number of rows with a target (R).
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row has a target.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// `[R, outputs of the task]`: the outputs of the model.
    pub fn predictions(&self) -> &[f64] {
        &self.predictions
    }

    /// `[R, W]`: the real numbers of the targets.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// `[R, W]`: the classes of the targets.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_target_are_left_out() {
        let mut rows = TaskRows::default();
        let target = Target { values: vec![5.0, 6.0, 7.0], ..Target::classes(vec![1, 2, 300]) };
        rows.add(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &target.with_present(vec![true, false, true]));
        rows.add(&[], &Target::classes(vec![]));
        assert_eq!((rows.len(), rows.is_empty()), (2, false));
        assert_eq!(rows.predictions(), [0.0, 1.0, 4.0, 5.0]);
        assert_eq!((rows.values(), rows.classes()), (&[5.0, 7.0][..], &[1, 300][..]));
    }
}
