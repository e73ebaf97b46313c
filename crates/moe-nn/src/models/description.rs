use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;

use moe_core::Real;
use moe_core::batch::{InputSpec, TaskSpec};
use moe_routers::{Registry, RegistryError};

use crate::error::{ModelError, OverrideError};
use crate::models::model::Model;
use crate::models::overrides::Overrides;

/// Everything needed to build a model of some kind, except a seed. A saved run keeps it as JSON, which
/// [`Models::read`](crate::Models::read) reads again.
pub trait ModelDescription: Debug + Send + Sync {
    /// Name of the kind of model, as in saved runs.
    fn kind(&self) -> &str;

    /// The fields as a JSON object, from which the entry of the kind reads the description again.
    fn fields(&self) -> serde_json::Value;

    /// The inputs.
    fn input(&self) -> &InputSpec;

    /// The tasks.
    fn tasks(&self) -> &[TaskSpec];

    /// The tasks, writable: [`Models::read`](crate::Models::read) puts kinds of tasks here that only the program knows.
    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec>;

    /// The least number of weights of the model, to refuse one that does not fit into memory, or one with more weights than a
    /// file has, before it is built. The default, 0, refuses none.
    fn weights(&self, _routers: &Registry) -> f64 {
        0.0
    }

    /// Checks the description before anything is built. A description that passes builds without a panic.
    ///
    /// # Errors
    /// The first thing that is wrong: a router that `routers` does not know, or a value that is not allowed.
    fn validate(&self, routers: &Registry) -> Result<(), ModelError>;

    /// The model with the initial weights of `seed`. [`Models::build`](crate::Models::build) checks the description first.
    ///
    /// # Errors
    /// As [`ModelDescription::validate`].
    fn build_model(&self, routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError>;

    /// The model without the state that only training needs; `None`, the default, if there is no such state. The
    /// predictions keep their bits.
    ///
    /// # Errors
    /// If the router is unknown, or one of its parameters is not allowed.
    fn fold(&self, _routers: &Registry) -> Result<Option<Fold>, RegistryError> {
        Ok(None)
    }

    /// Id and K of the router, for a model that has one.
    fn router(&self) -> Option<(&str, usize)> {
        None
    }

    /// The description with other settings at inference; `None` if the model was trained with them. The default is for a
    /// model without a router.
    ///
    /// # Errors
    /// If the model has no router, or the router does not use the setting, has learnt it, or does not allow the value.
    fn with_overrides(
        &self,
        _overrides: &Overrides,
        _routers: &Registry,
    ) -> Result<Option<Arc<dyn ModelDescription>>, OverrideError> {
        Err(OverrideError::NoRouter)
    }
}

/// Result of [`ModelDescription::fold`].
#[derive(Clone, Debug)]
pub struct Fold {
    /// The folded model.
    pub model: Arc<dyn ModelDescription>,
    /// Names of the tensors that the folded model lacks.
    pub dropped: Vec<String>,
}

impl PartialEq for Fold {
    fn eq(&self, other: &Self) -> bool {
        *self.model == *other.model && self.dropped == other.dropped
    }
}

impl dyn ModelDescription + '_ {
    /// The description as JSON: its fields, and the kind as `model`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = self.fields();
        json[KIND] = self.kind().into();
        json
    }

    /// Refuses a model that does not fit into memory with `copies` values for each weight.
    ///
    /// # Errors
    /// If this machine does not have the memory.
    pub fn check_memory(&self, copies: usize, routers: &Registry) -> Result<(), ModelError> {
        let weights = self.weights(routers);
        let bytes = weights * (copies * size_of::<Real>()) as f64;
        let mut room = Vec::<u8>::new();
        let is_there = room.try_reserve_exact(bytes as usize).is_ok();
        // An unused allocation may be optimised away, and then always succeeds.
        black_box(room);
        if is_there { Ok(()) } else { Err(ModelError::TooLarge { weights, bytes }) }
    }
}

/// The field of [`ModelDescription::to_json`] with the kind.
pub(crate) const KIND: &str = "model";

/// Descriptions are equal if their JSON is.
impl PartialEq for dyn ModelDescription + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

/// Number of weights and biases of dense layers from `inputs` to `outputs`.
pub(crate) fn dense_weights(inputs: usize, hidden: &[usize], outputs: usize) -> f64 {
    let widths = [&[inputs], hidden, &[outputs]].concat();
    widths.windows(2).map(|pair| (pair[0] as f64 + 1.0) * pair[1] as f64).sum()
}

/// Refuses a width of 0.
pub(crate) fn check_width(what: &str, width: usize) -> Result<(), ModelError> {
    let problem =
        || ModelError::Size { what: format!("the width of {what}"), problem: "is 0".into() };
    if width == 0 { Err(problem()) } else { Ok(()) }
}

/// Refuses a dropout probability that is not in [0, 1).
pub(crate) fn check_dropout(what: &str, rate: Real) -> Result<(), ModelError> {
    let problem = || format!("is {rate}; it must be from 0 to below 1");
    let wrong = || ModelError::Size { what: format!("the dropout of {what}"), problem: problem() };
    if (0.0..1.0).contains(&rate) { Ok(()) } else { Err(wrong()) }
}

/// Refuses a model without tasks, or with a task without outputs.
pub(crate) fn check_tasks(tasks: &[TaskSpec]) -> Result<(), ModelError> {
    if tasks.is_empty() {
        return Err(ModelError::Size {
            what: "the list of tasks".into(),
            problem: "is empty".into(),
        });
    }
    tasks.iter().try_for_each(|task| match task.kind.outputs() {
        0 => Err(ModelError::Size {
            what: format!("the number of outputs of task {}", task.name),
            problem: "is 0".into(),
        }),
        _ => Ok(()),
    })
}
