//! Planted groups reach the router that reads them, in training and evaluation; rows without groups are refused before
//! anything is computed.

mod common;

use std::collections::BTreeMap;

use common::{Memory, build, dense, description, options};
use moe_core::batch::{Batch, BatchSource, InputRow, InputSpec, TaskSpec};
use moe_core::random;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass};
use moe_nn::{
    ExpertBank, Forward, InputError, Layer, LayerExperts, MlpOptions, ModelScratch, Models,
    MoeLayer, Predictions, Predictor, PredictorError, RoutingRecord, TrainError, Weights, evaluate,
    train,
};
use moe_routers::{GateSet, GateSpec, Registry};

/// Rows with a group each: the index of the row modulo 3.
struct Grouped(Memory);

impl BatchSource for Grouped {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn input(&self) -> &InputSpec {
        self.0.input()
    }

    fn tasks(&self) -> &[TaskSpec] {
        self.0.tasks()
    }

    fn batch(&self, rows: &[u32]) -> Batch {
        Batch { groups: Some(rows.iter().map(|row| row % 3).collect()), ..self.0.batch(rows) }
    }
}

#[test]
fn oracle_is_told_the_groups_in_training_and_evaluation() {
    let [source, val] = [100, 40].map(|rows| Grouped(dense(1, rows, 4)));
    let mut model = build(&description(&source.0, "oracle"), 3);
    train(&mut model, &source, &val, &options(3), &mut ()).unwrap();
    let found = evaluate(&model, &val, &[1.0, 0.5, 2.0], 16);
    let expected: Vec<u32> = (0..40).map(|row| row % 3).collect();
    // Three gates, one per task.
    assert_eq!(found.main_experts, vec![expected; 3]);
}

#[test]
fn training_refuses_rows_without_groups() {
    let (source, plain) = (dense(1, 100, 4), dense(2, 40, 4));
    let error = |train_on: &dyn BatchSource, val: &dyn BatchSource, router: &str| {
        let mut model = build(&description(&source, router), 3);
        train(&mut model, train_on, val, &options(3), &mut ()).map(|_| ())
    };
    let refused = |split| Err(TrainError::NoGroups { layer: "layer".into(), split });
    assert_eq!(error(&source, &plain, "oracle"), refused("training"));
    assert_eq!(error(&Grouped(dense(1, 100, 4)), &plain, "oracle"), refused("validation"));
    let text = error(&source, &plain, "oracle").unwrap_err().to_string();
    let expected = "the gates of MoE layer layer read the planted group of each row, and the rows of the training split \
                    have none";
    assert_eq!(text, expected);
    assert_eq!(error(&source, &plain, "hash"), Ok(()), "a router that reads none");
}

#[test]
fn a_predictor_refuses_a_router_that_reads_groups() {
    let source = dense(1, 10, 4);
    let described = description(&source, "oracle");
    let model = build(&described, 3);
    let error = Predictor::new(&described, &Weights::of(&model), &Models::standard()).unwrap_err();
    assert!(matches!(error, PredictorError::Groups(InputError::NoGroups)), "{error}");
    assert!(error.to_string().contains("by their planted group"), "{error}");

    // One that was made of a model says so when it is asked.
    let predictor = Predictor::of(Box::new(model), source.input.clone(), source.tasks.clone());
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    let row = InputRow { dense: &[0.0; 4], ..InputRow::default() };
    let single = predictor.predict_row(&row, 7, &mut out, &mut scratch);
    assert_eq!(single, Err(InputError::NoGroups));
    let batch = source.batch(&[1, 2]);
    let several = predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch);
    assert_eq!((several, out.num_tasks()), (Err(InputError::NoGroups), 0));
}

fn gates(router: &str) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs: 4, experts: 3, k: 1, seed: 1, gate: 0 };
    Registry::standard().get(router).unwrap().build(&spec, 1, &BTreeMap::new()).unwrap()
}

/// Experts that are layers with an oracle of their own are told the groups of the rows that they compute.
#[test]
fn groups_reach_layers_inside_experts() {
    let bank = || {
        let options = MlpOptions { dropout: 0.0, ..MlpOptions::default() };
        Box::new(ExpertBank::new(3, 4, 8, &options, &mut common::rng(2, 0)))
    };
    let inner = |_| Box::new(MoeLayer::new("inner", gates("oracle"), bank())) as Box<dyn Layer>;
    let nested = LayerExperts::new((0..3).map(inner).collect(), 8);
    let nested = MoeLayer::new("outer", gates("hash"), Box::new(nested));
    let rows = 12;
    let x = random::uniform([rows, 4], 1.0, &mut common::rng(1, 0));
    let keys: Vec<u64> = (0..rows as u64).collect();
    let outputs = |groups: &[u32]| {
        let tape = Tape::new();
        let record = RoutingRecord::default();
        let pass = Pass { groups: Some(groups), ..Pass::of_keys(&keys) };
        assert_eq!(pass.mode, Mode::Infer);
        let y = nested.forward(&Forward::new(pass, &record), tape.constant(x.clone()));
        y.value()
    };
    let groups: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let first = outputs(&groups);
    // Another group of row 5 changes row 5 alone.
    let mut other = groups.clone();
    other[5] += 1;
    let second = outputs(&other);
    for row in 0..rows {
        assert_eq!(first.row(row) == second.row(row), row != 5, "row {row}");
    }
}
