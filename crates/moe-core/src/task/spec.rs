use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::task::kind::{Parameters, TaskKind};
use crate::task::kinds::{TaskError, TaskKinds};

/// A task of a data set.
///
/// It is written as an object: `{"name":"digit","kind":"multiclass","classes":10}`. When it is read, a kind that is not one of
/// [`TaskKinds::standard`] stands for itself until [`TaskKinds::resolve`] replaces it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// Name of the task, unique in the data set.
    pub name: String,
    /// The kind of prediction, which decides loss and metrics.
    pub kind: TaskKind,
}

impl Serialize for TaskSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parameters = self.kind.parameters();
        let mut map = serializer.serialize_map(Some(2 + parameters.len()))?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("kind", self.kind.id())?;
        parameters.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for TaskSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            name: String,
            kind: String,
            #[serde(flatten)]
            parameters: Parameters,
        }
        let Written { name, kind, parameters } = Written::deserialize(deserializer)?;
        let kinds = TaskKinds::standard();
        let is_known = kinds.ids().any(|id| id == kind);
        let kind = TaskKind::unresolved(kind, parameters);
        let kind =
            if is_known { kinds.known(&name, &kind).map_err(D::Error::custom)? } else { kind };
        Ok(TaskSpec { name, kind })
    }
}

impl TaskKinds {
    /// The tasks, with each kind that was read and not known replaced by one of these. Other kinds stay as they are.
    ///
    /// # Errors
    /// If a kind is not one of these, or its parameters are not those of the kind.
    ///
    /// # Panics
    /// If a kind was registered under another id than its own.
    pub fn resolve(&self, tasks: &[TaskSpec]) -> Result<Vec<TaskSpec>, TaskError> {
        let resolved = |TaskSpec { name, kind }: &TaskSpec| {
            Ok(TaskSpec { name: name.clone(), kind: self.known(name, kind)? })
        };
        tasks.iter().map(resolved).collect()
    }
}
