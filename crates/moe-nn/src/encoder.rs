use moe_core::batch::{InputSpec, Inputs};
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var};
use moe_core::{Visit, VisitMut, named, named_mut};

use crate::{Embedding, Module};

/// Turns the inputs of a batch into the rows that gates and experts see.
#[derive(Debug)]
pub enum Encoder {
    /// Dense inputs, as they are.
    Dense {
        /// D.
        width: usize,
    },
    /// One embedding per id column, side by side: the two towers of a recommender.
    Embeddings {
        /// Name and table of each column.
        columns: Vec<(String, Embedding)>,
        /// E, of each.
        width: usize,
    },
}

impl Encoder {
    /// The encoder for these inputs; id columns get embeddings of `embedding_width`.
    pub fn new(input: &InputSpec, embedding_width: usize, rng: &mut ChaCha8Rng) -> Self {
        match input {
            InputSpec::Dense { width } => Encoder::Dense { width: *width },
            InputSpec::Ids { columns } => Encoder::Embeddings {
                columns: columns
                    .iter()
                    .map(|c| (c.name.clone(), Embedding::new(c.vocabulary, embedding_width, rng)))
                    .collect(),
                width: embedding_width,
            },
        }
    }

    /// D.
    pub fn outputs(&self) -> usize {
        match self {
            Encoder::Dense { width } => *width,
            Encoder::Embeddings { columns, width } => columns.len() * width,
        }
    }

    /// # Shapes
    /// B rows → `[B, D]`
    ///
    /// # Panics
    /// If the inputs are not of the kind and width the encoder was made for.
    pub fn forward<'t>(&self, tape: &'t Tape, inputs: &Inputs) -> Var<'t> {
        match (self, inputs) {
            (Encoder::Dense { width }, Inputs::Dense(x)) => {
                assert_eq!(x.cols(), *width, "the model takes rows of width {width}");
                tape.constant(x.clone())
            }
            (Encoder::Embeddings { columns, .. }, Inputs::Ids(ids)) => {
                assert_eq!(
                    columns.len(),
                    ids.len(),
                    "the model takes {} id columns",
                    columns.len()
                );
                let towers = columns.iter().zip(ids);
                let towers: Vec<_> =
                    towers.map(|((_, table), ids)| table.forward(tape, ids)).collect();
                tape.concat(&towers)
            }
            _ => panic!("the inputs are not of the kind that the model was made for"),
        }
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
