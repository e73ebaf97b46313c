//! Groups of rows, to see which rows go to which expert: by class, by frequency of an id, by planted group.

use moe_core::batch::{Batch, BatchSource, TaskSpec};
use moe_data::{Dataset, FeatureSchema, Split};
use serde::Serialize;

/// The property that rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// The class of a task.
    Class,
    /// Number of training rows with the row's id in a column.
    Frequency,
    /// The planted group of the row: the expert that it was made for, or its domain.
    Planted,
}

impl By {
    /// What the groups are, in words, for a grouping of this task, column or kind of planted group.
    pub(crate) fn head(self, of: &str) -> String {
        match self {
            By::Class => format!("class of {of}"),
            By::Frequency => format!("{of} in training"),
            By::Planted => format!("planted {of}"),
        }
    }
}

/// A way to group the rows of a split.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub(crate) by: By,
    /// Name of the task or the column, or what the planted groups are.
    pub(crate) of: String,
    /// Names of the groups.
    pub(crate) names: Vec<String>,
    /// The group of each row of the split.
    pub(crate) rows: Vec<u32>,
}

/// All groupings that the data allow of the rows of `split`, which `batches` yields in order.
pub(crate) fn groupings(
    data: &Dataset,
    split: &Split,
    batches: impl Iterator<Item = Batch>,
) -> Vec<Grouping> {
    let new = |by, of: &str, names| Grouping { by, of: of.to_owned(), names, rows: Vec::new() };
    let mut classes = Vec::new();
    for task in &data.tasks {
        let mut names = class_names(data.schema(), task);
        names.push("no target".to_owned());
        classes.push(new(By::Class, &task.name, names));
    }
    let mut columns = Vec::new();
    for (i, column) in data.input.columns.iter().enumerate() {
        let frequency = Frequency::new(&data.train, i, column.vocabulary);
        let grouping = new(By::Frequency, &column.name, frequency.names());
        columns.push((frequency, grouping));
    }
    for batch in batches {
        for ((task, grouping), target) in data.tasks.iter().zip(&mut classes).zip(&batch.targets) {
            let without = grouping.names.len() as u32 - 1;
            for row in 0..target.rows() {
                let class = target.present[row].then(|| task.kind.class_of(target, row));
                grouping.rows.push(class.flatten().unwrap_or(without));
            }
        }
        for ((frequency, grouping), ids) in columns.iter_mut().zip(&batch.inputs.ids) {
            grouping.rows.extend(ids.iter().map(|&id| frequency.group(id)));
        }
    }
    // A task whose rows have no class is no grouping.
    classes.retain(|grouping: &Grouping| {
        let without = grouping.names.len() as u32 - 1;
        grouping.rows.iter().any(|&group| group != without)
    });
    let mut all = classes;
    all.extend(columns.into_iter().map(|(_, grouping)| grouping));
    if let Some(planted) = split.groups() {
        let most = planted.iter().copied().max().unwrap_or(0);
        let what = moe_data::find(&data.name).ok().and_then(|entry| entry.groups);
        let names = (0..=most).map(|group| group.to_string()).collect();
        let mut grouping = new(By::Planted, what.unwrap_or("group"), names);
        grouping.rows = planted.to_vec();
        all.push(grouping);
    }
    all
}

/// The names of a task's classes: those of the schema, or of the kind of task where it has none.
pub(crate) fn class_names(schema: Option<&FeatureSchema>, task: &TaskSpec) -> Vec<String> {
    let names = schema.and_then(|schema| schema.classes.get(&task.name));
    let name = |class| names.and_then(|names| names.name(class)).map(String::from);
    let classes = 0..task.kind.classes() as u32;
    classes.map(|class| name(class).unwrap_or_else(|| task.kind.class_name(class))).collect()
}

/// Frequencies of the ids of a column in training, in quarters of the ids that occur.
struct Frequency {
    /// Number of training rows with each id.
    counts: Vec<u64>,
    /// The largest count of each group. The first group has the ids that do not occur: 0.
    bounds: Vec<u64>,
}

impl Frequency {
    fn new(train: &Split, column: usize, vocabulary: usize) -> Self {
        const ROWS: usize = 4096;
        let mut counts = vec![0; vocabulary];
        for first in (0..train.rows()).step_by(ROWS) {
            let rows: Vec<u32> = (first as u32..(first + ROWS).min(train.rows()) as u32).collect();
            let batch = train.batch(&rows);
            batch.inputs.ids[column].iter().for_each(|&id| counts[id as usize] += 1);
        }
        Frequency::of(counts)
    }

    fn of(counts: Vec<u64>) -> Self {
        let mut sorted: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
        sorted.sort_unstable();
        let quarter = |q: usize| sorted.get((q * sorted.len()).div_ceil(4).saturating_sub(1));
        let mut bounds = vec![0];
        bounds.extend((1..=4).filter_map(quarter));
        // Ids that occur equally often are in the same group.
        bounds.dedup();
        Frequency { counts, bounds }
    }

    fn group(&self, id: u32) -> u32 {
        let count = self.counts[id as usize];
        self.bounds.partition_point(|&bound| bound < count) as u32
    }

    fn names(&self) -> Vec<String> {
        let ranges = self.bounds.windows(2).map(|pair| match [pair[0] + 1, pair[1]] {
            [1, 1] => "once".into(),
            [first, last] if first == last => format!("{first} times"),
            [first, last] => format!("{first}-{last} times"),
        });
        std::iter::once("never".to_owned()).chain(ranges).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_grouped_by_quarters() {
        let frequency = Frequency::of(vec![0, 1, 1, 2, 3, 3, 7, 9, 9]);
        assert_eq!(frequency.names(), ["never", "once", "2-3 times", "4-7 times", "8-9 times"]);
        let groups: Vec<u32> = (0..9).map(|id| frequency.group(id)).collect();
        assert_eq!(groups, [0, 1, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn equal_counts_are_not_told_apart() {
        let frequency = Frequency::of(vec![5, 5, 0, 5]);
        assert_eq!(frequency.names(), ["never", "1-5 times"]);
        let groups: Vec<u32> = (0..4).map(|id| frequency.group(id)).collect();
        assert_eq!(groups, [1, 1, 0, 1]);
        assert_eq!(Frequency::of(vec![0]).names(), ["never"]);
    }
}
