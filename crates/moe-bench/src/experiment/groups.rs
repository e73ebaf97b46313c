//! Groups of rows, to see who goes where: by class, by how often an id occurs, by planted expert.

use moe_core::batch::{Batch, BatchSource, Inputs, Target, TaskKind};
use moe_data::{Dataset, Split};
use serde::Serialize;

/// What rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// The class of a task.
    Class,
    /// How many training rows have the id of a column.
    Frequency,
    /// The expert that the row was planted for.
    Planted,
}

/// Groups that every row of a part is in one of.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub(crate) by: By,
    /// The task or the column.
    pub(crate) of: String,
    pub(crate) names: Vec<String>,
    /// For each row of the part, its group.
    pub(crate) rows: Vec<u32>,
}

/// All groupings that the data allow, for the rows of `part`, which `batches` hands out in order.
pub(crate) fn groupings(
    data: &Dataset,
    part: &Split,
    batches: impl Iterator<Item = Batch>,
) -> Vec<Grouping> {
    let classes = data.tasks.iter().map(|task| {
        let names = match task.kind {
            TaskKind::Binary => vec!["no".into(), "yes".into()],
            TaskKind::Multiclass { classes } => class_names(data, &task.name, classes),
            TaskKind::Regression => return None,
        };
        Some(Grouping { by: By::Class, of: task.name.clone(), names, rows: Vec::new() })
    });
    let mut classes: Vec<Option<Grouping>> = classes.collect();
    let columns = data.input.id_columns();
    let frequencies: Vec<Frequency> = (columns.iter().enumerate())
        .map(|(i, column)| Frequency::new(&data.train, i, column.vocabulary))
        .collect();
    let mut columns: Vec<Grouping> = (columns.iter().zip(&frequencies))
        .map(|(column, frequency)| Grouping {
            by: By::Frequency,
            of: column.name.clone(),
            names: frequency.names(),
            rows: Vec::new(),
        })
        .collect();
    for batch in batches {
        for (grouping, target) in classes.iter_mut().zip(&batch.targets) {
            let Some(Grouping { rows, .. }) = grouping else { continue };
            match target {
                Target::Binary(values) => rows.extend(values.iter().map(|&v| u32::from(v > 0.5))),
                Target::Multiclass(classes) => rows.extend(classes),
                Target::Regression { .. } => {}
            }
        }
        let groups = columns.iter_mut().zip(&frequencies).zip(ids(&batch.inputs));
        for ((grouping, frequency), ids) in groups {
            grouping.rows.extend(ids.iter().map(|&id| frequency.group(id)));
        }
    }
    let planted = part.planted().map(|experts| Grouping {
        by: By::Planted,
        of: "expert".into(),
        names: (0..=experts.iter().copied().max().unwrap_or(0)).map(|e| e.to_string()).collect(),
        rows: experts.to_vec(),
    });
    classes.into_iter().flatten().chain(columns).chain(planted).collect()
}

/// The names of a task's classes; their numbers where they have none.
fn class_names(data: &Dataset, task: &str, classes: usize) -> Vec<String> {
    let names = data.schema().and_then(|schema| schema.classes.get(task));
    let name = |class: usize| names.and_then(|names| names.name(class as u32)).map(String::from);
    (0..classes).map(|class| name(class).unwrap_or_else(|| class.to_string())).collect()
}

fn ids(inputs: &Inputs) -> &[Vec<u32>] {
    match inputs {
        Inputs::Dense(_) => &[],
        Inputs::Ids(ids) | Inputs::Mixed { ids, .. } => ids,
    }
}

/// How often the ids of a column occur in training, in quarters of the ids that do.
struct Frequency {
    /// Training rows of each id.
    counts: Vec<u64>,
    /// The largest count of each group; of the first group, of ids that do not occur, 0.
    bounds: Vec<u64>,
}

impl Frequency {
    fn new(train: &Split, column: usize, vocabulary: usize) -> Self {
        const ROWS: usize = 4096;
        let mut counts = vec![0; vocabulary];
        for first in (0..train.rows()).step_by(ROWS) {
            let rows: Vec<u32> = (first as u32..(first + ROWS).min(train.rows()) as u32).collect();
            let batch = train.batch(&rows);
            ids(&batch.inputs)[column].iter().for_each(|&id| counts[id as usize] += 1);
        }
        Frequency::of(counts)
    }

    fn of(counts: Vec<u64>) -> Self {
        let mut sorted: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
        sorted.sort_unstable();
        let quarter = |q: usize| sorted.get((q * sorted.len()).div_ceil(4).saturating_sub(1));
        let mut bounds = vec![0];
        bounds.extend((1..=4).filter_map(quarter));
        // Ids that occur equally often are in one group.
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
