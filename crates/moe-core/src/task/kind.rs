use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::task::binary::Binary;
use crate::task::multiclass::Multiclass;
use crate::task::regression::Regression;
use crate::task::task::Task;
use crate::task::unresolved::Unresolved;

/// The parameters of a kind of task in files.
pub(crate) type Parameters = Map<String, Value>;

/// A shared [`Task`], cheap to clone. Two are equal if their ids and parameters are.
#[derive(Clone)]
pub struct TaskKind(Arc<Shared<dyn Task>>);

struct Shared<T: ?Sized> {
    parameters: Parameters,
    is_resolved: bool,
    task: T,
}

impl TaskKind {
    /// A kind of task.
    ///
    /// # Panics
    /// If serde does not write `task` as an object, as it writes a struct with named fields.
    pub fn new<T: Task + Serialize>(task: T) -> Self {
        let parameters = match serde_json::to_value(&task) {
            Ok(Value::Object(parameters)) => parameters,
            other => panic!("the kind {} has named parameters, not {other:?}", task.id()),
        };
        TaskKind(Arc::new(Shared { parameters, is_resolved: true, task }))
    }

    /// Yes or no: [`Binary`].
    pub fn binary() -> Self {
        Self::new(Binary {})
    }

    /// One of `classes` classes: [`Multiclass`].
    pub fn multiclass(classes: usize) -> Self {
        Self::new(Multiclass { classes })
    }

    /// A number: [`Regression`].
    pub fn regression() -> Self {
        Self::new(Regression {})
    }

    /// The place of a kind that was read and is not known yet.
    pub(crate) fn unresolved(id: String, parameters: Parameters) -> Self {
        TaskKind(Arc::new(Shared { parameters, is_resolved: false, task: Unresolved::new(id) }))
    }

    /// Whether the program knows the kind. A kind that it does not know keeps what was read of it, and has no outputs, loss
    /// or metrics.
    pub fn is_resolved(&self) -> bool {
        self.0.is_resolved
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.0.parameters
    }
}

impl Deref for TaskKind {
    type Target = dyn Task;

    fn deref(&self) -> &Self::Target {
        &self.0.task
    }
}

impl PartialEq for TaskKind {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.parameters()) == (other.id(), other.parameters())
    }
}

impl fmt::Debug for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.task.fmt(f)
    }
}
