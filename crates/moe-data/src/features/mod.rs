//! The encoding of raw rows as model inputs: schema, encoder, vocabulary, and the options of a
//! table with the checks of its numbers and labels.

pub(crate) mod labels;
pub(crate) mod number;
pub(crate) mod row_encoder;
pub(crate) mod schema;
pub(crate) mod table_options;
pub(crate) mod vocabulary;
