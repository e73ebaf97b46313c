use moe_core::batch::{InputSpec, Inputs};
use moe_core::kernel::for_row_blocks;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Real, Tensor, Visit, VisitMut, named, named_mut};

use crate::layers::embedding::Embedding;
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
        assert!(Self::takes(input), "the model takes ids and numbers; a row has {input}");
        let columns = input.columns.iter();
        let embedded =
            columns.map(|c| (c.name.clone(), Embedding::new(c.vocabulary, embedding_width, rng)));
        ColumnEncoder {
            columns: embedded.collect(),
            width: embedding_width,
            dense_width: input.dense_width(),
        }
    }

    /// Whether there is an encoder for these inputs: they have ids or dense values, and no tokens.
    pub(crate) fn takes(input: &InputSpec) -> bool {
        let InputSpec { columns, dense, tokens } = input;
        tokens.is_none() && !(columns.is_empty() && dense.is_empty())
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
    fn forward<'t>(&self, tape: &'t Tape, _pass: &Pass<'_>, inputs: &Inputs) -> Var<'t> {
        self.check(inputs);
        let dense = inputs.dense_rows().map(|x| tape.constant(x));
        if let ([], Some(x)) = (&*self.columns, dense) {
            return x;
        }
        let columns = self.columns.iter().zip(&inputs.ids);
        let embedded = columns.map(|((_, table), ids)| table.forward(tape, ids));
        tape.concat(&embedded.chain(dense).collect::<Vec<_>>())
    }

    fn infer<'a>(&self, inputs: &'a Inputs, _keys: &[u64], out: &'a mut Tensor) -> &'a Tensor {
        self.check(inputs);
        let Inputs { ids, dense, .. } = inputs;
        match dense {
            Some(x) if self.columns.is_empty() && x.shape().rank() == 2 => return x,
            _ => {}
        }
        let rows = inputs.rows();
        let even = ids.iter().all(|ids| ids.len() == rows);
        assert!(
            even && dense.as_ref().is_none_or(|x| x.shape()[0] == rows),
            "the inputs differ in their number of rows"
        );
        let cols = self.outputs();
        out.resize([rows, cols]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            for (r, mut rest) in (first..).zip(block.chunks_exact_mut(cols)) {
                let mut put = |part: &[Real]| {
                    let place = rest.split_off_mut(..part.len());
                    place.expect("widths add up to the row").copy_from_slice(part);
                };
                for ((_, table), ids) in self.columns.iter().zip(ids) {
                    put(table.vector(ids[r]));
                }
                if let Some(x) = dense {
                    put(&x.as_slice()[r * self.dense_width..][..self.dense_width]);
                }
            }
        });
        out
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
