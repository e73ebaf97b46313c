use std::ops::Range;

use crate::buffer::{Buffer, Shared};
use crate::tensor::Tensor;

/// The experts of each of B rows: any number per row, ascending, each once.
///
/// Stored as compressed sparse rows: the experts of row b are `experts()[offsets()[b]..offsets()[b + 1]]`. A position
/// in `experts()` is a *pair* (row, expert); the weights of a routing are aligned with the pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignments {
    num_experts: usize,
    offsets: Shared<u32>,
    experts: Shared<u32>,
}

/// Lists of experts that are not valid assignments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignmentError {
    /// The offsets do not describe rows of the expert list.
    #[error("offsets must start at 0, never fall and end at the number of pairs ({pairs})")]
    Offsets {
        /// Length of the expert list.
        pairs: usize,
    },
    /// An expert index that is out of range.
    #[error("row {row} goes to expert {expert}, but there are only {num_experts} experts")]
    NoSuchExpert {
        /// Index of the row.
        row: usize,
        /// Index of the expert.
        expert: u32,
        /// Number of experts (N).
        num_experts: usize,
    },
    /// Experts of a row that repeat or are out of order.
    #[error("the experts of row {row} are not strictly ascending: {experts:?}")]
    NotAscending {
        /// Index of the row.
        row: usize,
        /// Its experts.
        experts: Vec<u32>,
    },
}

impl Assignments {
    /// Assignments from compressed sparse rows, which are checked.
    ///
    /// # Errors
    /// If the offsets are not those of `experts`, an expert is not below `num_experts`, or the experts of a
    /// row are not strictly ascending.
    pub fn new(
        num_experts: usize,
        offsets: Vec<u32>,
        experts: Vec<u32>,
    ) -> Result<Self, AssignmentError> {
        Self::from_buffers(num_experts, offsets.into(), experts.into())
    }

    /// [`Assignments::new`] over pooled buffers.
    ///
    /// # Errors
    /// As [`Assignments::new`].
    pub fn from_buffers(
        num_experts: usize,
        offsets: Buffer<u32>,
        experts: Buffer<u32>,
    ) -> Result<Self, AssignmentError> {
        let valid = offsets.first() == Some(&0)
            && offsets.last().map(|&end| end as usize) == Some(experts.len())
            && offsets.is_sorted();
        if !valid {
            return Err(AssignmentError::Offsets { pairs: experts.len() });
        }
        let assignments = Assignments {
            num_experts,
            offsets: Shared::new(offsets),
            experts: Shared::new(experts),
        };
        for row in 0..assignments.rows() {
            let of_row = assignments.of_row(row);
            if !of_row.is_sorted_by(|a, b| a < b) {
                return Err(AssignmentError::NotAscending { row, experts: of_row.to_vec() });
            }
            if let Some(&expert) = of_row.last().filter(|&&e| e as usize >= num_experts) {
                return Err(AssignmentError::NoSuchExpert { row, expert, num_experts });
            }
        }
        Ok(assignments)
    }

    /// Assignments with the same number of experts for every row; the experts of each row are sorted.
    ///
    /// # Shapes
    /// `experts` `[B · per_row]`, row by row
    ///
    /// # Panics
    /// If the list is not a whole number of rows, an expert is not below `num_experts`, or a row names an expert twice.
    pub fn fixed(num_experts: usize, per_row: usize, experts: Vec<u32>) -> Self {
        Self::fixed_from_buffer(num_experts, per_row, experts.into())
    }

    /// [`Assignments::fixed`] over a pooled buffer.
    ///
    /// # Panics
    /// As [`Assignments::fixed`].
    pub fn fixed_from_buffer(num_experts: usize, per_row: usize, mut experts: Buffer<u32>) -> Self {
        assert!(
            experts.len().is_multiple_of(per_row.max(1)) && (per_row > 0 || experts.is_empty()),
            "{} experts in rows of {per_row}",
            experts.len()
        );
        if per_row > 0 {
            experts.chunks_exact_mut(per_row).for_each(<[u32]>::sort_unstable);
        }
        let offsets = even_offsets(experts.len() / per_row.max(1), per_row);
        Self::from_buffers(num_experts, offsets, experts).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Assignments with any number of experts per row; the experts of each row are sorted.
    ///
    /// ```
    /// use moe_core::dispatch::Assignments;
    ///
    /// let assignments = Assignments::from_rows(4, [vec![3, 1], vec![], vec![0]]);
    /// assert_eq!(assignments.of_row(0), [1, 3]);
    /// assert_eq!(assignments.pairs(), 3);
    /// ```
    ///
    /// # Panics
    /// If an expert is not below `num_experts`, or a row names an expert twice.
    pub fn from_rows<R: AsRef<[u32]>>(
        num_experts: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let (mut offsets, mut experts) = (vec![0], Vec::new());
        for row in rows {
            let start = experts.len();
            experts.extend_from_slice(row.as_ref());
            experts[start..].sort_unstable();
            offsets.push(experts.len() as u32);
        }
        Self::new(num_experts, offsets, experts).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Every pair (row, expert) for which `is_chosen(row, expert)` holds; called once for each, row by row.
    ///
    /// ```
    /// use moe_core::dispatch::Assignments;
    ///
    /// let assignments = Assignments::from_fn(2, 3, |row, expert| row == 0 || expert == 1);
    /// assert_eq!(assignments.offsets(), [0, 3, 4]);
    /// assert_eq!(assignments.experts(), [0, 1, 2, 1]);
    /// ```
    pub fn from_fn(
        rows: usize,
        num_experts: usize,
        mut is_chosen: impl FnMut(usize, usize) -> bool,
    ) -> Self {
        let mut experts = Buffer::unspecified(rows * num_experts);
        let mut offsets = Buffer::unspecified(rows + 1);
        offsets[0] = 0;
        let mut pairs = 0;
        for row in 0..rows {
            for expert in 0..num_experts {
                // Written in any case and kept by advancing: there is nothing to branch on.
                experts[pairs] = expert as u32;
                pairs += usize::from(is_chosen(row, expert));
            }
            offsets[row + 1] = pairs as u32;
        }
        experts.truncate(pairs);
        Assignments { num_experts, offsets: Shared::new(offsets), experts: Shared::new(experts) }
    }

    /// Sends every row to every expert.
    pub fn dense(rows: usize, num_experts: usize) -> Self {
        let mut experts = Buffer::unspecified(rows * num_experts);
        for row in experts.chunks_exact_mut(num_experts.max(1)) {
            row.iter_mut().enumerate().for_each(|(expert, e)| *e = expert as u32);
        }
        Assignments {
            num_experts,
            offsets: Shared::new(even_offsets(rows, num_experts)),
            experts: Shared::new(experts),
        }
    }

    /// Number of experts (N).
    pub fn num_experts(&self) -> usize {
        self.num_experts
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of (row, expert) pairs.
    pub fn pairs(&self) -> usize {
        self.experts.len()
    }

    /// The experts of all rows, one after the other.
    pub fn experts(&self) -> &[u32] {
        &self.experts
    }

    /// Start of each row in [`Assignments::experts`], and their end.
    ///
    /// # Shapes
    /// → `[B + 1]`
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The offsets, for operators that keep them.
    pub(crate) fn shared_offsets(&self) -> Shared<u32> {
        self.offsets.clone()
    }

    /// The pairs of a row.
    pub fn pairs_of(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// The experts of a row.
    pub fn of_row(&self, row: usize) -> &[u32] {
        &self.experts[self.pairs_of(row)]
    }

    /// Load: the number of rows of each expert.
    ///
    /// # Shapes
    /// → `[N]`
    pub fn load(&self) -> Vec<u32> {
        let mut load = vec![0; self.num_experts];
        for &expert in self.experts.iter() {
            load[expert as usize] += 1;
        }
        load
    }

    /// The dense matrix of the papers: `weights` at the pairs, 0 elsewhere.
    ///
    /// # Shapes
    /// `weights` `[pairs]` → `[B, N]`.
    ///
    /// # Panics
    /// If there is not one weight per pair.
    pub fn to_dense(&self, weights: &Tensor) -> Tensor {
        assert_eq!(weights.len(), self.pairs(), "one weight per pair");
        let mut dense = Tensor::zeros([self.rows(), self.num_experts]);
        let values = dense.as_mut_slice();
        for row in 0..self.rows() {
            for pair in self.pairs_of(row) {
                let expert = self.experts[pair] as usize;
                values[row * self.num_experts + expert] = weights.as_slice()[pair];
            }
        }
        dense
    }
}

/// Offsets of `rows` rows with `per_row` pairs each.
fn even_offsets(rows: usize, per_row: usize) -> Buffer<u32> {
    let mut offsets = Buffer::unspecified(rows + 1);
    offsets.iter_mut().enumerate().for_each(|(row, o)| *o = (row * per_row) as u32);
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let bad = |offsets: &[u32], experts: &[u32]| {
            Assignments::new(4, offsets.to_vec(), experts.to_vec()).unwrap_err().to_string()
        };
        assert!(bad(&[0, 2], &[1]).contains("number of pairs (1)"));
        assert!(bad(&[], &[]).contains("start at 0"));
        assert!(bad(&[0, 1, 3], &[0, 2, 2]).contains("row 1"));
        assert!(bad(&[0, 2], &[3, 4]).contains("expert 4, but there are only 4 experts"));
    }

    #[test]
    fn chosen_pairs_are_compressed() {
        let found = Assignments::from_fn(3, 4, |row, expert| row != 1 && expert % 2 == row / 2);
        assert_eq!(found, Assignments::from_rows(4, [vec![0, 2], vec![], vec![1, 3]]));
        assert_eq!(Assignments::from_fn(0, 4, |_, _| true), Assignments::dense(0, 4));
        assert_eq!(Assignments::from_fn(2, 0, |_, _| true), Assignments::dense(2, 0));
    }

    #[test]
    fn fixed_rows_are_sorted_and_dense_is_complete() {
        let fixed = Assignments::fixed(3, 2, vec![2, 0, 1, 2]);
        assert_eq!(fixed.experts(), [0, 2, 1, 2]);
        assert_eq!(fixed.load(), [1, 1, 2]);
        let weights = Tensor::new([4], vec![0.25, 0.75, 0.5, 0.5]);
        assert_eq!(fixed.to_dense(&weights).as_slice(), [0.25, 0.0, 0.75, 0.0, 0.5, 0.5]);
        assert_eq!(Assignments::dense(2, 3), Assignments::fixed(3, 3, vec![0, 1, 2, 2, 1, 0]));
        assert_eq!(Assignments::fixed(3, 2, Vec::new()).rows(), 0);
    }
}
