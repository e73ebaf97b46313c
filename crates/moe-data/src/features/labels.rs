//! Checks whether a target of a table gives a model something to learn.

use std::path::Path;

use crate::dataset::table::Column;
use crate::error::{DataError, shown};
use crate::features::table_options::{TableOptions, TargetColumn};
use crate::features::vocabulary::Vocabulary;

/// The different labels of some rows.
#[derive(Debug, PartialEq)]
enum Labels {
    None,
    /// All are the same; what it is, and how many there are.
    Same(String, usize),
    Several,
}

/// The labels of a target that were read.
pub(crate) struct Labelled<'a> {
    pub(crate) target: &'a TargetColumn,
    pub(crate) column: &'a Column,
    /// Names of its classes, if it has any.
    pub(crate) classes: &'a Vocabulary,
    /// Some of the texts that mean no because `positive` means yes.
    pub(crate) negatives: &'a [String],
}

impl Labelled<'_> {
    /// Refuses a target without labels, or with only one in all rows. Where that is so in one split, it warns.
    pub(crate) fn check(
        &self,
        options: &TableOptions,
        file: &Path,
        splits: [(&str, &[u32]); 3],
    ) -> Result<(), DataError> {
        let column = &self.target.column;
        let refused = |problem: String, allowed: String| {
            let (file, column) = (file.to_path_buf(), column.clone());
            Err(DataError::Column { file, column, problem, allowed })
        };
        let rows: Vec<u32> = splits.iter().flat_map(|(_, rows)| *rows).copied().collect();
        match (self.labels(&rows), &self.target.positive) {
            (Labels::Several, _) => {}
            (Labels::None, _) => {
                let problem = format!("no row has a label ({} rows)", rows.len());
                let allowed = format!("labels in some rows; missing are {}", options.markers());
                return refused(problem, allowed);
            }
            (Labels::Same(label, _), Some(positive)) if label == NO => {
                let found: Vec<String> =
                    self.negatives.iter().map(|text| shown(text.as_bytes())).collect();
                let problem = format!("{positive:?}, the text of positive, never occurs");
                let allowed = format!("one of the texts that occur, such as {}", found.join(", "));
                return refused(problem, allowed);
            }
            (Labels::Same(label, count), _) => {
                let problem = format!("all labels are {} ({count} rows)", shown(label.as_bytes()));
                return refused(problem, "labels of two values or more".into());
            }
        }
        for (split, rows) in splits {
            match self.labels(rows) {
                Labels::Several => {}
                Labels::None => tracing::warn!(
                    "target {column}: no row of the {split} split has a label ({} rows); it has no loss and no score there",
                    rows.len()
                ),
                Labels::Same(label, count) => {
                    let so = match (split, self.column) {
                        ("train", _) => "a model can learn no other there",
                        // Their errors are a score like any other.
                        (_, Column::Values(_)) => continue,
                        _ => "scores that compare labels, such as the AUC, are not defined there",
                    };
                    let label = shown(label.as_bytes());
                    tracing::warn!(
                        "target {column}: all labels of the {split} split are {label} ({count} rows); {so}"
                    );
                }
            }
        }
        Ok(())
    }

    fn labels(&self, rows: &[u32]) -> Labels {
        let rows = rows.iter().map(|&row| row as usize);
        match self.column {
            Column::Flags(flags) => {
                let flags = rows.map(|row| flags[row]).filter(|&flag| flag != Column::NO_FLAG);
                labels(flags, |flag| if flag == 1 { YES } else { NO }.to_owned())
            }
            Column::Classes(classes) => {
                let classes = rows.map(|row| classes[row]).filter(|&c| c != Column::NO_CLASS);
                labels(classes, |class| self.classes.name(class).unwrap_or_default().to_owned())
            }
            Column::Values(values) => {
                let values = rows.map(|row| values[row]).filter(|value| !value.is_nan());
                labels(values, |value| value.to_string())
            }
        }
    }
}

const YES: &str = "yes";
const NO: &str = "no";

fn labels<T: Copy + PartialEq>(
    mut found: impl Iterator<Item = T>,
    name: impl Fn(T) -> String,
) -> Labels {
    let Some(first) = found.next() else { return Labels::None };
    let mut count = 1;
    for label in found {
        if label != first {
            return Labels::Several;
        }
        count += 1;
    }
    Labels::Same(name(first), count)
}
