//! The formats of text files with separated fields, and their limits.

/// Bounds on what an untrusted file can make the program read and hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes of a line.
    pub(crate) line: usize,
    /// The most bytes of a record that spans lines.
    pub(crate) record: usize,
    /// The most bytes that a file may unpack to.
    pub(crate) file: u64,
}

/// The format of a file of separated fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// One ASCII character, or, without quotes, the same one twice.
    pub(crate) separator: &'static str,
    pub(crate) quotes: Quotes,
    pub(crate) limits: Limits,
}

/// The meaning of double quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// A quote is a character like any other.
    Ordinary,
    /// A field may be quoted; `""` inside is a quote.
    Doubled,
    /// A field may be quoted; `\` inside makes the next character an ordinary one.
    Escaped,
}

impl Limits {
    /// Ten times the largest file of fixed columns.
    const SMALL: Limits = Limits { line: 64 << 10, record: 1 << 20, file: 256 << 20 };
    /// Twice the largest file of ratings, `ratings.csv` of MovieLens 32M.
    const RATINGS: Limits = Limits { file: 2 << 30, ..Self::SMALL };
    /// Rows to predict for, which may go on forever.
    pub(crate) const ROWS: Limits = Limits { line: 1 << 20, record: 1 << 20, file: u64::MAX };
}

impl Dialect {
    pub(crate) const PLAIN: Dialect =
        Dialect { separator: ",", quotes: Quotes::Ordinary, limits: Limits::SMALL };
    /// Rows to predict for.
    pub(crate) const ROWS: Dialect =
        Dialect { separator: ",", quotes: Quotes::Doubled, limits: Limits::ROWS };
    // Ratings and tables.
    pub(crate) const COMMAS: Dialect = Dialect { limits: Limits::RATINGS, ..Self::PLAIN };
    pub(crate) const TABS: Dialect = Dialect { separator: "\t", ..Self::COMMAS };
    pub(crate) const COLONS: Dialect = Dialect { separator: "::", ..Self::COMMAS };
    pub(crate) const QUOTED_COMMAS: Dialect = Dialect { quotes: Quotes::Doubled, ..Self::COMMAS };
    pub(crate) const QUOTED_TABS: Dialect = Dialect { separator: "\t", ..Self::QUOTED_COMMAS };
    pub(crate) const QUOTED_SEMICOLONS: Dialect = Dialect { separator: ";", ..Self::QUOTED_COMMAS };
    pub(crate) const ESCAPED_SEMICOLONS: Dialect =
        Dialect { quotes: Quotes::Escaped, ..Self::QUOTED_SEMICOLONS };
}
