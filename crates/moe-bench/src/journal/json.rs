//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand bare, and whatever is not ASCII is escaped.
//!
//! A [`Value`] has no place for such a number. Here it is a string that begins with [`MARK`], a code point that Unicode keeps
//! out of texts: [`number`] makes it, [`as_number`] reads it, and [`write()`] writes it bare.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IgnoredAny, Visitor};
use serde_json::Value;

/// The first character of a string that is a number which is not finite.
const MARK: char = '\u{FDD0}';
/// The numbers that are not finite, in Python's words.
const NOT_FINITE: [(&str, f64); 3] =
    [("NaN", f64::NAN), ("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY)];

/// A number as a value, also one that is not finite.
pub(crate) fn number(number: f64) -> Value {
    let word = if number.is_nan() {
        "NaN"
    } else if number == f64::INFINITY {
        "Infinity"
    } else if number == f64::NEG_INFINITY {
        "-Infinity"
    } else {
        return Value::from(number);
    };
    Value::String(format!("{MARK}{word}"))
}

/// The number that a value is, as [`number`] makes it.
pub(crate) fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => not_finite(text),
        value => value.as_f64(),
    }
}

fn not_finite(text: &str) -> Option<f64> {
    let word = text.strip_prefix(MARK)?;
    NOT_FINITE.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// A number that may be not finite, as a field of what is parsed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Real(pub(crate) f64);

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reals;
        impl Visitor<'_> for Reals {
            type Value = Real;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Real, E> {
                Ok(Real(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Real, E> {
                Ok(Real(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Real, E> {
                Ok(Real(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Real, E> {
                not_finite(text).map(Real).ok_or_else(|| E::custom("a string is not a number"))
            }
        }
        deserializer.deserialize_any(Reals)
    }
}

/// Parses JSON that Python may have written.
///
/// # Errors
/// If it is not JSON, or not of the type `T`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    // Most texts hold finite numbers alone; what marks the others is only looked for where it is needed.
    serde_json::from_str(text).or_else(|error| match mark(text) {
        Some(marked) => serde_json::from_str(&marked),
        None => Err(error),
    })
}

/// Whether the text is JSON at all.
pub(crate) fn is_json(text: &str) -> bool {
    parse::<IgnoredAny>(text).is_ok()
}

/// The text with each bare word for a number that is not finite as a marked string; `None` if there is none.
fn mark(text: &str) -> Option<String> {
    let mut marked = String::new();
    let (mut copied, mut at) = (0, 0);
    let (mut quoted, bytes) = (false, text.as_bytes());
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'N' | b'I' | b'-' if !quoted => {
                if let Some((word, _)) =
                    NOT_FINITE.iter().find(|(word, _)| bytes[at..].starts_with(word.as_bytes()))
                {
                    marked.push_str(&text[copied..at]);
                    marked.extend(['"', MARK]);
                    marked.push_str(word);
                    marked.push('"');
                    copied = at + word.len();
                    at = copied - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    (copied > 0).then(|| marked + &text[copied..])
}

/// The spaces that Python's `json.dumps` puts after a comma and a colon, and those that a journal has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spaces {
    /// None, as in a line of a journal.
    None,
    /// One, as is Python's default.
    One,
}

impl Spaces {
    fn after(self, sign: char, out: &mut String) {
        out.push(sign);
        if let Spaces::One = self {
            out.push(' ');
        }
    }
}

/// Writes a value as Python's `json.dumps` does.
pub(crate) fn write(value: &Value, spaces: Spaces, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => out.push_str(&python_float(float)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => match not_finite(text) {
            Some(_) => out.push_str(&text[MARK.len_utf8()..]),
            None => write_text(text, out),
        },
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    spaces.after(',', out);
                }
                write(value, spaces, out);
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(fields, spaces, out),
    }
}

/// Writes an object with its fields in the given order.
pub(crate) fn write_object<'a, K: AsRef<str> + 'a>(
    fields: impl IntoIterator<Item = (K, &'a Value)>,
    spaces: Spaces,
    out: &mut String,
) {
    out.push('{');
    for (i, (key, value)) in fields.into_iter().enumerate() {
        if i > 0 {
            spaces.after(',', out);
        }
        write_text(key.as_ref(), out);
        spaces.after(':', out);
        write(value, spaces, out);
    }
    out.push('}');
}

/// A finite float in the digits of Python's `repr`: Rust's, apart from the form of the exponent.
fn python_float(number: f64) -> String {
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value, spaces: Spaces) -> String {
        let mut out = String::new();
        write(value, spaces, &mut out);
        out
    }

    #[test]
    fn numbers_that_are_not_finite_are_read_and_written_bare() {
        let text = r#"[NaN,-Infinity,Infinity,-1.5,"NaN, \"Infinity",{"NaN":NaN}]"#;
        let value: Value = parse(text).unwrap();
        let numbers: Vec<Option<f64>> = value.as_array().unwrap().iter().map(as_number).collect();
        assert!(numbers[0].unwrap().is_nan());
        let infinite = f64::INFINITY;
        assert_eq!(numbers[1..], [Some(-infinite), Some(infinite), Some(-1.5), None, None]);
        assert_eq!(value[4], "NaN, \"Infinity");
        assert_eq!(written(&value, Spaces::None), text);
        assert_eq!(value[1], number(-infinite));
        let reals: Vec<Real> = parse("[Infinity, 2, -3, 0.5]").unwrap();
        assert_eq!(reals, [infinite, 2.0, -3.0, 0.5].map(Real));
    }

    #[test]
    fn what_only_resembles_them_is_not_json() {
        for text in ["[Nan]", "[N]", "[-I]", "[NaNN]", "[+Infinity]", "[NaN", "\"NaN", "{NaN:1}x"] {
            assert!(!is_json(text), "{text}");
        }
        assert!(parse::<Real>("\"NaN\"").is_err());
        assert!(is_json("[-Infinity]"));
    }

    /// The expected texts are those of Python 3.11's `json.dumps` for the same values.
    #[test]
    fn values_are_written_as_python_does() {
        let value = json!({"a": [1, 2.0, null, true], "b": "é\u{7f}\u{1}\n\"\\/😀"});
        let text = r#"{"a": [1, 2.0, null, true], "b": "\u00e9\u007f\u0001\n\"\\/\ud83d\ude00"}"#;
        assert_eq!(written(&value, Spaces::One), text);
        let floats = [
            (5e-5, "5e-05"),
            (1e-4, "0.0001"),
            (1.25e-7, "1.25e-07"),
            (1e16, "1e+16"),
            (123456789012345.6, "123456789012345.6"),
            (1e15, "1000000000000000.0"),
            (2.5e100, "2.5e+100"),
            (5e-324, "5e-324"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
        ];
        for (float, text) in floats {
            assert_eq!(written(&number(float), Spaces::None), text);
        }
    }
}
