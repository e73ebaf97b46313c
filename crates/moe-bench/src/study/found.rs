//! What a trial has cost and found: the user attribute `moe.found`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::experiment::results::RunResult;

/// The cost of a trial, and of one that ran to its end what its model reaches on the test split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Number of epochs that were completed.
    pub(crate) epochs: u64,
    /// Seconds spent in training steps.
    pub(crate) seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<TestFound>,
}

/// What the model of a trial reaches on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TestFound {
    pub(crate) loss: f64,
    /// The metrics of each task by their names.
    pub(crate) tasks: Map<String, Json>,
    /// Mean number of experts per row and gate in training steps.
    pub(crate) experts_per_row_train: f64,
    /// Mean number of experts per row and gate on the test split.
    pub(crate) experts_per_row_eval: f64,
    /// Share of the rows that go to the most frequent set of experts, mean over the gates.
    pub(crate) top_set_share: f64,
    /// Mutual information between rows and experts, mean over the gates.
    pub(crate) mutual_information: f64,
    /// Agreement with the planted partition, where the data have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adjusted_rand_index: Option<f64>,
}

impl Found {
    /// What a run to the end has found.
    pub(crate) fn of_run(result: &RunResult) -> Self {
        let routing = &result.routing;
        let test = TestFound {
            loss: result.test.loss,
            tasks: result.test.tasks.clone(),
            experts_per_row_train: routing.experts_per_row_train,
            experts_per_row_eval: routing.experts_per_row_eval,
            top_set_share: routing.top_set_share,
            mutual_information: routing.mutual_information,
            adjusted_rand_index: routing.adjusted_rand_index,
        };
        Found { epochs: result.epochs as u64, seconds: result.seconds, test: Some(test) }
    }
}
