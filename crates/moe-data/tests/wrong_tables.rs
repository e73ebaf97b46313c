//! Tables of the user's own that are wrong in some way: each is refused with words that help, warned of, or read rightly.

mod common;

use common::own_table::{HEADER, first, good, options, read, read_as, replaced, rows, table};
use common::{folder, gzip};
use moe_data::{LoadOptions, TableOptions, load};
use serde_json::json;

fn utf_16(text: &[u8], is_big: bool, mark: &[u8]) -> Vec<u8> {
    let units = str::from_utf8(text).unwrap().encode_utf16();
    let bytes = units.flat_map(|unit| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() });
    mark.iter().copied().chain(bytes).collect()
}

#[test]
fn a_file_of_another_format_is_called_so() {
    let plain = table();
    let semicolons = "fields of the header are separated by \";\"; allowed: fields separated by \",\" (a table of your own may have separator = \"semicolon\")";
    for (bytes, says) in [
        (replaced(",", ";"), semicolons),
        (
            replaced(",", "\t"),
            "separated by \"\\t\"; allowed: fields separated by \",\" (a table of your own may have separator = \"tab\")",
        ),
        (replaced(",", "|"), "separated by \"|\"; allowed: fields separated by \",\""),
        (
            utf_16(&plain, false, b"\xff\xfe"),
            "the file is text in UTF-16; allowed: text in UTF-8; save",
        ),
        (utf_16(&plain, true, b"\xfe\xff"), "the file is text in UTF-16"),
        (utf_16(&plain, false, b""), "the file is text in UTF-16"),
        (
            replaced("\n", "\r"),
            "lines end with a carriage return alone; allowed: lines that end with",
        ),
        (
            b"PK\x03\x04\x14\0\x06\0\x08\0[Content_Types].xml".to_vec(),
            "the file is a spreadsheet (xlsx) or another zip archive; allowed: separated fields; save the sheet as CSV",
        ),
        ([&b"PK\x03\x04"[..], &vec![b'x'; 1 << 17]].concat(), "the file is a spreadsheet (xlsx)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), "the file is a spreadsheet (xls)"),
        (b"PAR1\x15\x04".to_vec(), "the file is a Parquet file"),
    ] {
        let error = read(&bytes, json!({})).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("t.csv, line 1: "), "{says}: {error}");
    }
    // The separator that the options name is the right one; the error about a wrong name does not mention separators.
    read(&replaced(",", ";"), json!({ "separator": "semicolon" })).unwrap();
    let error = read(&plain, json!({ "numbers": ["years"] })).unwrap_err().to_string();
    assert!(error.contains("no column \"years\" in the header \"age,city,bought\""), "{error}");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_parquet_file_names_the_build_that_reads_it() {
    let error = read_as("t.parquet", b"PAR1", json!({})).unwrap_err().to_string();
    assert!(error.contains("cargo build --release -p moe-bench --features parquet"), "{error}");
    let entry = moe_data::find("table").unwrap();
    assert!(entry.summary.contains("Parquet if built with --features parquet"));
}

#[test]
fn a_wrong_file_or_row_is_named_with_its_place() {
    for (bytes, changes, says) in [
        (
            vec![],
            json!({}),
            "t.csv, line 1: the file holds no rows; allowed: a header with the columns \"age, city, bought\"",
        ),
        (
            b"age,city,bought\n".to_vec(),
            json!({}),
            "the train split of the data set table is empty (0 rows in all)",
        ),
        (
            b"age,city,bought\n1,a,1\n".to_vec(),
            json!({}),
            "the train split of the data set table is empty (1 rows in all)",
        ),
        (first("20,c0"), json!({}), "line 2: 2 fields; allowed: 3 fields, as in the header"),
        (first("20,c0,1,2"), json!({}), "line 2: 4 fields; allowed: 3 fields"),
        (first("20,\"c0,1"), json!({}), "line 2, column 2 (city): a quote that is not closed"),
        (
            replaced(HEADER, "age,age,bought"),
            json!({ "categories": [] }),
            "two columns \"age\" in the header",
        ),
        (
            replaced(HEADER, "Age,city,bought"),
            json!({}),
            "no column \"age\" in the header \"Age,city,bought\" (did you mean \"Age\"?)",
        ),
        (
            [&b"age,city,bought\n1,\xfc,1\n"[..], &table()].concat(),
            json!({}),
            "line 2, column 2 (city)",
        ),
        (first("2\0x,c0,1"), json!({}), "line 2, column 1 (age): \"2\\0x\" is not a number"),
        (
            first(&format!("20,{},1", "x".repeat(70_000))),
            json!({}),
            "line 2: the line has more than 65536 bytes",
        ),
        (
            rows("age,city,bought", |i| format!("{i},c{i},{}", i % 2)).repeat(1),
            json!({ "separator": "tab" }),
            "separated by \",\"",
        ),
    ] {
        let error = read(&bytes, changes).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let many: String = (0..300).map(|i| format!("{i},c{i},{}\n", i % 2)).collect();
    let error = read(format!("{HEADER}\n{many}").as_bytes(), json!({})).unwrap_err().to_string();
    let says = "line 258, column 2 (city): \"c256\" is one category too many; allowed: 256 of them; a column with more is one of ids";
    assert!(error.contains(says), "{error}");
    let packed = gzip(&table());
    for bytes in [&packed[..packed.len() / 2], &packed[..packed.len() - 1]] {
        let error = read_as("t.csv.gz", bytes, json!({})).unwrap_err().to_string();
        assert!(error.contains("the packed data end too early; the file is cut short"), "{error}");
    }
    let error = read_as("t.csv.gz", &table(), json!({})).unwrap_err().to_string();
    assert!(error.contains("t.csv.gz, line 1: cannot be read"), "{error}");
}

#[test]
fn a_missing_file_is_said_to_be_missing_where_it_was_looked_for() {
    let dir = folder("table", &[]);
    let load_from = |file: &str| {
        let table = TableOptions { file: file.into(), ..options(json!({})) };
        let data_dir = Some(dir.path().into());
        load("table", &LoadOptions { data_dir, table: Some(table), ..common::seeded(1) })
    };
    let error = load_from("d.csv").unwrap_err().to_string();
    let here = std::env::current_dir().unwrap().join("d.csv");
    let there = dir.path().join("table/d.csv");
    let says = format!(
        "the data set table needs the file d.csv, which is not there (looked for: {}, {})",
        there.display(),
        here.display()
    );
    assert_eq!(error, says);
    let error = load_from("/nowhere/d.csv").unwrap_err().to_string();
    assert!(error.ends_with("(looked for: /nowhere/d.csv)"), "{error}");
}

#[test]
fn what_other_programs_write_is_read_rightly() {
    let data = read(&table(), json!({})).unwrap();
    for bytes in [
        [&b"\xef\xbb\xbf"[..], &table()].concat(),
        replaced("\n", "\r\n"),
        replaced("age,", "age ,"),
        replaced(",c", ", c"),
        // pandas writes 1.0 where a column has missing values.
        rows(HEADER, |i| good(i) + ".0"),
        rows(HEADER, |i| format!("{},c{},{}", 20 + i % 7, i % 5, ["False", "True"][i % 2])),
    ] {
        assert!(common::same_data(&data, &read(&bytes, json!({})).unwrap()));
    }
    // A NUL is a character of a text like any other.
    read(&first("20,c\0x,1"), json!({})).unwrap();
}

#[test]
fn numbers_that_single_precision_lacks_are_refused() {
    let of_target =
        json!({ "numbers": [], "targets": [{ "column": "age", "kind": "regression" }] });
    let range = "allowed: -3.4028235e38 to 3.4028235e38, or nothing";
    for (row, changes, says) in [
        ("1e300,c0,1", json!({}), format!("line 2, column 1 (age): \"1e300\" is beyond single precision; {range}")),
        ("-1e39,c0,1", json!({ "scaling": "min-max" }), format!("\"-1e39\" is beyond single precision; {range}")),
        ("1e400,c0,1", json!({ "scaling": "none" }), format!("\"1e400\" is beyond single precision; {range}")),
        ("inf,c0,1", json!({}), "\"inf\" is not a number; allowed: a finite number, or nothing".into()),
        ("NaN,c0,1", json!({}), "\"NaN\" is not a number".into()),
        ("N/A,c0,1", json!({}), "\"N/A\" is not a number".into()),
        ("1e38,c0,1", of_target.clone(), "line 2, column 1 (age): \"1e38\" is too large for a target, whose error is squared; allowed: -1e15 to 1e15".into()),
        ("1e300,c0,1", of_target, "\"1e300\" is beyond single precision".into()),
    ] {
        let error = read(&first(row), changes).unwrap_err().to_string();
        assert!(error.contains(&says), "{says}: {error}");
    }
    // All that is accepted is scaled to numbers of a usual size, or refused with its row.
    for scaling in ["standard", "min-max"] {
        for [one, other] in
            [[3.4e38, -3.4e38], [1e38, 1.0000001e38], [1e-30, 2e-30], [1e-320, 0.0], [5e37; 2]]
        {
            let bytes = rows(HEADER, |i| format!("{:e},c{},{}", [one, other][i % 2], i % 5, i % 2));
            let data = read(&bytes, json!({ "scaling": scaling })).unwrap();
            for (_, split) in data.splits() {
                let batch = common::all(split);
                let dense = common::dense(&batch);
                let values = (0..batch.rows()).map(|row| f64::from(dense.row(row)[0]));
                assert!(
                    values.into_iter().all(|value| value.abs() < 100.0),
                    "{scaling} {one} {other}"
                );
            }
        }
    }
    // 1e38 is in the test or validation split for one of these rows only; in train it decides the scale.
    let refused = (0..60).filter(|&at| {
        let bytes = rows(HEADER, |i| {
            if i == at {
                "1e38,c0,1".into()
            } else {
                format!("{:e},c0,{}", i as f64 * 1e-30, i % 2)
            }
        });
        let found = read(&bytes, json!({}));
        if let Err(error) = &found {
            let says = format!(
                "row {at}, column age: 1e38 is beyond single precision once it is scaled, (x - "
            );
            assert!(error.to_string().contains(&says), "{error}");
        }
        found.is_err()
    });
    assert!((1..20).contains(&refused.count()));
}

#[test]
fn options_that_cannot_be_are_refused_as_configuration() {
    let twice = json!([{ "column": "age", "kind": "regression" }]);
    let positive = json!([{ "column": "bought", "kind": "binary", "positive": "NA" }]);
    for (changes, says) in [
        (json!({ "min_count": 0 }), "table.min_count = 0 for the data set table; allowed: from 1"),
        (
            json!({ "min_count": 2 }),
            "table.min_count = 2 for the data set table; allowed: 1, or unknown = \"shared\"",
        ),
        (
            json!({ "targets": twice }),
            "table = the column age twice for the data set table; allowed: each once",
        ),
        (json!({ "numbers": ["age", "age"] }), "the column age twice"),
        (json!({ "numbers": [], "categories": [] }), "table.ids = []"),
        (json!({ "targets": [] }), "table.targets = []"),
        (json!({ "targets": positive }), "table.targets = \"NA\", the text of positive of bought"),
    ] {
        let error = read(&table(), changes).unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains(says), "{says}: {error}");
    }
    for (share, value) in
        [("test_share", 0.0), ("test_share", 1.5), ("val_share", 1.0), ("val_share", -1.0)]
    {
        let mut options = LoadOptions { table: Some(options(json!({}))), ..common::seeded(1) };
        let given =
            if share == "test_share" { &mut options.test_share } else { &mut options.val_share };
        *given = Some(value);
        let error = load("table", &options).unwrap_err();
        let says =
            format!("{share} = {value} for the data set table; allowed: above 0 and below 1");
        assert!(error.is_configuration() && error.to_string() == says, "{error}");
    }
    // A share may still leave nothing of few rows.
    let dir = folder("table", &[("t.csv", &table())]);
    let shares = LoadOptions {
        data_dir: Some(dir.path().into()),
        table: Some(options(json!({}))),
        test_share: Some(0.99),
        ..common::seeded(1)
    };
    let error = load("table", &shares).unwrap_err().to_string();
    assert!(error.contains("is empty (60 rows in all); each split needs a row"), "{error}");
    // The default is the one of every data set: names that are not in the data are refused.
    let ids = read(&table(), json!({ "categories": [], "ids": ["city"] })).unwrap();
    let encoder = ids.schema().unwrap().encoder();
    let error = encoder.encode(&[["nowhere", "20"]]).unwrap_err().to_string();
    assert!(
        error.contains("\"nowhere\" is unknown") && error.contains("unknown = \"shared\""),
        "{error}"
    );
}
