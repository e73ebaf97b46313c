use moe_core::batch::{InputSpec, Inputs};
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var, Vars};
use moe_core::{Tensor, Visit, VisitMut, named, named_mut};

use crate::layers::embedding::Embedding;
use crate::module::Module;

/// Turns the inputs of a batch into the rows that gates and experts see.
#[derive(Debug)]
pub enum Encoder {
    /// Dense inputs, passed on unchanged.
    Dense {
        /// Number of dense inputs (D).
        width: usize,
    },
    /// One embedding per id column, side by side: the two towers of a recommender. Dense inputs, if any, are appended
    /// unchanged.
    Embeddings {
        /// Name and embedding table of each id column.
        columns: Vec<(String, Embedding)>,
        /// Width of each embedding (E).
        width: usize,
        /// Number of dense inputs.
        dense_width: usize,
    },
}

/// Name and embedding table of an id column.
type Column = (String, Embedding);

impl Encoder {
    /// The encoder for these inputs. Id columns get embeddings of width `embedding_width`.
    pub fn new(input: &InputSpec, embedding_width: usize, rng: &mut ChaCha8Rng) -> Self {
        match input {
            InputSpec::Dense { width } => Encoder::Dense { width: *width },
            InputSpec::Ids { columns } | InputSpec::Mixed { columns, .. } => Encoder::Embeddings {
                columns: columns
                    .iter()
                    .map(|c| (c.name.clone(), Embedding::new(c.vocabulary, embedding_width, rng)))
                    .collect(),
                width: embedding_width,
                dense_width: input.dense_width(),
            },
        }
    }

    /// Width of an encoded row (D).
    pub fn outputs(&self) -> usize {
        match self {
            Encoder::Dense { width } => *width,
            Encoder::Embeddings { columns, width, dense_width } => {
                columns.len() * width + dense_width
            }
        }
    }

    /// The id columns of the encoder with the ids of the inputs, and the dense inputs.
    fn matched<'s, 'i>(
        &'s self,
        inputs: &'i Inputs,
    ) -> (&'s [Column], &'i [Vec<u32>], Option<&'i Tensor>) {
        let (columns, ids, dense): (&[_], &[_], _) = match (self, inputs) {
            (Encoder::Dense { width }, Inputs::Dense(x)) => (&[], &[], Some((x, width))),
            (Encoder::Embeddings { columns, dense_width: 0, .. }, Inputs::Ids(ids)) => {
                (columns, ids, None)
            }
            (Encoder::Embeddings { columns, dense_width, .. }, Inputs::Mixed { ids, dense }) => {
                (columns, ids, Some((dense, dense_width)))
            }
            _ => panic!("the inputs are not of the kind that the model takes"),
        };
        assert_eq!(columns.len(), ids.len(), "the model takes {} id columns", columns.len());
        let dense = dense.map(|(x, width)| {
            assert_eq!(x.cols(), *width, "the model takes rows of width {width}");
            x
        });
        (columns, ids, dense)
    }

    /// Encodes B rows.
    ///
    /// # Shapes
    /// B rows → `[B, D]`
    ///
    /// # Panics
    /// If the inputs are not of the kind and width of the encoder.
    pub fn forward<'t>(&self, tape: &'t Tape, inputs: &Inputs) -> Var<'t> {
        let (columns, ids, dense) = self.matched(inputs);
        let dense = dense.map(|x| tape.constant(x.clone()));
        if let ([], Some(x)) = (columns, dense) {
            return x;
        }
        let mark = tape.mark();
        let embedded = columns.iter().zip(ids).map(|((_, table), ids)| table.forward(tape, ids));
        let rows = tape.concat(&embedded.chain(dense).collect::<Vars<'t>>());
        tape.free_since(mark, &[rows]);
        rows
    }
}

impl Module for Encoder {
    fn visit(&self, f: &mut Visit<'_>) {
        if let Encoder::Embeddings { columns, .. } = self {
            for (name, table) in columns {
                named(name, f, |f| table.visit(f));
            }
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        if let Encoder::Embeddings { columns, .. } = self {
            for (name, table) in columns {
                named_mut(name, f, |f| table.visit_mut(f));
            }
        }
    }
}
