//! What every public type can do: cross threads, be printed, be written and read.

use std::fmt::Debug;

use moe_core::batch::{
    Batch, IdColumn, InputRow, InputSpec, Inputs, Target, TaskKind, TaskSpec, Tokens,
};
use moe_core::dispatch::{AssignmentError, Assignments, ExpertPlan};
use moe_core::kernel::Mat;
use moe_core::random::{DrawRows, Philox};
use moe_core::tape::{Backward, Gradient, Gradients, InputGradients, RowGradient, Tape, Var};
use moe_core::testing::{GradCheck, GradientMismatch};
use moe_core::{Mode, Parameter, ParameterId, Pass, Shape, SlotRows, StateMut, StateRef, Tensor};
use serde_json::json;

fn shared<T: Send + Sync + Debug>() {}
fn value<T: Send + Sync + Debug + Clone>() {}
fn error<T: Send + Sync + std::error::Error + 'static>() {}
fn sent<T: Send + Debug>() {}
fn printed<T: Debug>() {}

#[test]
fn values_are_cloned_shared_between_threads_and_printed() {
    value::<Assignments>();
    value::<Batch>();
    value::<DrawRows<'_>>();
    value::<ExpertPlan>();
    value::<GradCheck>();
    value::<Gradient>();
    value::<IdColumn>();
    value::<InputSpec>();
    value::<Inputs>();
    value::<InputRow<'_>>();
    value::<Tokens>();
    value::<Mat<'_>>();
    value::<Mode>();
    value::<ParameterId>();
    value::<Pass<'_>>();
    value::<Philox>();
    value::<RowGradient>();
    value::<Shape>();
    value::<SlotRows>();
    value::<Target>();
    value::<TaskKind>();
    value::<TaskSpec>();
    value::<Tensor>();
}

#[test]
fn what_has_identity_is_shared_and_printed() {
    shared::<Gradients>();
    shared::<Parameter>();
    shared::<StateMut<'_>>();
    shared::<StateRef<'_>>();
}

#[test]
fn a_tape_moves_to_another_thread_and_its_handles_stay() {
    sent::<Tape>();
    printed::<Var<'_>>();
    printed::<Backward<'_>>();
    printed::<InputGradients<'_>>();
}

#[test]
fn errors_are_errors() {
    error::<AssignmentError>();
    error::<GradientMismatch>();
}

#[test]
fn task_specs_are_written_as_in_results_and_read_again() {
    let table = [
        (TaskKind::binary(), json!({"name": "t", "kind": "binary"})),
        (TaskKind::multiclass(3), json!({"name": "t", "kind": "multiclass", "classes": 3})),
        (TaskKind::regression(), json!({"name": "t", "kind": "regression"})),
    ];
    for (kind, written) in table {
        let spec = TaskSpec { name: "t".into(), kind };
        assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        assert_eq!(serde_json::from_value::<TaskSpec>(written).unwrap(), spec);
    }
}

#[test]
fn tensors_are_written_and_read_again() {
    for tensor in [
        Tensor::new([2, 3], vec![0.5, -1.0, 2.0, 0.0, 3.25, 8.0]),
        Tensor::scalar(-0.125),
        Tensor::zeros([0, 4]),
    ] {
        let written = serde_json::to_string(&tensor).unwrap();
        assert_eq!(serde_json::from_str::<Tensor>(&written).unwrap(), tensor);
    }
    let short = json!({"shape": [2, 2], "data": [1.0, 2.0, 3.0]});
    let error = serde_json::from_value::<Tensor>(short).unwrap_err().to_string();
    assert!(error.contains("[2, 2] cannot hold 3 elements"), "{error}");
    let deep = json!({"shape": [1, 1, 1, 1, 1, 1, 1], "data": [1.0]});
    assert!(serde_json::from_value::<Tensor>(deep).is_err());
}
