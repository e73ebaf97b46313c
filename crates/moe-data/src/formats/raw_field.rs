/// A field of a raw row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawField {
    /// Its text, without quotes and with escapes resolved; empty for `null` in JSON.
    pub text: String,
    /// Whether it is a JSON value without quotes: a number, `true`, `false` or `null`.
    pub is_bare: bool,
}

impl AsRef<str> for RawField {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
