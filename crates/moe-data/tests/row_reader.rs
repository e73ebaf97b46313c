//! Rows of CSV and JSON lines, one by one: they are what was written, whatever stands between them.

use std::io::{Cursor, Read};
use std::path::Path;

use moe_core::Tensor;
use moe_core::batch::{IdColumn, InputSpec, Inputs, Tokens};
use moe_data::{DataError, FeatureSchema, RowEncoder, RowFormat, RowReader};
use proptest::prelude::*;

const COLUMNS: [&str; 3] = ["b", "a", "c"];

/// Bytes that come one by one.
struct Slow(Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end = buffer.len().min(1);
        self.0.read(&mut buffer[..end])
    }
}

/// The texts of all rows, each with its line; `None` for a bad one.
fn rows(text: impl Into<Vec<u8>>, format: RowFormat) -> Vec<Option<(u64, [String; 3])>> {
    let from = Box::new(Slow(Cursor::new(text.into())));
    let columns = COLUMNS.map(str::to_owned).to_vec();
    let mut reader = RowReader::new(from, Path::new("file"), format, columns).unwrap();
    let mut rows = Vec::new();
    loop {
        match reader.read() {
            Ok(false) => return rows,
            Ok(true) => {
                let texts = [0, 1, 2].map(|column| reader.fields()[column].text.clone());
                rows.push(Some((reader.line(), texts)));
            }
            Err(DataError::Malformed { line, .. }) => {
                assert_eq!(line, reader.line());
                rows.push(None);
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(reader.number() + 1, rows.len() as u64);
    }
}

fn texts(rows: Vec<Option<(u64, [String; 3])>>) -> Vec<[String; 3]> {
    rows.into_iter().map(|row| row.unwrap().1).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        fields in prop::collection::vec(prop::array::uniform3("[a\u{e9},\"\n \\\\:{]{1,6}"), 0..8),
    ) {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut json = String::from("\n");
        csv.write_record(["c", "other", "b", "a"]).unwrap();
        for [b, a, c] in &fields {
            csv.write_record([c, "x", b, a]).unwrap();
            let object = serde_json::json!({"a": a, "b": b, "other": {"b": 1}, "c": c});
            json += &format!("  {object}\r\n");
        }
        let csv = csv.into_inner().unwrap();
        prop_assert_eq!(&texts(rows(csv, RowFormat::Csv)), &fields);
        prop_assert_eq!(&texts(rows(json, RowFormat::JsonLines)), &fields);
    }

    /// Whatever a file holds, reading ends, and a good row after it is still read.
    #[test]
    fn no_text_does_harm(text in "[a,\"\r\n{}:1\u{0}é]{0,40}") {
        let good = |found: Vec<Option<(u64, [String; 3])>>| found.into_iter().flatten().count();
        let json = format!("{text}\n{{\"a\":1,\"b\":2,\"c\":3}}\n");
        prop_assert_eq!(good(rows(json, RowFormat::JsonLines)), 1);
        // A stray quote may end in a later one.
        let csv = format!("a,b,c\n{}\n1,2,3\n", text.replace('"', ""));
        prop_assert!(good(rows(csv, RowFormat::Csv)) >= 1);
        let _ = rows(format!("a,b,c\n{text}"), RowFormat::Csv);
    }
}

#[test]
fn after_a_bad_row_comes_the_next_one() {
    let long = "x".repeat(1 << 20);
    let text =
        format!("a,b,c\n1,2,3\n1,2\n1,\"2,3\n1,2,{long}\n1,2,\"4\n\"\n\n5,6,\"7\"\"\"\r\n8,9,0");
    let found = rows(text, RowFormat::Csv);
    let row = |line, fields: [&str; 3]| Some((line, fields.map(str::to_owned)));
    // The quote in line 4 would be closed in line 6, too late: line 5 is read once more.
    let expected = [
        row(2, ["2", "1", "3"]),
        None,
        None,
        None,
        row(6, ["2", "1", "4\n"]),
        row(9, ["6", "5", "7\""]),
        row(10, ["9", "8", "0"]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn bare_values_stay_bare() {
    let text = "{\"a\":1.50,\"b\":null,\"c\":\"\\u00e9\\n\"}";
    let columns = COLUMNS.map(str::to_owned).to_vec();
    let from = Box::new(text.as_bytes());
    let mut reader = RowReader::new(from, Path::new("f"), RowFormat::JsonLines, columns).unwrap();
    assert!(reader.read().unwrap());
    let fields: Vec<_> = reader.fields().iter().map(|f| (&*f.text, f.is_bare)).collect();
    assert_eq!(fields, [("", true), ("1.50", true), ("é\n", false)]);
}

/// A number that single precision lacks is named with its place and the range, whatever the format.
#[test]
fn numbers_beyond_single_precision_are_located() {
    let schema = FeatureSchema {
        numbers: vec![moe_data::NumberFeature { name: "age".into(), shift: 0.0, scale: 1.0 }],
        ..FeatureSchema::default()
    };
    let encoder = schema.encoder();
    for (text, format, says) in [
        (
            "age\n1\n1e308\n",
            RowFormat::Csv,
            "f, line 3, column 1 (age): \"1e308\" is beyond single",
        ),
        (
            "{\"age\":1}\n{\"age\":1e308}\n",
            RowFormat::JsonLines,
            "f, line 2: field \"age\": \"1e308\" is beyond",
        ),
        (
            "{\"age\":1}\n{\"age\":\"-4e38\"}\n",
            RowFormat::JsonLines,
            "f, line 2: field \"age\": \"-4e38\" is beyond",
        ),
    ] {
        let columns = vec!["age".to_owned()];
        let from = Box::new(std::io::Cursor::new(text));
        let mut rows = RowReader::new(from, "f".as_ref(), format, columns).unwrap();
        let mut encoded = encoder.rows();
        assert!(rows.read().unwrap());
        encoder.push(rows.fields(), rows.number(), &mut encoded).unwrap();
        assert!(rows.read().unwrap());
        let error = encoder.push(rows.fields(), rows.number(), &mut encoded).unwrap_err();
        let error = rows.located(error).to_string();
        assert!(
            error.starts_with(says) && error.contains("-3.4028235e38 to 3.4028235e38"),
            "{error}"
        );
    }
}

#[test]
fn names_say_the_format() {
    for (name, format) in [
        ("a.csv", Some(RowFormat::Csv)),
        ("a/b.CSV.GZ", Some(RowFormat::Csv)),
        ("a.jsonl", Some(RowFormat::JsonLines)),
        ("a.b.ndjson.gz", Some(RowFormat::JsonLines)),
        ("a.gz", None),
        ("csv", None),
        ("a.csv/b", None),
    ] {
        assert_eq!(RowFormat::of_path(Path::new(name)), format, "{name}");
    }
}

/// A row that is wrong leaves nothing behind, wherever it is wrong.
#[test]
fn a_wrong_row_is_not_there() {
    let columns = vec![IdColumn { name: "user".into(), vocabulary: 10 }];
    let mixed = RowEncoder::of_input(&InputSpec::ids(columns).with_dense([2]));
    assert_eq!(mixed.columns().collect::<Vec<_>>(), ["user", "x0", "x1"]);
    let mut rows = mixed.rows();
    mixed.push(&["7", "0.5", "-1e3"], 0, &mut rows).unwrap();
    for (fields, says) in [
        (
            ["10", "0", "0"],
            "row 1, column user: \"10\" is not an id; allowed: a whole number from 0, below 10",
        ),
        (["-1", "0", "0"], "column user: \"-1\""),
        (["", "0", "0"], "column user: \"\""),
        (["1", "", "0"], "column x0: \"\" is not a number; allowed: a finite number"),
        (["1", "0", "NaN"], "column x1: \"NaN\""),
    ] {
        let error = mixed.push(&fields, 1, &mut rows).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(rows.len(), 1);
    }
    mixed.push(&["3", " 4 ", "5"], 1, &mut rows).unwrap();
    let (inputs, keys) = rows.batch();
    assert_eq!(keys, [7, 3]);
    let dense = Tensor::new([2, 2], vec![0.5, -1e3, 4.0, 5.0]);
    assert_eq!(*inputs, Inputs::ids(vec![vec![7, 3]]).with_dense(dense));

    let pictures = RowEncoder::of_input(&InputSpec::default().with_dense([1, 2, 2]));
    assert_eq!(pictures.columns().collect::<Vec<_>>(), ["x0", "x1", "x2", "x3"]);
    let inputs = pictures.encode(&[["1", "2", "3", "4"]]).unwrap();
    assert_eq!(inputs, Inputs::dense(Tensor::new([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0])));

    let schema = FeatureSchema {
        numbers: vec![moe_data::NumberFeature { name: "n".into(), shift: 0.0, scale: 1.0 }],
        ..FeatureSchema::default()
    };
    let error = schema.encoder().encode(&[["1e300"]]).unwrap_err().to_string();
    let says = "column n: \"1e300\" is beyond single precision; allowed: -3.4028235e38 to 3.4028235e38, or nothing";
    assert!(error.contains(says), "{error}");
    // What becomes too large when it is scaled is called so, with the range.
    let scaled = FeatureSchema {
        numbers: vec![moe_data::NumberFeature { name: "n".into(), shift: 1.0, scale: 1e30 }],
        ..FeatureSchema::default()
    };
    let error = scaled.encoder().encode(&[["1e9"]]).unwrap_err().to_string();
    let says = "\"1e9\" is beyond single precision once it is scaled, (x - 1e0) * 1e30; allowed: -3.402823";
    assert!(error.contains(says), "{error}");
    assert!(scaled.encoder().encode(&[["3.4e8"]]).is_ok());
}

#[test]
fn tokens_are_whole_numbers_with_spaces_between_them() {
    let columns = vec![IdColumn { name: "user".into(), vocabulary: 9 }];
    let tokens = InputSpec::tokens(20, 3).tokens;
    let encoder = RowEncoder::of_input(&InputSpec { tokens, ..InputSpec::ids(columns) });
    assert_eq!(encoder.columns().collect::<Vec<_>>(), ["user", "tokens"]);
    let mut rows = encoder.rows();
    encoder.push(&["7", " 3  19 0 "], 0, &mut rows).unwrap();
    for wrong in ["", "20", "1 2 3 4", "1 -2", "1,2"] {
        let error = encoder.push(&["8", wrong], 1, &mut rows).unwrap_err().to_string();
        let says =
            "column tokens: \"W\" is not a row of tokens; allowed: from 1 to 3 whole numbers";
        assert!(error.contains(&says.replace('W', wrong)), "{error}");
        assert_eq!(rows.len(), 1);
    }
    encoder.push(&["8", "5"], 1, &mut rows).unwrap();
    let (inputs, keys) = rows.batch();
    let tokens = Some(Tokens::from_rows([&[3, 19, 0][..], &[5]]));
    assert_eq!(*inputs, Inputs { tokens, ..Inputs::ids(vec![vec![7, 8]]) });
    assert_eq!(keys, [7, 8]);
}
