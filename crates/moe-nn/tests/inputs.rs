//! Pictures, tokens and an encoder of one's own: what a model takes, and what it refuses.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Memory, description, options, predictions, rng, tensor_bits};
use moe_core::batch::{InputRow, InputSpec, Inputs, TaskKind, Tokens};
use moe_core::rand::Rng;
use moe_core::tape::{Tape, Var, Vars};
use moe_core::{Real, Tensor, Visit, VisitMut, named_state};
use moe_nn::{
    Embedding, Encoder, ExpertBank, Forward, InputError, Mixture, Mlp, MlpOptions, Model,
    ModelError, ModelScratch, Models, Module, MoeLayer, Predictions, Predictor, evaluate, train,
};
use moe_routers::{GateSpec, Registry};

const VOCABULARY: usize = 12;
const LONGEST: usize = 5;

/// The mean of the embeddings of a row's tokens.
#[derive(Debug)]
struct Bag(Embedding);

impl Module for Bag {
    named_state!("words" => child 0);
}

impl Encoder for Bag {
    fn outputs(&self) -> usize {
        6
    }

    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Var<'t> {
        let tokens = inputs.tokens.as_ref().expect("rows of tokens");
        let (rows, all) = (tokens.rows(), tokens.ids().len());
        assert_eq!(pass.keys.len(), rows, "one key per row");
        let mut shares = Tensor::zeros([rows, all]);
        for (row, ends) in tokens.offsets().windows(2).enumerate() {
            let own = row * all + ends[0] as usize..row * all + ends[1] as usize;
            let share = 1.0 / own.len() as Real;
            shares.as_mut_slice()[own].fill(share);
        }
        tape.constant(shares).matmul(self.0.forward(tape, tokens.ids()))
    }
}

/// Rows of tokens; whether the first token is in the lower half of the vocabulary is to be predicted.
fn rows_of_tokens(seed: u64, rows: usize) -> Memory {
    let mut rng = rng(seed, 0);
    let row = |_| {
        let length = rng.random_range(1..=LONGEST);
        (0..length).map(|_| rng.random_range(0..VOCABULARY as u32)).collect()
    };
    let tokens: Vec<Vec<u32>> = (0..rows).map(row).collect();
    let is_low = |row: &Vec<u32>| if row[0] < VOCABULARY as u32 / 2 { 1.0 } else { 0.0 };
    Memory {
        input: InputSpec::tokens(VOCABULARY, LONGEST),
        tasks: vec![common::task("low", TaskKind::binary())],
        targets: vec![moe_core::batch::Target::binary(tokens.iter().map(is_low).collect())],
        inputs: Inputs::tokens(Tokens::from_rows(tokens)),
    }
}

/// A mixture over rows of tokens.
fn mixture_of_bags() -> Mixture {
    let encoder = Bag(Embedding::new(VOCABULARY, 6, &mut rng(1, 1)));
    let spec = GateSpec { inputs: 6, experts: 4, k: 2, seed: 1, gate: 0 };
    let gates = Registry::standard();
    let gates = gates.get("top-k").unwrap().build(&spec, 1, &Default::default()).unwrap();
    let options = MlpOptions::default();
    let experts = ExpertBank::new(4, 6, 8, &options, &mut rng(1, 2));
    let heads = vec![Mlp::new(8, 1, &options, &mut rng(1, 3))];
    Mixture::new(Box::new(encoder), MoeLayer::new("layer", gates, Box::new(experts)), heads)
}

#[test]
fn a_model_with_an_encoder_of_its_own_learns_from_tokens_and_predicts_the_bits_of_the_tape() {
    let (source, val) = (rows_of_tokens(1, 200), rows_of_tokens(2, 60));
    let mut model = mixture_of_bags();
    assert!(common::names(&model).contains(&"encoder.words.weight".to_owned()));
    let before = evaluate(&model, &val, &[1.0], 60).loss;
    let options = moe_nn::TrainOptions { epochs: 15, task_weights: vec![1.0], ..options(3) };
    train(&mut model, &source, &val, &options, &mut ()).unwrap();
    let after = evaluate(&model, &val, &[1.0], 60).loss;
    assert!(after < 0.85 * before, "from {before} to {after}");

    let batch = common::first_rows(&val, 60);
    let on_tape = tensor_bits(&predictions(&model, &batch)[0]);
    let predictor = Predictor::of(Box::new(model), val.input.clone(), val.tasks.clone());
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch).unwrap();
    assert_eq!(tensor_bits(&Tensor::new([60, 1], out.raw(0).to_vec())), on_tape);
    let tokens = batch.inputs.tokens.as_ref().unwrap();
    for row in 0..60 {
        let alone = common::first_rows(
            &Memory {
                inputs: Inputs::tokens(Tokens::from_rows([tokens.of_row(row)])),
                targets: vec![moe_core::batch::Target::binary(vec![0.0])],
                ..val.clone()
            },
            1,
        );
        let found = tensor_bits(&predictions(predictor.model(), &alone)[0]);
        let row = InputRow::tokens(tokens.of_row(row));
        predictor.predict_row(&row, 0, &mut out, &mut scratch).unwrap();
        assert_eq!(tensor_bits(&Tensor::new([1, 1], out.raw(0).to_vec())), found);
    }
}

#[test]
fn tokens_that_the_model_cannot_take_are_refused() {
    let source = rows_of_tokens(1, 2);
    let predictor = Predictor::of(Box::new(mixture_of_bags()), source.input, source.tasks);
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    let mut refused = |inputs: Inputs, says: &str| {
        let error = predictor.predict(&inputs, &[1, 2], &mut out, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), says);
    };
    let tokens = |rows: &[&[u32]]| Inputs::tokens(Tokens::from_rows(rows));
    refused(Inputs::ids(vec![vec![1, 2]]), "the model takes tokens, not ids");
    refused(Inputs::default(), "the model takes tokens, not nothing");
    let both = tokens(&[&[1], &[2]]).with_dense(Tensor::zeros([2, 3]));
    refused(both, "the model takes tokens, not numbers and tokens");
    refused(tokens(&[&[1]]), "tokens: 1 rows, but there are 2 keys");
    refused(tokens(&[&[1], &[]]), "row 1: 0 tokens; the model takes from 1 to 5");
    refused(tokens(&[&[1; 6], &[1]]), "row 0: 6 tokens; the model takes from 1 to 5");
    let outside = "row 1: token 2 is 12, which is not below 12";
    refused(tokens(&[&[11], &[1, 2, 12]]), outside);
    let mut row = |row: InputRow<'_>| predictor.predict_row(&row, 0, &mut out, &mut scratch);
    let none = InputError::Tokens { row: 0, found: 0, longest: LONGEST };
    assert_eq!(row(InputRow::default()), Err(none));
    let ids = InputRow { ids: &[1], ..InputRow::tokens(&[1]) };
    assert_eq!(row(ids), Err(InputError::Columns { needed: 0, found: 1 }));
    assert_eq!(row(InputRow::tokens(&[1, 2])), Ok(()));
}

/// A model over vectors takes pictures of as many numbers, and a model over pictures has the same bits.
#[test]
fn a_picture_is_a_row_of_its_numbers() {
    let rows = common::dense(4, 30, 12);
    let shape = [1, 3, 4];
    let pictures = Memory {
        input: InputSpec::default().with_dense(shape),
        inputs: Inputs::dense(rows.inputs.dense_rows().unwrap().reshape([30, 1, 3, 4])),
        ..rows.clone()
    };
    let of = |source: &Memory, router: &str| {
        let model = common::build_any(&description(source, router), 1);
        Predictor::of(model, source.input.clone(), source.tasks.clone())
    };
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    for router in ["top-k", "shared-bottom"] {
        let (of_rows, of_pictures) = (of(&rows, router), of(&pictures, router));
        let mut found = Vec::new();
        for (predictor, source) in
            [(&of_rows, &rows), (&of_rows, &pictures), (&of_pictures, &pictures)]
        {
            let batch = common::first_rows(source, 30);
            let on_tape = predictions(predictor.model(), &batch);
            predictor.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch).unwrap();
            assert_eq!(on_tape[0].as_slice(), out.raw(0));
            let first = out.raw(0)[0];
            let row = batch.inputs.dense_rows().unwrap();
            let row = InputRow::dense(row.row(0));
            predictor.predict_row(&row, batch.keys[0], &mut out, &mut scratch).unwrap();
            assert_eq!(out.raw(0)[0], first);
            found.push(on_tape.iter().map(tensor_bits).collect::<Vec<_>>());
        }
        assert!(found[0] == found[1] && found[0] == found[2], "{router}");

        let mut refused = |inputs: Inputs, says: &str| {
            let keys = vec![0; inputs.rows()];
            let error = of_pictures.predict(&inputs, &keys, &mut out, &mut scratch).unwrap_err();
            assert_eq!(error.to_string(), says);
        };
        let says = "the model takes numbers of the shape [1, 3, 4] per row, not";
        refused(rows.inputs.clone(), &format!("{says} [12]"));
        refused(Inputs::dense(Tensor::zeros([2, 1, 4, 3])), &format!("{says} [1, 4, 3]"));
        let fewer = "the model takes 12 numbers per row, not 11";
        refused(Inputs::dense(Tensor::zeros([2, 11])), fewer);
    }
}

#[test]
fn the_models_of_this_crate_need_ids_or_numbers() {
    let source = rows_of_tokens(1, 2);
    for router in ["top-k", "shared-bottom"] {
        for (input, has) in
            [(source.input.clone(), "up to 5 tokens"), (InputSpec::default(), "no inputs")]
        {
            let mut settings = description(&source, router);
            settings.input = input;
            let models = Models::standard();
            let described = models.describe(settings).unwrap();
            let error = models.build(&*described, 1).err().unwrap();
            assert_eq!(error, ModelError::Inputs { found: has.into() });
            let says = format!("the model is for rows of ids and numbers; a row has {has}");
            assert_eq!(error.to_string(), says);
        }
    }
}

/// Counts how often it is asked to pack its weights.
#[derive(Debug)]
struct Packed(Arc<AtomicUsize>);

impl Module for Packed {
    fn visit(&self, _f: &mut Visit<'_>) {}

    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}

    fn pack_weights(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Model for Packed {
    fn forward<'t>(&self, _: &'t Tape, _: &Forward<'_, 't>, _: &Inputs) -> Vars<'t> {
        Vars::new()
    }
}

#[test]
fn weights_of_a_boxed_module_are_packed() {
    let count = Arc::new(AtomicUsize::new(0));
    let model: Box<dyn Model> = Box::new(Packed(Arc::clone(&count)));
    let _predictor = Predictor::of(model, InputSpec::dense(1), Vec::new());
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
