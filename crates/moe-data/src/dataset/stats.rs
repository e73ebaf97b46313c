use std::collections::{BTreeMap, HashSet};

use moe_core::batch::BatchSource;

use crate::dataset::dataset::Dataset;

/// Statistics of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Name and number of rows of each split.
    pub rows: [(&'static str, usize); 3],
    /// For each column of ids: its name, the number of ids that occur, and the size of its vocabulary.
    pub ids: Vec<(String, usize, usize)>,
    /// The tasks, in order.
    pub tasks: Vec<TaskStats>,
    /// Number of rows of each planted group; empty for a set without groups.
    pub groups: Vec<usize>,
}

/// Statistics of the targets of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStats {
    /// The task's name.
    pub name: String,
    /// Number of rows with a target.
    pub rows: usize,
    /// Number of rows without one.
    pub missing: usize,
    /// Number of rows with a target by class; for a regression by value or, with more than 24 values, by ten intervals of equal
    /// width, each named by its lower end.
    pub counts: Vec<(String, usize)>,
    /// For a regression: mean, standard deviation, least and greatest value.
    pub moments: Option<[f64; 4]>,
}

impl Stats {
    /// Statistics of all splits together.
    pub fn of(data: &Dataset) -> Self {
        /// Number of rows per batch.
        const STEP: usize = 4096;
        let columns = &data.input.columns;
        let mut seen: Vec<Vec<bool>> =
            columns.iter().map(|column| vec![false; column.vocabulary]).collect();
        let mut classes = vec![BTreeMap::<u32, usize>::new(); data.tasks.len()];
        let mut values = vec![Vec::new(); data.tasks.len()];
        let mut counted = vec![0; data.tasks.len()];
        let all: usize = data.splits().iter().map(|(_, split)| split.rows()).sum();
        for (_, split) in data.splits() {
            let rows: Vec<u32> = (0..split.rows() as u32).collect();
            for rows in rows.chunks(STEP) {
                let batch = split.batch(rows);
                for (seen, ids) in seen.iter_mut().zip(&batch.inputs.ids) {
                    ids.iter().for_each(|&id| seen[id as usize] = true);
                }
                for (task, target) in batch.targets.iter().enumerate() {
                    counted[task] += target.counted();
                    for row in (0..target.rows()).filter(|&row| target.present[row]) {
                        if let Some(class) = data.tasks[task].kind.class_of(target, row) {
                            *classes[task].entry(class).or_default() += 1;
                        } else {
                            let all = target.values_of(row).iter();
                            values[task].extend(all.map(|&value| f64::from(value)));
                        }
                    }
                }
            }
        }
        let ids = columns.iter().zip(seen).map(|(column, seen)| {
            let used = seen.into_iter().filter(|&seen| seen).count();
            (column.name.clone(), used, column.vocabulary)
        });
        let tasks = data.tasks.iter().zip(counted).zip(classes).zip(values);
        let tasks = tasks.map(|(((task, rows), classes), values)| {
            let names = data.schema().and_then(|schema| schema.classes.get(&task.name));
            let name = |class: u32| match names.and_then(|names| names.name(class)) {
                Some(name) => name.to_owned(),
                None => class.to_string(),
            };
            let is_number = task.kind.classes() == 0;
            TaskStats {
                name: task.name.clone(),
                rows,
                missing: all - rows,
                moments: is_number.then(|| moments(&values)),
                counts: if is_number {
                    histogram(values)
                } else {
                    classes.into_iter().map(|(c, count)| (name(c), count)).collect()
                },
            }
        });
        let rows = data.splits().map(|(name, split)| (name, split.rows()));
        Stats { rows, ids: ids.collect(), tasks: tasks.collect(), groups: group_sizes(data) }
    }

    /// The figures by the names that [`Entry::facts`](crate::Entry::facts) uses: `rows`; `ids.COLUMN`, ids that occur;
    /// `TASK.rows`, rows with a target; `TASK.CLASS`, rows of a class or value; `TASK.mean`.
    pub fn measures(&self) -> BTreeMap<String, f64> {
        let rows = self.rows.iter().map(|(_, rows)| rows).sum::<usize>();
        let mut all = BTreeMap::from([("rows".to_owned(), rows as f64)]);
        for (name, used, _) in &self.ids {
            all.insert(format!("ids.{name}"), *used as f64);
        }
        for task in &self.tasks {
            all.insert(format!("{}.rows", task.name), task.rows as f64);
            let counts = task.counts.iter();
            all.extend(counts.map(|(c, count)| (format!("{}.{c}", task.name), *count as f64)));
            if let Some([mean, ..]) = task.moments {
                all.insert(format!("{}.mean", task.name), mean);
            }
        }
        all
    }
}

/// Number of rows of each planted group.
fn group_sizes(data: &Dataset) -> Vec<usize> {
    let groups = data.groups().unwrap_or_default();
    let mut sizes = vec![0; groups.iter().max().map_or(0, |&most| most as usize + 1)];
    groups.iter().for_each(|&group| sizes[group as usize] += 1);
    sizes
}

fn moments(values: &[f64]) -> [f64; 4] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean, variance.sqrt(), least, most]
}

/// Number of values by value, or by ten intervals if there are many values.
fn histogram(mut values: Vec<f64>) -> Vec<(String, usize)> {
    const MOST: usize = 24;
    const INTERVALS: usize = 10;
    values.sort_by(f64::total_cmp);
    let distinct: HashSet<u64> = values.iter().map(|value| value.to_bits()).collect();
    if distinct.len() <= MOST {
        let equal = values.chunk_by(|a, b| a == b);
        return equal.map(|values| (values[0].to_string(), values.len())).collect();
    }
    let (least, most) = (values[0], values[values.len() - 1]);
    let start = |interval: usize| least + (most - least) * interval as f64 / INTERVALS as f64;
    let place = |interval| match interval {
        INTERVALS => values.len(),
        interval => values.partition_point(|&value| value < start(interval)),
    };
    (0..INTERVALS).map(|at| (format!("from {:.4}", start(at)), place(at + 1) - place(at))).collect()
}
