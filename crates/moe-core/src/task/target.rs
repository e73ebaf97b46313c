use crate::real::Real;

/// The targets of one task for the B rows of a batch, as the task's kind understands them.
///
/// A kind of task uses the real numbers, the classes, or both; a part that it does not use is empty. Any row can be without a
/// target: it then counts in no loss and no metric, and its numbers and classes may be anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// `[B, W]`: W real numbers per row.
    pub values: Vec<Real>,
    /// `[B, W]`: W classes per row.
    pub classes: Vec<u32>,
    /// Whether each of the B rows has a target.
    pub present: Vec<bool>,
}

impl Target {
    /// 0 or 1 for each row.
    pub fn binary(values: Vec<Real>) -> Self {
        Self::values(values, 1)
    }

    /// The class of each row.
    pub fn classes(classes: Vec<u32>) -> Self {
        Target { present: vec![true; classes.len()], classes, ..Target::default() }
    }

    /// A value for each row, ignored where it is not present.
    ///
    /// # Panics
    /// If there is not one flag per value.
    pub fn regression(values: Vec<Real>, present: Vec<bool>) -> Self {
        Self::values(values, 1).with_present(present)
    }

    /// `width` (W) real numbers for each row.
    ///
    /// # Shapes
    /// `values` `[B, W]`
    ///
    /// # Panics
    /// If `values` is not a whole number of rows.
    pub fn values(values: Vec<Real>, width: usize) -> Self {
        let rows = values.len() / width.max(1);
        assert_eq!(rows * width, values.len(), "a target of {width} numbers per row");
        Target { values, present: vec![true; rows], ..Target::default() }
    }

    /// The target with these flags: whether each row has a target.
    ///
    /// # Panics
    /// If there is not one flag per row.
    #[must_use]
    pub fn with_present(self, present: Vec<bool>) -> Self {
        assert_eq!(self.present.len(), present.len(), "a target has one flag per row");
        Target { present, ..self }
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.present.len()
    }

    /// Number of rows that have a target.
    pub fn counted(&self) -> usize {
        self.present.iter().filter(|&&present| present).count()
    }

    /// The real numbers of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn values_of(&self, row: usize) -> &[Real] {
        of_row(&self.values, self.rows(), row)
    }

    /// The classes of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn classes_of(&self, row: usize) -> &[u32] {
        of_row(&self.classes, self.rows(), row)
    }
}

fn of_row<T>(all: &[T], rows: usize, row: usize) -> &[T] {
    assert!(row < rows, "row {row} of a target of {rows} rows");
    let width = all.len() / rows;
    &all[row * width..][..width]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_numbers_and_classes() {
        let target = Target::values(vec![1.0, 2.0, 3.0, 4.0], 2).with_present(vec![false, true]);
        assert_eq!((target.rows(), target.counted()), (2, 1));
        assert_eq!((target.values_of(1), target.classes_of(1)), (&[3.0, 4.0][..], &[][..]));
        let target = Target { classes: vec![7, 70_000], ..target };
        assert_eq!(target.classes_of(1), [70_000]);
        assert_eq!(Target::values(vec![], 0).rows(), 0);
    }

    #[test]
    #[should_panic(expected = "a target of 2 numbers per row")]
    fn half_a_row_panics() {
        Target::values(vec![1.0; 3], 2);
    }

    #[test]
    #[should_panic(expected = "one flag per row")]
    fn a_missing_flag_panics() {
        Target::regression(vec![1.0; 3], vec![true; 2]);
    }
}
