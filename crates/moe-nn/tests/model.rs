//! The mixture: its parameters, its cost, and the independence of rows from their batch.

mod common;

use std::collections::BTreeSet;

use common::{Memory, build, description, forward, predictions, tensor_bits};
use moe_core::batch::{Batch, BatchSource, Inputs};
use moe_core::kernel::multiply_adds;
use moe_core::rand::seq::SliceRandom;
use moe_core::tape::Tape;
use moe_core::{Mode, Real, StateMut, StateRef, Tensor};
use moe_nn::{ColumnEncoder, Encoder, Forward, Mixture, MixtureDescription, Module, Weights};
use moe_routers::Registry;

const ROUTERS: [&str; 2] = ["softmax", "top-k"];

/// Two tasks over dense rows or ids.
fn sources(rows: usize) -> [Memory; 2] {
    let two = |mut source: Memory| {
        source.tasks.truncate(2);
        source.targets.truncate(2);
        source
    };
    [two(common::dense(1, rows, 7)), two(common::ids(1, rows))]
}

#[test]
fn names_are_as_documented() {
    let [_, ids] = sources(1);
    let model = build(&description(&ids, "top-k"), 1);
    let expected = [
        "encoder.user.weight",
        "encoder.item.weight",
        "layer.gates.0.weight",
        "layer.gates.0.bias",
        "layer.gates.1.weight",
        "layer.gates.1.bias",
        "layer.experts.weight",
        "layer.experts.bias",
        "heads.0.0.weight",
        "heads.0.0.bias",
        "heads.0.1.weight",
        "heads.0.1.bias",
        "heads.1.0.weight",
        "heads.1.0.bias",
        "heads.1.1.weight",
        "heads.1.1.bias",
    ];
    assert_eq!(common::names(&model), expected);
    // 12 users and 9 items of width 5; 10 inputs, 4 experts of width 8; heads of 6 and of 1 or 3 outputs.
    let gates = 2 * (10 * 4 + 4);
    let heads = 2 * (8 * 6 + 6) + (6 + 1) + (6 * 3 + 3);
    assert_eq!(model.parameter_count(), (12 + 9) * 5 + gates + 4 * (10 * 8 + 8) + heads);

    let [dense, _] = sources(1);
    let plain = description(&dense, "softmax").with_head_widths(&[]);
    let names = common::names(&build(&plain, 1));
    assert_eq!(names[0], "layer.gates.0.weight", "dense inputs have no encoder");
    assert_eq!(names[names.len() - 2..], ["heads.1.0.weight", "heads.1.0.bias"]);
}

#[test]
fn both_visits_see_the_same_parameters_in_the_same_order() {
    for source in sources(1) {
        let mut model = build(&description(&source, "top-k"), 1);
        let mut read = Vec::new();
        model.visit(&mut |name, state| {
            let StateRef::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            read.push((name.to_string(), parameter.id()));
        });
        let mut written = Vec::new();
        model.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            written.push((name.to_string(), parameter.id()));
        });
        assert_eq!(read, written);
        let distinct: BTreeSet<_> = read.iter().map(|(name, _)| name).collect();
        assert_eq!(distinct.len(), read.len(), "every name once");
    }
}

#[test]
fn initial_weights_are_those_of_the_seed() {
    let [_, ids] = sources(1);
    let description = description(&ids, "top-k");
    let (a, again, b) = (build(&description, 1), build(&description, 1), build(&description, 2));
    assert_eq!(common::bits(&a), common::bits(&again));
    let tensors = common::side_by_side(&a, &b);
    for (name, value, other) in &tensors {
        if name.ends_with("bias") {
            assert!(value.as_slice().iter().all(|&v| v == 0.0), "{name}");
            continue;
        }
        assert_ne!(value, other, "{name}");
        // Embeddings on 0.05, others Glorot-uniform: the largest of many draws is near the bound.
        let [.., fan_in, fan_out] = value.shape()[..] else { panic!("{name}") };
        let bound = if name.starts_with("encoder") {
            0.05
        } else {
            (6.0 / (fan_in + fan_out) as f64).sqrt()
        };
        let largest = value.as_slice().iter().fold(0.0, |max: Real, v| max.max(v.abs()));
        let largest = f64::from(largest) / bound;
        assert!(largest > 0.6 && largest <= 1.0 + 1e-6, "{name}: {largest} of the bound");
    }
    // No two matrices of one shape start alike.
    for (i, (name, value, _)) in tensors.iter().enumerate() {
        for (other_name, other, _) in
            tensors[..i].iter().filter(|(name, ..)| name.ends_with("weight"))
        {
            assert_ne!(value, other, "{name} and {other_name}");
        }
    }
}

/// Predictions and weights of the gates for these rows, as bits, row by row.
fn rows_bits(model: &Mixture, source: &Memory, rows: &[u32], mode: Mode) -> Vec<Vec<u64>> {
    let batch = source.batch(rows);
    let tape = Tape::new();
    let output = forward(model, &tape, &batch, mode);
    let predicted = output.predictions.iter().map(|var| var.value());
    let gates = output.gates().map(|(_, _, routing)| routing.to_dense());
    let tensors: Vec<Tensor> = predicted.chain(gates).collect();
    let row =
        |r: usize| tensors.iter().flat_map(move |t| t.row(r)).map(|&v| f64::from(v).to_bits());
    (0..rows.len()).map(|r| row(r).collect()).collect()
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for source in sources(150) {
        for router in ROUTERS {
            // Wide enough for vector code to have a remainder, many enough for several row blocks.
            let description =
                description(&source, router).with_expert_width(33).with_expert_dropout(0.4);
            let model = build(&description, 5);
            // In training too: dropout is drawn by the row's identity.
            for mode in [Mode::Infer, Mode::Train] {
                let order: Vec<u32> = (0..150).collect();
                let whole = rows_bits(&model, &source, &order, mode);
                for size in [1, 3, 64, 65, 100] {
                    let parts = order.chunks(size);
                    let parts: Vec<_> =
                        parts.flat_map(|rows| rows_bits(&model, &source, rows, mode)).collect();
                    assert!(parts == whole, "{router}, {mode:?}: {size} rows at a time");
                }
                let mut shuffled = order.clone();
                shuffled.shuffle(&mut common::rng(1, 9));
                let rows = rows_bits(&model, &source, &shuffled, mode);
                for (row, bits) in shuffled.iter().zip(rows) {
                    assert!(
                        bits == whole[*row as usize],
                        "{router}, {mode:?}: shuffled, row {row}"
                    );
                }
            }
        }
    }
}

#[test]
fn no_rows_have_no_predictions() {
    for source in sources(0) {
        let batch = common::first_rows(&source, 0);
        for router in ROUTERS {
            let model = build(&description(&source, router), 1);
            let predictions = predictions(&model, &batch);
            assert_eq!(predictions[0].shape()[..], [0, 1]);
            assert_eq!(predictions[1].shape()[..], [0, 3]);
        }
    }
}

#[test]
fn all_experts_by_top_k_are_the_softmax_gate() {
    for source in sources(70) {
        let soft = build(&description(&source, "softmax"), 8);
        let all = description(&source, "top-k").with_k(4);
        let mut top = build(&all, 9);
        assert_eq!(common::names(&soft), common::names(&top));
        Weights::of(&soft).put_into(&mut top).unwrap();
        let batch = common::first_rows(&source, 70);
        let run = |model: &Mixture| {
            let tape = Tape::new();
            let output = forward(model, &tape, &batch, Mode::Train);
            let predictions: Vec<_> =
                output.predictions.iter().flat_map(|p| tensor_bits(&p.value())).collect();
            let gradients = tape.backward(common::loss(&output, &batch));
            let gradients = common::by_name(model, &gradients).into_iter();
            let gradients: Vec<_> = gradients.map(|(n, g)| (n, tensor_bits(&g.unwrap()))).collect();
            (predictions, gradients)
        };
        assert_eq!(run(&soft), run(&top));
    }
}

#[test]
fn each_row_and_expert_is_computed_once_for_all_gates() {
    let rows = 130;
    for (source, inputs) in sources(rows).into_iter().zip([7, 10]) {
        let wide = description(&source, "top-k").with_experts(6);
        let model = build(&wide, 2);
        let batch = common::first_rows(&source, rows);
        for recording in [false, true] {
            let tape = if recording { Tape::new() } else { Tape::inference() };
            let before = multiply_adds();
            let output = forward(&model, &tape, &batch, Mode::Infer);
            let work = multiply_adds() - before;

            let mut pairs = BTreeSet::new();
            for (_, _, routing) in output.gates() {
                for row in 0..rows {
                    pairs.extend(routing.assignments.of_row(row).iter().map(|&e| (row, e)));
                }
            }
            let slots = pairs.len();
            let asked: usize = output.gates().map(|(_, _, r)| r.assignments.pairs()).sum();
            assert_eq!(asked, 2 * 2 * rows, "gates, K, rows");
            assert!(slots < asked, "the test needs gates that share experts");

            let gates = 2 * rows * inputs * 6;
            let experts = slots * inputs * 8;
            let heads = rows * (2 * 8 * 6 + 6 + 6 * 3);
            assert_eq!(work as usize, gates + experts + heads, "forward");
            if recording {
                let before = multiply_adds();
                let gradients = tape.backward(common::loss(&output, &batch));
                let work = (multiply_adds() - before) as usize;
                assert!(common::by_name(&model, &gradients).values().all(Option::is_some));
                // One product for the weights and one for the inputs; rows that are given need the first only.
                let given = batch.inputs.ids.is_empty();
                let below = if given { gates + experts } else { 2 * (gates + experts) };
                assert_eq!(work, below + 2 * heads, "backward");
            }
        }
    }
}

#[test]
fn an_expert_that_no_row_goes_to_has_no_gradient() {
    let [source, _] = sources(40);
    let mut model = build(&description(&source, "top-k"), 3);
    // Expert 2 of 4 loses against all others for both gates.
    for gate in ["layer.gates.0.bias", "layer.gates.1.bias"] {
        common::set(&mut model, gate, 2, -1e3);
    }
    let batch = common::first_rows(&source, 40);
    let tape = Tape::new();
    let output = forward(&model, &tape, &batch, Mode::Train);
    assert!(output.gates().all(|(_, _, r)| r.observed.load[2] == 0));
    let gradients = tape.backward(common::loss(&output, &batch));
    let gradients = common::by_name(&model, &gradients);
    for name in ["layer.experts.weight", "layer.experts.bias"] {
        let gradient = gradients[name].as_ref().unwrap();
        for (expert, part) in gradient.as_slice().chunks(gradient.len() / 4).enumerate() {
            let zero = part.iter().all(|&g| g == 0.0);
            assert_eq!(zero, expert == 2, "{name} of expert {expert}");
        }
    }
}

#[test]
fn descriptions_go_through_json_and_refuse_unknown_keys() {
    for source in sources(1) {
        let description = common::balanced(&source, 0.5);
        let json = serde_json::to_string(&description).unwrap();
        let again: MixtureDescription = serde_json::from_str(&json).unwrap();
        assert_eq!(again, description);
        let unknown = json.replacen("\"experts\"", "\"exports\"", 1);
        let error = serde_json::from_str::<MixtureDescription>(&unknown).unwrap_err();
        assert!(error.to_string().contains("unknown field `exports`"), "{error}");
    }
}

#[test]
fn a_description_that_cannot_be_built_says_why() {
    let [source, _] = sources(1);
    let error = |description: MixtureDescription| {
        description.build(&Registry::standard(), 1).unwrap_err().to_string()
    };
    let unknown = error(description(&source, "top_k"));
    assert!(unknown.contains("did you mean \"top-k\"?"), "{unknown}");
    let k = error(description(&source, "top-k").with_k(5));
    assert!(k.contains("k = 5 is not allowed with 4 experts"), "{k}");
    let value = error(common::balanced(&source, -1.0));
    assert!(value.contains("load-balance = -1"), "{value}");
}

fn batch_of(source: &Memory) -> Batch {
    common::first_rows(source, 1)
}

#[test]
#[should_panic(expected = "the model takes 0 columns of ids")]
fn inputs_of_another_kind_are_refused() {
    let [dense, ids] = sources(1);
    let _ = predictions(&build(&description(&dense, "top-k"), 1), &batch_of(&ids));
}

#[test]
#[should_panic(expected = "rows of width 7")]
fn inputs_of_another_width_are_refused() {
    let [dense, _] = sources(1);
    let _ =
        predictions(&build(&description(&dense, "top-k"), 1), &batch_of(&common::dense(1, 1, 6)));
}

#[test]
#[should_panic(expected = "row 12 of a table of 12 rows")]
fn an_id_outside_the_vocabulary_is_refused() {
    let [_, ids] = sources(1);
    let model = build(&description(&ids, "top-k"), 1);
    let batch = Batch { inputs: Inputs::ids(vec![vec![12], vec![0]]), ..batch_of(&ids) };
    let _ = predictions(&model, &batch);
}

/// A row is its embeddings and then its numbers, and gradients reach the embeddings.
#[test]
fn numbers_stand_beside_embeddings() {
    let [dense, ids] = sources(9);
    let columns = &ids.input.columns;
    let numbers = dense.inputs.dense.as_ref().expect("numbers");
    let input = ids.input.clone().with_dense([7]);
    let inputs = ids.inputs.clone().with_dense(numbers.clone());
    let pass = moe_core::Pass::of_keys(&[]);
    let mut rng = moe_core::random::chacha(1, "test", 0);
    let encoder = ColumnEncoder::new(&input, 3, &mut rng);
    assert_eq!(encoder.outputs(), columns.len() * 3 + 7);
    let tape = Tape::new();
    let alone = {
        let mut rng = moe_core::random::chacha(1, "test", 0);
        ColumnEncoder::new(&ids.input, 3, &mut rng)
            .forward(&tape, &Forward::unrecorded(pass), &ids.inputs)
            .value()
            .clone()
    };
    let x = encoder.forward(&tape, &Forward::unrecorded(pass), &inputs).value().clone();
    for row in 0..9 {
        let (left, right) = x.row(row).split_at(columns.len() * 3);
        assert_eq!((left, right), (alone.row(row), numbers.row(row)));
    }

    let source = Memory { input, inputs, ..ids };
    let model = build(&description(&source, "top-k"), 1);
    let batch = common::first_rows(&source, 9);
    let tape = Tape::new();
    let loss = common::loss(&forward(&model, &tape, &batch, Mode::Train), &batch);
    let gradients = tape.backward(loss);
    let gradients = common::by_name(&model, &gradients);
    assert!(gradients.iter().any(|(name, g)| name.starts_with("encoder.user") && g.is_some()));
}

#[test]
#[should_panic(expected = "the model takes rows of width 7")]
fn ids_without_their_numbers_are_refused() {
    let [_, ids] = sources(1);
    let input = ids.input.clone().with_dense([7]);
    let model = build(&description(&Memory { input, ..ids.clone() }, "top-k"), 1);
    let _ = predictions(&model, &batch_of(&ids));
}

#[test]
fn large_inputs_stay_finite() {
    let [source, _] = sources(6);
    for router in ROUTERS {
        let model = build(&description(&source, router), 4);
        let mut batch = common::first_rows(&source, 6);
        let x = batch.inputs.dense.as_mut().expect("dense inputs");
        *x = x.map(|v| 1e4 * v);
        let tape = Tape::new();
        let output = forward(&model, &tape, &batch, Mode::Train);
        let loss = common::loss(&output, &batch);
        assert!(loss.value().item().is_finite(), "{router}");
        for (name, gradient) in common::by_name(&model, &tape.backward(loss)) {
            let gradient = gradient.unwrap();
            assert!(gradient.as_slice().iter().all(|g| g.is_finite()), "{router}: {name}");
        }
    }
}

#[test]
fn types_that_threads_share() {
    fn shared<T: Send + Sync + std::fmt::Debug + ?Sized>() {}
    shared::<Mixture>();
    shared::<MixtureDescription>();
    shared::<moe_nn::MoeLayer>();
    shared::<moe_nn::ExpertBank>();
    shared::<moe_nn::LayerExperts>();
    shared::<moe_nn::Mlp>();
    shared::<moe_nn::MlpOptions>();
    shared::<moe_nn::Activation>();
    shared::<moe_nn::Dropout>();
    shared::<ColumnEncoder>();
    shared::<dyn Encoder>();
    shared::<moe_nn::Embedding>();
    shared::<moe_nn::Linear>();
    shared::<moe_nn::Optimizer>();
    shared::<moe_nn::TrainState>();
    shared::<moe_nn::TrainError>();
    shared::<moe_nn::WeightsError>();
    shared::<moe_nn::History>();
    shared::<moe_nn::Evaluation>();
}
