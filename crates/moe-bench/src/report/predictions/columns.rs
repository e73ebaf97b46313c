//! The columns of the predictions.

use std::collections::HashSet;

use moe_core::batch::{TaskKind, TaskSpec};
use moe_data::FeatureSchema;

use crate::error::Error;
use crate::experiment::groups::class_names;

/// The columns of the output.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    /// Number of columns copied from the input. With 0 the first column is the line number.
    pub(crate) kept: usize,
    /// The class names of each task that has classes.
    pub(crate) classes: Vec<Option<Vec<String>>>,
    /// Whether scores are logits instead of probabilities.
    pub(crate) raw: bool,
}

impl Columns {
    /// The columns for these tasks, after the columns `kept` of the input.
    ///
    /// # Errors
    /// If two columns have the same name.
    pub(crate) fn new(
        tasks: &[TaskSpec],
        schema: Option<&FeatureSchema>,
        kept: &[String],
        raw: bool,
    ) -> Result<Self, Error> {
        let mut names = if kept.is_empty() { vec!["line".to_owned()] } else { kept.to_vec() };
        let score = if raw { "logit" } else { "probability" };
        let mut all_classes = Vec::new();
        for TaskSpec { name, kind } in tasks {
            all_classes.push(match *kind {
                TaskKind::Binary => {
                    names.push(format!("{name}.{score}"));
                    None
                }
                TaskKind::Regression => {
                    names.push(format!("{name}.value"));
                    None
                }
                TaskKind::Multiclass { classes } => {
                    let classes = class_names(schema, name, classes);
                    names.push(format!("{name}.class"));
                    names.extend(classes.iter().map(|class| format!("{name}.{score}.{class}")));
                    Some(classes)
                }
            });
        }
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            let text =
                format!("--keep {}: the output would have two columns {name}", kept.join(","));
            return Err(Error::Config(text));
        }
        Ok(Columns { kept: kept.len(), classes: all_classes, raw, names })
    }
}
