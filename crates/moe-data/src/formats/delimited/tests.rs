use std::io;

use super::*;
use crate::formats::dialect::Limits;

/// The numbers of all records, or the message of the first error.
fn read(text: &'static str) -> Result<Vec<[u32; 2]>, String> {
    read_capped(Box::new(text.as_bytes()), Limits::ROWS.file)
}

fn read_capped(from: Box<dyn Read + Send>, most: u64) -> Result<Vec<[u32; 2]>, String> {
    let limits = Limits { file: most, ..Dialect::PLAIN.limits };
    let dialect = Dialect { limits, ..Dialect::PLAIN };
    let mut fields = Delimited::new(from, Path::new("file.csv"), dialect).with_columns(&["a", "b"]);
    let mut rows = Vec::new();
    let say = |error: DataError| error.to_string();
    while fields.read().map_err(say)? {
        let a = fields.whole(0, 9).map_err(say)?;
        rows.push([a, fields.whole(1, 9).map_err(say)?]);
    }
    Ok(rows)
}

#[test]
fn line_ends_blanks_and_a_byte_order_mark() {
    let rows = Ok(vec![[1, 2], [3, 4]]);
    for text in
        ["1,2\n3,4\n", "1,2\n3,4", "1,2\r\n3,4\r\n", "\n1, 2\n\n3 ,4.0\n\n", "\u{feff}1,2\n3,4\n"]
    {
        assert_eq!(read(text), rows, "{text:?}");
    }
    assert_eq!(read(""), Ok(vec![]));
}

#[test]
fn messages_name_line_and_column() {
    for (text, message) in [
        ("1,2\n3,x\n", r#"file.csv, line 2, column 2 (b): "x" is not"#),
        ("1,2\r\n3,4\r\n1,10", r#"file.csv, line 3, column 2 (b): "10" is not"#),
        ("1,2\n\n\n,4\n", r#"file.csv, line 4, column 1 (a): "" is not"#),
        ("1,2\n3\n", "file.csv, line 2: 1 fields; allowed: 2 fields, a,b"),
        ("1,2,3\n", "file.csv, line 1: 3 fields"),
        ("1,-2\n", r#"line 1, column 2 (b): "-2" is not a whole number in range; allowed: 0 to 9"#),
        ("1,2.5\n", r#"line 1, column 2 (b): "2.5""#),
        ("1,.\n", r#"line 1, column 2 (b): ".""#),
        ("1,NaN\n", r#"line 1, column 2 (b): "NaN""#),
        ("1,\"2\"\n", r#"line 1, column 2 (b): "\"2\"""#),
        ("1,99999999999999999999\n", "line 1, column 2 (b)"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn what_unpacks_to_too_much_is_an_error() {
    let error = read_capped(Box::new(io::repeat(b'\n')), 1000).unwrap_err();
    assert!(error.contains("more than 1000 bytes"), "{error}");
    let error = read_capped(Box::new(io::repeat(b',')), Limits::ROWS.file).unwrap_err();
    assert!(error.contains("the line has more than 65536 bytes"), "{error}");
}

#[test]
fn a_line_may_span_reads() {
    struct Slow(&'static [u8]);
    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }
    let rows = read_capped(Box::new(Slow(b"1,2\n3,4\n")), 100);
    assert_eq!(rows, Ok(vec![[1, 2], [3, 4]]));
}

/// The texts of all records, or the message of the first error.
fn texts(dialect: Dialect, text: &'static str) -> Result<Vec<[String; 2]>, String> {
    let from = Box::new(text.as_bytes());
    let mut fields = Delimited::new(from, Path::new("file.csv"), dialect).with_columns(&["a", "b"]);
    let mut rows = Vec::new();
    while fields.read().map_err(|error| error.to_string())? {
        rows.push([0, 1].map(|place| String::from_utf8_lossy(fields.trimmed(place)).into()));
    }
    Ok(rows)
}

#[test]
fn separators_and_quotes() {
    let rows = Ok(vec![["a", "b"].map(str::to_owned), ["c", "\"d;,"].map(str::to_owned)]);
    for (dialect, text) in [
        (Dialect::TABS, "a\tb\nc\t\"d;,\n"),
        (Dialect::COLONS, "a::b\r\nc::\"d;,\r\n"),
        (Dialect::QUOTED_COMMAS, "a,\"b\"\n\"c\",\"\"\"d;,\"\n"),
        (Dialect::ESCAPED_SEMICOLONS, "\"a\";\"b\"\n\"c\";\"\\\"d;,\"\n"),
    ] {
        assert_eq!(texts(dialect, text), rows, "{text:?}");
    }
    for (text, found) in [
        ("a:b\n", "1 fields"),
        ("a::b::\n", "3 fields"),
        ("a:::b\n", "2 fields"),
        ("a:b:c\n", "2 fields"),
    ] {
        let error = texts(Dialect::COLONS, text).unwrap_err();
        let expected = format!("line 1: {found}; allowed: 2 fields, a::b");
        assert!(error.contains(&expected), "{text:?}: {error}");
    }
}

/// A quote that is never closed does not make the program hold the rest of the file.
#[test]
fn a_quote_is_closed_within_bounds() {
    let rows = texts(Dialect::QUOTED_COMMAS, "1,\"2\n3\"\n4,\"5\\\"\n").unwrap();
    assert_eq!(rows, [["1", "2\n3"], ["4", "5\\"]]);
    let open: &'static str = format!("1,\"{}", "2\n".repeat(1 << 20)).leak();
    let error = texts(Dialect::QUOTED_COMMAS, open).unwrap_err();
    assert!(error.contains("a quote that is not closed"), "{error}");
}

#[test]
fn a_header_tells_where_columns_are() {
    let header = |text: &'static str| {
        let from = Box::new(text.as_bytes());
        let mut fields = Delimited::new(from, Path::new("f"), Dialect::QUOTED_COMMAS);
        fields.header(&["b", "a"]).map_err(|error| error.to_string())
    };
    assert_eq!(header("a,\"b\",c\r\n1,2,3\n"), Ok(vec![1, 0]));
    for (text, says) in [
        ("", "line 1: the file holds no rows; allowed: a header with the columns \"b, a\""),
        ("a,c\n", "line 1: no column \"b\" in the header \"a,c\""),
        ("a,b,a\n", "line 1: two columns \"a\" in the header"),
    ] {
        let error = header(text).unwrap_err();
        assert!(error.contains(says), "{text:?}: {error}");
    }
}
