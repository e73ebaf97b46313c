/// The tokens of B rows, one row after the other without padding: those of row r are `ids[offsets[r]..offsets[r + 1]]`.
///
/// ```
/// use moe_core::batch::Tokens;
///
/// let tokens = Tokens::from_rows([&[7, 8, 9][..], &[3]]);
/// assert_eq!((tokens.ids(), tokens.offsets()), (&[7, 8, 9, 3][..], &[0, 3, 4][..]));
/// assert_eq!(tokens.of_row(1), [3]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    offsets: Vec<u32>,
}

/// The tokens of no row.
impl Default for Tokens {
    fn default() -> Self {
        Tokens { ids: Vec::new(), offsets: vec![0] }
    }
}

impl Tokens {
    /// The tokens `ids` of all rows. `offsets` has B + 1 places in `ids`: the start of each row, and the end of the last.
    ///
    /// # Panics
    /// If the offsets do not begin with 0, descend, or do not end with the number of ids.
    pub fn new(ids: Vec<u32>, offsets: Vec<u32>) -> Self {
        assert_eq!(offsets.first(), Some(&0), "the first row starts at 0");
        assert!(offsets.is_sorted(), "the offsets descend");
        let end = offsets[offsets.len() - 1];
        assert_eq!(end as usize, ids.len(), "the last row ends at {end} of {} ids", ids.len());
        Tokens { ids, offsets }
    }

    /// The tokens of each row.
    ///
    /// # Panics
    /// If there are 2³² tokens or more.
    pub fn from_rows<R: AsRef<[u32]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut tokens = Tokens::default();
        rows.into_iter().for_each(|row| tokens.push(row.as_ref()));
        tokens
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The tokens of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn of_row(&self, row: usize) -> &[u32] {
        &self.ids[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// The tokens of all rows, `[T]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The start of each row in [`Tokens::ids`], and the end of the last, `[B + 1]`.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If there are then 2³² tokens or more.
    pub fn push(&mut self, row: &[u32]) {
        let end = u32::try_from(self.ids.len() + row.len()).expect("fewer than 2³² tokens");
        self.ids.extend_from_slice(row);
        self.offsets.push(end);
    }

    /// Keeps the first `rows` rows and the memory of the others. Does nothing if there are no others.
    pub fn truncate(&mut self, rows: usize) {
        if let Some(&end) = self.offsets.get(rows) {
            self.ids.truncate(end as usize);
            self.offsets.truncate(rows + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_offsets() {
        let tokens = Tokens::new(vec![5, 6, 7], vec![0, 2, 2, 3]);
        assert_eq!(tokens.rows(), 3);
        assert_eq!([0, 1, 2].map(|row| tokens.of_row(row)), [&[5, 6][..], &[], &[7]]);
        assert_eq!(tokens, Tokens::from_rows([vec![5, 6], vec![], vec![7]]));
        assert_eq!(Tokens::default().rows(), 0);
        assert_eq!(Tokens::new(Vec::new(), vec![0]), Tokens::default());
    }

    #[test]
    fn removed_rows_are_filled_again() {
        let mut tokens = Tokens::from_rows([[1, 2], [3, 4]]);
        tokens.truncate(2);
        assert_eq!(tokens.rows(), 2);
        tokens.truncate(1);
        assert_eq!(tokens, Tokens::from_rows([[1, 2]]));
        tokens.truncate(0);
        assert_eq!(tokens, Tokens::default());
        tokens.push(&[9]);
        assert_eq!((tokens.rows(), tokens.of_row(0)), (1, &[9][..]));
    }

    #[test]
    #[should_panic(expected = "the first row starts at 0")]
    fn there_is_a_first_offset() {
        Tokens::new(Vec::new(), Vec::new());
    }

    #[test]
    #[should_panic(expected = "the first row starts at 0")]
    fn the_first_offset_is_0() {
        Tokens::new(vec![1, 2], vec![1, 2]);
    }

    #[test]
    #[should_panic(expected = "the offsets descend")]
    fn offsets_ascend() {
        Tokens::new(vec![1, 2], vec![0, 2, 1, 2]);
    }

    #[test]
    #[should_panic(expected = "the last row ends at 1 of 2 ids")]
    fn the_last_offset_is_the_number_of_ids() {
        Tokens::new(vec![1, 2], vec![0, 1]);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_row_that_does_not_exist_panics() {
        Tokens::default().of_row(0);
    }
}
