use moe_core::batch::{InputSpec, Inputs};
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var, Vars};
use moe_core::{Visit, VisitMut, named, named_mut};

use crate::error::ModelError;
use crate::layers::embedding::Embedding;
use crate::layers::forward::Forward;
use crate::models::encoder::Encoder;
use crate::module::Module;

/// One embedding per id column, side by side: the two towers of a recommender. Dense values are appended unchanged, as one
/// vector if they are a picture. Either part may be empty.
#[derive(Debug)]
pub struct ColumnEncoder {
    /// Name and embedding table of each id column.
    columns: Vec<(String, Embedding)>,
    /// Width of each embedding (E).
    width: usize,
    /// Number of dense values.
    dense_width: usize,
}

impl ColumnEncoder {
    /// The encoder for these inputs. Id columns get embeddings of width `embedding_width`.
    ///
    /// # Panics
    /// If there are tokens, or neither ids nor dense values.
    pub fn new(input: &InputSpec, embedding_width: usize, rng: &mut ChaCha8Rng) -> Self {
        Self::check_spec(input).unwrap_or_else(|error| panic!("{error}"));
        let columns = input.columns.iter();
        let embedded =
            columns.map(|c| (c.name.clone(), Embedding::new(c.vocabulary, embedding_width, rng)));
        ColumnEncoder {
            columns: embedded.collect(),
            width: embedding_width,
            dense_width: input.dense_width(),
        }
    }

    /// Width of an encoded row (D) of these inputs.
    pub(crate) fn width_for(input: &InputSpec, embedding_width: usize) -> usize {
        input.columns.len() * embedding_width + input.dense_width()
    }

    /// Number of weights of the encoder for these inputs.
    pub(crate) fn weights_for(input: &InputSpec, embedding_width: usize) -> f64 {
        let ids = input.columns.iter().map(|column| column.vocabulary as f64);
        ids.sum::<f64>() * embedding_width as f64
    }

    /// Refuses inputs for which there is no encoder: those with tokens, or with neither ids nor dense values.
    pub(crate) fn check_spec(input: &InputSpec) -> Result<(), ModelError> {
        let InputSpec { columns, dense, tokens } = input;
        if tokens.is_none() && !(columns.is_empty() && dense.is_empty()) {
            return Ok(());
        }
        Err(ModelError::Inputs { found: input.to_string() })
    }

    /// Checks that the inputs have the parts of the encoder.
    fn check(&self, inputs: &Inputs) {
        let Inputs { ids, dense, tokens } = inputs;
        assert!(tokens.is_none(), "the model does not take tokens");
        let columns = self.columns.len();
        assert_eq!(ids.len(), columns, "the model takes {columns} columns of ids");
        let width = dense.as_ref().map_or(0, |x| x.shape().iter().skip(1).product());
        assert_eq!(width, self.dense_width, "the model takes rows of width {}", self.dense_width);
    }
}

impl Encoder for ColumnEncoder {
    fn outputs(&self) -> usize {
        self.columns.len() * self.width + self.dense_width
    }

    /// # Panics
    /// If the inputs are not of the columns and the width of the encoder, or an id is outside its vocabulary.
    fn forward<'t>(&self, tape: &'t Tape, _pass: &Forward<'_, 't>, inputs: &Inputs) -> Var<'t> {
        self.check(inputs);
        let dense = inputs.dense_rows().map(|x| tape.constant(x));
        if let ([], Some(x)) = (&*self.columns, dense) {
            return x;
        }
        let (mark, columns) = (tape.mark(), self.columns.iter().zip(&inputs.ids));
        let embedded = columns.map(|((_, table), ids)| table.forward(tape, ids));
        let rows = tape.concat(&embedded.chain(dense).collect::<Vars<'t>>());
        tape.free_since(mark, &[rows]);
        rows
    }
}

impl Module for ColumnEncoder {
    fn visit(&self, f: &mut Visit<'_>) {
        for (name, table) in &self.columns {
            named(name, f, |f| table.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (name, table) in &mut self.columns {
            named_mut(name, f, |f| table.visit_mut(f));
        }
    }
}
