//! How files of separated fields tell them apart.

/// The most bytes that a file may unpack to: ten times the largest file of this kind.
pub(crate) const MOST_BYTES: u64 = 256 << 20;
/// The same for ratings: twice the largest file, `ratings.csv` of MovieLens 32M.
const MOST_RATING_BYTES: u64 = 2 << 30;

/// How a file tells its fields apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) separator: &'static str,
    pub(crate) quotes: Quotes,
    /// The most bytes that a file may unpack to.
    pub(crate) most_bytes: u64,
}

/// Whether a field may stand in double quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Every field is read as it stands.
    Ordinary,
    /// Yes, and `""` in it is a quote.
    Doubled,
    /// Yes, and `\` in it comes before a character that is meant itself.
    Escaped,
}

impl Dialect {
    pub(crate) const PLAIN: Dialect =
        Dialect { separator: ",", quotes: Quotes::Ordinary, most_bytes: MOST_BYTES };
    // Those of ratings.
    pub(crate) const COMMAS: Dialect = Dialect { most_bytes: MOST_RATING_BYTES, ..Self::PLAIN };
    pub(crate) const TABS: Dialect = Dialect { separator: "\t", ..Self::COMMAS };
    pub(crate) const COLONS: Dialect = Dialect { separator: "::", ..Self::COMMAS };
    pub(crate) const QUOTED_COMMAS: Dialect = Dialect { quotes: Quotes::Doubled, ..Self::COMMAS };
    pub(crate) const QUOTED_TABS: Dialect = Dialect { separator: "\t", ..Self::QUOTED_COMMAS };
    pub(crate) const QUOTED_SEMICOLONS: Dialect = Dialect { separator: ";", ..Self::QUOTED_COMMAS };
    pub(crate) const ESCAPED_SEMICOLONS: Dialect =
        Dialect { quotes: Quotes::Escaped, ..Self::QUOTED_SEMICOLONS };
}
