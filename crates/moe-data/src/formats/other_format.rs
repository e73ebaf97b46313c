//! What a file is that was read as separated fields and does not have the columns.

/// The beginning of a file that shows it to be something else: what it is, and what is allowed.
const BEGINNINGS: [(&[u8], &str, &str); 6] = [
    (b"PK\x03\x04", "a spreadsheet (xlsx) or another zip archive", SHEET),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (xls)", SHEET),
    (b"PAR1", "a Parquet file", "separated fields; the name of a Parquet file ends in .parquet"),
    (b"\xff\xfe", UTF_16, UTF_8),
    (b"\xfe\xff", UTF_16, UTF_8),
    (b"SQLite format 3", "an SQLite database", "separated fields, such as CSV"),
];
const SHEET: &str = "separated fields; save the sheet as CSV";
const UTF_16: &str = "text in UTF-16";
const UTF_8: &str = "text in UTF-8; save the file in this encoding";
/// Separators, and their names among the values of the key `separator`.
const SEPARATORS: [(&str, &str); 4] =
    [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "")];

/// What a file with this beginning is, and what is allowed instead, if it is not a file of fields that `separator` separates
/// and whose header has some of the `wanted` columns.
pub(crate) fn other_format(
    head: &[u8],
    separator: &str,
    wanted: &[&str],
) -> Option<(String, String)> {
    let is_a =
        |what: &str, allowed: &str| Some((format!("the file is {what}"), allowed.to_owned()));
    for (beginning, what, allowed) in BEGINNINGS {
        if head.starts_with(beginning) {
            return is_a(what, allowed);
        }
    }
    let zeros = head.iter().take(256).filter(|&&byte| byte == 0).count();
    if zeros > 0 && 3 * zeros >= head.len().min(256) {
        return is_a(UTF_16, UTF_8);
    }
    let end = head.iter().position(|&byte| byte == b'\n').unwrap_or(head.len());
    let line = String::from_utf8_lossy(&head[..end]);
    let line = line.trim_start_matches('\u{feff}').trim_end();
    if line.contains('\r') {
        let problem = "lines end with a carriage return alone";
        return Some((problem.into(), "lines that end with a line feed".into()));
    }
    let has_a_column = |sign: &str| {
        let fields = || line.split(sign).map(|field| field.trim().trim_matches('"'));
        fields().count() > 1 && fields().any(|field| wanted.contains(&field))
    };
    let others = SEPARATORS.iter().filter(|(sign, _)| *sign != separator);
    let (sign, name) = others.into_iter().find(|(sign, _)| has_a_column(sign))?;
    let key = match *name {
        "" => String::new(),
        name => format!(" (a table of your own may have separator = {name:?})"),
    };
    let problem = format!("the fields of the header are separated by {sign:?}");
    Some((problem, format!("fields separated by {separator:?}{key}")))
}
