//! The columns of the predictions.

use std::collections::HashSet;

use moe_core::batch::TaskSpec;
use moe_data::FeatureSchema;

use crate::error::Error;
use crate::experiment::groups::class_names;

/// The columns of the output.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    /// Number of columns copied from the input. With 0 the first column is the line number.
    pub(crate) kept: usize,
    /// Each task and the names of its classes.
    pub(crate) tasks: Vec<(TaskSpec, Vec<String>)>,
    /// Whether the outputs of the model are written as they are, such as logits.
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
        let mut with_classes = Vec::new();
        for task in tasks {
            let (classes, task_name) = (class_names(schema, task), &task.name);
            for field in task.kind.fields() {
                let name = if raw { field.raw_name } else { field.name };
                if field.is_per_class {
                    let of_classes =
                        classes.iter().map(|class| format!("{task_name}.{name}.{class}"));
                    names.extend(of_classes);
                } else {
                    names.push(format!("{task_name}.{name}"));
                }
            }
            with_classes.push((task.clone(), classes));
        }
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            let text =
                format!("--keep {}: the output would have two columns {name}", kept.join(","));
            return Err(Error::Config(text));
        }
        Ok(Columns { kept: kept.len(), tasks: with_classes, raw, names })
    }
}
