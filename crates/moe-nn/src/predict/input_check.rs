//! Checks that inputs are those that a model takes.

use moe_core::Tensor;
use moe_core::batch::{IdColumn, InputRow, InputSpec, Inputs, TokenSpec, Tokens};

use crate::error::InputError;

/// Checks that a row has the parts that `spec` describes, so that inputs can be made of it.
pub(crate) fn check_row(spec: &InputSpec, row: &InputRow<'_>) -> Result<(), InputError> {
    check_columns(spec, row.ids.len())?;
    check_width(spec, row.dense.len())?;
    let InputRow { ids, dense, tokens } = row;
    let found = [!ids.is_empty(), !dense.is_empty(), !tokens.is_empty()];
    // Without tokens, it is a row that is too short.
    if spec.tokens.is_none() && found[2] { check_parts(spec, found) } else { Ok(()) }
}

/// Checks that a model for `spec` can take `inputs` with this number of rows.
pub(crate) fn check(spec: &InputSpec, inputs: &Inputs, rows: usize) -> Result<(), InputError> {
    let Inputs { ids, dense, tokens } = inputs;
    check_parts(spec, [!ids.is_empty(), dense.is_some(), tokens.is_some()])?;
    check_columns(spec, ids.len())?;
    dense.iter().try_for_each(|x| check_dense(spec, x, rows))?;
    let columns = spec.columns.iter().zip(ids);
    columns.into_iter().try_for_each(|(column, ids)| check_ids(column, ids, rows))?;
    let tokens = spec.tokens.iter().zip(tokens);
    tokens.into_iter().try_for_each(|(spec, tokens)| check_tokens(spec, tokens, rows))
}

/// Checks which of ids, numbers and tokens there are.
fn check_parts(spec: &InputSpec, found: [bool; 3]) -> Result<(), InputError> {
    let needed = [!spec.columns.is_empty(), !spec.dense.is_empty(), spec.tokens.is_some()];
    if found == needed {
        return Ok(());
    }
    let in_words = |parts: [bool; 3]| {
        let parts = parts.into_iter().zip(["ids", "numbers", "tokens"]);
        let parts: Vec<_> = parts.filter_map(|(is_there, part)| is_there.then_some(part)).collect();
        if parts.is_empty() { "nothing".into() } else { parts.join(" and ") }
    };
    Err(InputError::Parts { needed: in_words(needed), found: in_words(found) })
}

fn check_columns(spec: &InputSpec, found: usize) -> Result<(), InputError> {
    let needed = spec.columns.len();
    if found == needed { Ok(()) } else { Err(InputError::Columns { needed, found }) }
}

fn check_width(spec: &InputSpec, found: usize) -> Result<(), InputError> {
    let needed = spec.dense_width();
    if found == needed { Ok(()) } else { Err(InputError::Width { needed, found }) }
}

fn check_rows(what: &str, needed: usize, found: usize) -> Result<(), InputError> {
    if found == needed {
        return Ok(());
    }
    Err(InputError::Rows { what: what.into(), needed, found })
}

fn check_dense(spec: &InputSpec, x: &Tensor, rows: usize) -> Result<(), InputError> {
    let (found, shape) = x.shape().split_first().unwrap_or((&1, &[]));
    if !spec.takes_dense(shape) {
        check_width(spec, shape.iter().product())?;
        return Err(InputError::Shape { needed: spec.dense.clone(), found: shape.to_vec() });
    }
    check_rows("numbers", rows, *found)
}

fn check_ids(column: &IdColumn, ids: &[u32], rows: usize) -> Result<(), InputError> {
    check_rows(&column.name, rows, ids.len())?;
    let vocabulary = column.vocabulary;
    match ids.iter().position(|&id| id as usize >= vocabulary) {
        None => Ok(()),
        Some(row) => {
            let (column, id) = (column.name.clone(), ids[row]);
            Err(InputError::Id { column, row, id, vocabulary })
        }
    }
}

fn check_tokens(spec: &TokenSpec, tokens: &Tokens, rows: usize) -> Result<(), InputError> {
    let TokenSpec { vocabulary, longest } = *spec;
    check_rows("tokens", rows, tokens.rows())?;
    for row in 0..rows {
        let ids = tokens.of_row(row);
        if !(1..=longest).contains(&ids.len()) {
            return Err(InputError::Tokens { row, found: ids.len(), longest });
        }
        if let Some(place) = ids.iter().position(|&id| id as usize >= vocabulary) {
            return Err(InputError::Token { row, place, id: ids[place], vocabulary });
        }
    }
    Ok(())
}
