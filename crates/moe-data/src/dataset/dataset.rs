use std::fmt;
use std::sync::Arc;

use moe_core::batch::{Batch, BatchSource, InputSpec, TaskSpec};

use crate::dataset::table::Table;
use crate::error::DataError;
use crate::features::schema::FeatureSchema;
use crate::features::vocabulary::Vocabulary;

/// A data set in three disjoint splits.
///
/// The splits share one table of columns, so a clone is cheap.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its id in the [`catalog`](crate::catalog()).
    pub name: String,
    /// The inputs of a model.
    pub input: InputSpec,
    /// The tasks of a model, in the order of [`Batch::targets`].
    pub tasks: Vec<TaskSpec>,
    /// The split to train on.
    pub train: Split,
    /// The split for choosing the best epoch.
    pub val: Split,
    /// The split for the final evaluation.
    pub test: Split,
    schema: Option<Arc<FeatureSchema>>,
}

impl Dataset {
    /// A data set over `table`, with the rows of train, validation and test.
    ///
    /// # Errors
    /// If a split has no rows.
    pub(crate) fn new(
        name: &'static str,
        table: Table,
        splits: [Vec<u32>; 3],
    ) -> Result<Self, DataError> {
        for (rows, split) in splits.iter().zip(["train", "val", "test"]) {
            if rows.is_empty() {
                return Err(DataError::EmptySplit { dataset: name, split, rows: table.rows() });
            }
        }
        let table = Arc::new(table);
        let [train, val, test] = splits.map(|rows| Split::new(Arc::clone(&table), rows));
        Ok(Dataset {
            name: name.to_owned(),
            input: table.input.clone(),
            tasks: table.tasks.clone(),
            train,
            val,
            test,
            schema: None,
        })
    }

    pub(crate) fn with_schema(self, schema: FeatureSchema) -> Self {
        Dataset { schema: Some(Arc::new(schema)), ..self }
    }

    /// The encoding of original rows as inputs; `None` where the inputs are the original numbers.
    pub fn schema(&self) -> Option<&FeatureSchema> {
        self.schema.as_deref()
    }

    /// The original names of the ids in a column of ids, from 0; `None` where the ids are the original ones or there is no
    /// such column.
    pub fn vocabulary(&self, column: usize) -> Option<&Vocabulary> {
        Some(&self.schema.as_ref()?.ids.get(column)?.vocabulary)
    }

    /// The splits with their names.
    pub fn splits(&self) -> [(&'static str, &Split); 3] {
        [("train", &self.train), ("val", &self.val), ("test", &self.test)]
    }

    /// The planted group of each row of all splits, by row id; `None` for a set without groups
    /// ([`Entry::groups`](crate::Entry)). [`Split::groups`] has those of one split.
    pub fn groups(&self) -> Option<&[u32]> {
        self.train.table.groups.as_deref()
    }
}

/// A split of a data set, which yields its rows as batches.
///
/// A row's id ([`Batch::row_ids`]) is its index in the whole data set, so no two rows of a data set share one: the index in
/// file order for sets read from files, later files counting on from earlier ones. A row's key ([`Batch::keys`]) is its
/// first id (for recommenders, the user) or, without ids, its row id.
#[derive(Clone)]
pub struct Split {
    table: Arc<Table>,
    rows: Vec<u32>,
    groups: Option<Vec<u32>>,
}

impl Split {
    fn new(table: Arc<Table>, rows: Vec<u32>) -> Self {
        let groups = table.groups.as_ref();
        let groups = groups.map(|all| rows.iter().map(|&row| all[row as usize]).collect());
        Split { table, rows, groups }
    }

    /// The id of each row.
    pub fn row_ids(&self) -> &[u32] {
        &self.rows
    }

    /// The planted group of each row of this split, such as the expert that it was made for or its domain; `None` for a set
    /// without groups. Models do not see it, except through the router `oracle`.
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }
}

impl BatchSource for Split {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn input(&self) -> &InputSpec {
        &self.table.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.table.tasks
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        let id = |&row: &u32| match self.rows.get(row as usize) {
            Some(&id) => id,
            None => panic!("row {row} of a split of {} rows", self.rows.len()),
        };
        let ids: Vec<u32> = rows.iter().map(id).collect();
        Batch {
            row_ids: ids.iter().map(|&id| id.into()).collect(),
            keys: self.table.keys(&ids),
            groups: self
                .groups
                .as_ref()
                .map(|all| rows.iter().map(|&row| all[row as usize]).collect()),
            inputs: self.table.inputs(&ids),
            targets: self.table.targets.iter().map(|column| column.gather(&ids)).collect(),
        }
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("rows", &self.rows.len())
            .field("groups", &self.groups.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::table::{Column, Features};
    use moe_core::batch::{IdColumn, Inputs, Target, TaskKind};

    fn table() -> Table {
        let columns = vec![IdColumn { name: "user".into(), vocabulary: 10 }];
        let features = Features::ids(vec![vec![7, 8, 9, 7]]);
        let watch = ("watch", TaskKind::binary(), Column::Flags(vec![0, 1, 1, 0]));
        let table = Table::new(InputSpec::ids(columns), features, [watch]);
        Table { groups: Some(vec![0, 1, 0, 2]), ..table }
    }

    #[test]
    fn a_batch_has_the_rows_asked_for_in_that_order() {
        let data = Dataset::new("toy", table(), [vec![1, 3], vec![0], vec![2]]).unwrap();
        let batch = data.train.batch(&[1, 0, 1]);
        assert_eq!(batch.row_ids, [3, 1, 3]);
        assert_eq!(batch.keys, [7, 8, 7]);
        assert_eq!(batch.inputs, Inputs::ids(vec![vec![7, 8, 7]]));
        assert_eq!(batch.targets, [Target::binary(vec![0.0, 1.0, 0.0])]);
        assert_eq!(batch.groups, Some(vec![2, 1, 2]));
        assert_eq!(data.train.groups(), Some(&[1, 2][..]));
        assert_eq!(data.groups(), Some(&[0, 1, 0, 2][..]));
        assert_eq!(data.train.batch(&[]).rows(), 0);
    }

    #[test]
    fn an_empty_split_is_an_error() {
        let error = Dataset::new("toy", table(), [vec![1], vec![], vec![2]]).unwrap_err();
        assert!(error.to_string().contains("the val split"), "{error}");
    }

    #[test]
    #[should_panic(expected = "row 2 of a split of 2 rows")]
    fn a_row_out_of_range_panics() {
        let data = Dataset::new("toy", table(), [vec![1, 3], vec![0], vec![2]]).unwrap();
        data.train.batch(&[2]);
    }

    #[test]
    fn splits_travel_between_threads() {
        fn check<T: Send + Sync + fmt::Debug + Clone>() {}
        check::<Dataset>();
        check::<Split>();
    }
}
