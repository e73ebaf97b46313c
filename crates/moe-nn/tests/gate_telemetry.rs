//! Routing statistics of training and evaluation.

mod common;

use common::{build, description, options};
use moe_core::Pass;
use moe_core::batch::BatchSource;
use moe_core::tape::Tape;
use moe_nn::{Model, TrainOptions, evaluate, train};
use moe_routers::Value;
use moe_routers::telemetry::{Alarm, GateStats, Thresholds};

#[test]
fn an_epoch_tells_how_each_gate_routed() {
    let (part, val) = (common::ids(1, 200), common::ids(2, 60));
    for (router, experts_per_row) in [("softmax", 5.0), ("top-k", 2.0), ("moesart", 2.0)] {
        let description = description(&part, router).with_experts(5);
        let options = TrainOptions { epochs: 3, patience: 3, ..options(1) };
        let mut model = build(&description, 1);
        let history = train(&mut model, &part, &val, &options, &mut ()).unwrap();
        for record in &history.epochs {
            assert_eq!(record.gates.len(), part.tasks().len(), "{router}");
            for gate in &record.gates {
                assert_eq!((gate.rows, gate.experts_per_row), (200, experts_per_row), "{router}");
                let shares: f64 = gate.load_share.iter().sum();
                assert!((shares - 1.0).abs() < 1e-12, "{router}");
                assert_eq!(gate.changed.is_some(), record.epoch > 1, "{router}");
                let difference = gate.weight_difference.unwrap();
                // Only the weights of MOESART differ between training and inference.
                assert_eq!(difference > 0.01, router == "moesart", "{router}: {difference}");
                if router == "softmax" {
                    assert_eq!(gate.changed.unwrap_or(0.0), 0.0);
                }
            }
        }
        // MOESART draws anew each time.
        let last = &history.epochs[2].gates[0];
        assert!(router != "moesart" || last.changed.unwrap() > 0.3, "{:?}", last.changed);
    }
}

#[test]
fn an_evaluation_tells_what_its_routings_say() {
    let source = common::dense(3, 90, 4);
    let model = build(&description(&source, "top-k"), 4);
    let evaluation = evaluate(&model, &source, &options(1).task_weights, 7);
    let batch = source.batch(&(0..90).collect::<Vec<_>>());
    let tape = Tape::inference();
    let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
    assert_eq!(evaluation.gates.len(), output.gates().count());
    for (found, (layer, gate, routing)) in evaluation.gates.iter().zip(output.gates()) {
        let mut stats = GateStats::default();
        stats.add_routing(routing);
        let expected = stats.summary();
        assert_eq!((&*found.layer, found.gate), (&**layer, gate));
        assert_eq!(found.load_share, expected.load_share);
        assert!((found.mutual_information - expected.mutual_information).abs() < 1e-6);
        assert_eq!((found.changed, found.weight_difference), (None, None));
    }
}

#[test]
fn a_gate_that_does_not_look_at_the_row_is_found_out() {
    let source = common::dense(3, 90, 4);
    // A gate with one selection for all rows, against a gate that selects per row.
    let mut constant = description(&source, "dselect-k");
    constant.router_parameters.insert("static".into(), Value::Bool(true));
    constant.router_parameters.insert("gamma".into(), Value::Real(1e-6));
    let choosing = description(&source, "top-k");
    let alarms = |description| {
        let model = build(description, 4);
        let evaluation = evaluate(&model, &source, &options(1).task_weights, 30);
        let gate = &evaluation.gates[0];
        (gate.mutual_information, gate.alarms(&Thresholds::default()))
    };
    let (information, found) = alarms(&constant);
    assert!(information < 1e-6, "{information}");
    assert!(found.iter().any(|alarm| matches!(alarm, Alarm::SameWeights { .. })), "{found:?}");
    let (information, found) = alarms(&choosing);
    assert!(information > 0.1, "{information}");
    assert_eq!(found, []);
}
