//! Turns the rows of a request into inputs.

use moe_core::batch::{IdColumn, InputSpec, Inputs, TokenSpec, Tokens};
use moe_core::{Real, Tensor};
use moe_data::{FeatureSchema, RowEncoder};
use serde_json::Value;

use crate::request::Row;

/// The field with the dense inputs of a model without a feature schema.
pub(crate) const DENSE: &str = "x";

/// The field with the tokens of a model without a feature schema.
pub(crate) const TOKENS: &str = "tokens";

/// Turns rows into inputs.
#[derive(Debug)]
pub(crate) struct RowReader {
    /// The fields of a row, in order.
    fields: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Fields as in the original data.
    Schema(RowEncoder<'static>),
    /// Fields as the model takes them.
    Inputs(InputSpec),
}

impl RowReader {
    /// A reader for rows as in the original data.
    pub(crate) fn of_schema(schema: &'static FeatureSchema) -> Self {
        let fields = schema.columns().map(str::to_owned).collect();
        RowReader { fields, kind: Kind::Schema(schema.encoder()) }
    }

    /// A reader for ids and numbers as the model takes them, without a feature schema.
    pub(crate) fn of_inputs(input: InputSpec) -> Self {
        let mut fields: Vec<String> =
            input.columns.iter().map(|column| column.name.clone()).collect();
        if input.dense_width() > 0 {
            fields.push(DENSE.to_owned());
        }
        fields.extend(input.tokens.map(|_| TOKENS.to_owned()));
        RowReader { fields, kind: Kind::Inputs(input) }
    }

    /// The inputs for these rows.
    ///
    /// # Errors
    /// The row and the field with the problem, and what is allowed.
    pub(crate) fn read(&self, rows: &[Row]) -> Result<Inputs, String> {
        rows.iter().enumerate().try_for_each(|(i, row)| self.check_fields(i, row))?;
        match &self.kind {
            Kind::Schema(encoder) => {
                let texts = rows.iter().enumerate().map(|(i, row)| {
                    let texts = self.fields.iter().map(|field| text(i, field, &row[field]));
                    texts.collect::<Result<Vec<_>, _>>()
                });
                let texts = texts.collect::<Result<Vec<_>, _>>()?;
                encoder.encode(&texts).map_err(|error| error.to_string())
            }
            Kind::Inputs(input) => inputs(input, rows),
        }
    }

    /// Checks that the row has all fields and no others.
    fn check_fields(&self, i: usize, row: &Row) -> Result<(), String> {
        let all = || self.fields.join(", ");
        if let Some(missing) = self.fields.iter().find(|field| !row.contains_key(*field)) {
            return Err(format!("row {i}: the column {missing:?} is missing; needed: {}", all()));
        }
        if let Some(unknown) = row.keys().find(|field| !self.fields.contains(field)) {
            return Err(format!("row {i}: the column {unknown:?} is unknown; allowed: {}", all()));
        }
        Ok(())
    }
}

/// The text of a field, as in a table.
fn text(i: usize, field: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok(String::new()),
        other => Err(format!(
            "row {i}, {field}: {} is not allowed; it must be a text, a number or null",
            short(other)
        )),
    }
}

fn inputs(input: &InputSpec, rows: &[Row]) -> Result<Inputs, String> {
    let ids = |column| rows.iter().enumerate().map(move |(i, row)| id(i, column, row));
    let ids: Result<Vec<Vec<u32>>, String> =
        input.columns.iter().map(|column| ids(column).collect()).collect();
    let mut inputs = Inputs::ids(ids?);
    let width = input.dense_width();
    if width > 0 {
        let mut x = Tensor::unspecified(input.dense_shape(rows.len()));
        for (i, (row, x)) in rows.iter().zip(x.as_mut_slice().chunks_exact_mut(width)).enumerate() {
            read_numbers(i, &row[DENSE], x)?;
        }
        inputs.dense = Some(x);
    }
    if let Some(spec) = &input.tokens {
        let tokens = rows.iter().enumerate().map(|(i, row)| tokens(i, spec, &row[TOKENS]));
        inputs.tokens = Some(Tokens::from_rows(tokens.collect::<Result<Vec<_>, _>>()?));
    }
    Ok(inputs)
}

fn tokens(i: usize, spec: &TokenSpec, value: &Value) -> Result<Vec<u32>, String> {
    let TokenSpec { vocabulary, longest } = *spec;
    let id = |value: &Value| {
        let id = value.as_u64().filter(|&id| id < vocabulary as u64);
        id.and_then(|id| u32::try_from(id).ok())
    };
    let ids: Option<Vec<u32>> = value.as_array().and_then(|values| values.iter().map(id).collect());
    ids.filter(|ids| (1..=longest).contains(&ids.len())).ok_or_else(|| {
        format!(
            "row {i}, {TOKENS}: {} is not allowed; it must be a list of 1 to {longest} whole numbers below {vocabulary}",
            short(value)
        )
    })
}

fn id(i: usize, column: &IdColumn, row: &Row) -> Result<u32, String> {
    let IdColumn { name, vocabulary } = column;
    let value = &row[name];
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.filter(|&id| (id as usize) < *vocabulary).ok_or_else(|| {
        format!(
            "row {i}, {name}: {} is not allowed; it must be a whole number below {vocabulary}",
            short(value)
        )
    })
}

fn read_numbers(i: usize, value: &Value, x: &mut [Real]) -> Result<(), String> {
    let width = x.len();
    let wrong =
        |found: String| format!("row {i}, {DENSE}: {found}; allowed: a list of {width} numbers");
    let Value::Array(numbers) = value else {
        return Err(wrong(format!("{} is not a list", short(value))));
    };
    if numbers.len() != width {
        return Err(wrong(format!("{} numbers", numbers.len())));
    }
    for (x, value) in x.iter_mut().zip(numbers) {
        let number = value.as_f64().map(|number| number as Real);
        *x = number
            .filter(|number| number.is_finite())
            .ok_or_else(|| wrong(format!("{} is not a number in range", short(value))))?;
    }
    Ok(())
}

/// A short text for a value in a message.
fn short(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn tokens_are_lists_of_whole_numbers() {
        let reader = RowReader::of_inputs(InputSpec::tokens(20, 3));
        let read = |tokens: Value| {
            let row = |tokens| Map::from_iter([(TOKENS.to_owned(), tokens)]);
            reader.read(&[row(json!([5])), row(tokens)])
        };
        let expected = Tokens::from_rows([&[5][..], &[0, 19, 3]]);
        assert_eq!(read(json!([0, 19, 3])), Ok(Inputs::tokens(expected)));
        for wrong in
            [json!([]), json!([20]), json!([1, 2, 3, 4]), json!([-1]), json!("1"), json!([1.5])]
        {
            let error = read(wrong).unwrap_err();
            let says = "it must be a list of 1 to 3 whole numbers below 20";
            assert!(error.starts_with("row 1, tokens: ") && error.ends_with(says), "{error}");
        }
    }
}
