use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::names::{did_you_mean, nearest_name};
use crate::task::binary::Binary;
use crate::task::kind::{Parameters, TaskKind};
use crate::task::multiclass::Multiclass;
use crate::task::regression::Regression;
use crate::task::task::Task;

/// The kinds of tasks that a program can read from a file.
#[derive(Clone, Debug)]
pub struct TaskKinds {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: &'static str,
    read: fn(&Parameters) -> Result<TaskKind, serde_json::Error>,
}

/// Error of resolving the kinds of tasks that were read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The program does not know the kind.
    #[error(
        "task {task}: there is no kind \"{kind}\"{}; the kinds are {}",
        did_you_mean(", ", nearest_name(kind, known.iter().copied()), ""),
        known.join(", ")
    )]
    Unknown {
        /// Name of the task.
        task: String,
        /// Id of the kind.
        kind: String,
        /// Ids of the kinds that the program knows.
        known: Vec<&'static str>,
    },
    /// The parameters are not those of the kind.
    #[error("task {task}: kind {kind}: {problem}")]
    Parameters {
        /// Name of the task.
        task: String,
        /// Id of the kind.
        kind: String,
        /// What is wrong with the parameters.
        problem: String,
    },
}

impl TaskKinds {
    /// The kinds of this crate: `binary`, `multiclass`, `regression`.
    pub fn standard() -> Self {
        TaskKinds { entries: Vec::new() }
            .with::<Binary>(Binary::ID)
            .with::<Multiclass>(Multiclass::ID)
            .with::<Regression>(Regression::ID)
    }

    /// These kinds and `T`, whose [`Task::id`] is `id`. It replaces a kind with this id.
    #[must_use]
    pub fn with<T: Task + Serialize + DeserializeOwned>(mut self, id: &'static str) -> Self {
        fn read<T: Task + Serialize + DeserializeOwned>(
            parameters: &Parameters,
        ) -> Result<TaskKind, serde_json::Error> {
            T::deserialize(Value::Object(parameters.clone())).map(TaskKind::new)
        }
        self.entries.retain(|entry| entry.id != id);
        self.entries.push(Entry { id, read: read::<T> });
        self
    }

    /// The ids of the kinds.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.id)
    }

    /// The kind of the task with this name, read anew if it is not resolved.
    pub(crate) fn known(&self, task: &str, kind: &TaskKind) -> Result<TaskKind, TaskError> {
        if kind.is_resolved() {
            return Ok(kind.clone());
        }
        let (task, id) = (task.to_owned(), kind.id().to_owned());
        let Some(entry) = self.entries.iter().find(|entry| entry.id == id) else {
            return Err(TaskError::Unknown { task, kind: id, known: self.ids().collect() });
        };
        match (entry.read)(kind.parameters()) {
            Ok(kind) => {
                assert_eq!(kind.id(), id, "a kind of task is registered under its own id");
                Ok(kind)
            }
            Err(error) => Err(TaskError::Parameters { task, kind: id, problem: error.to_string() }),
        }
    }
}
