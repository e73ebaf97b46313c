use std::path::{Path, PathBuf};

use moe_core::did_you_mean;

/// A problem with a data set's name, options or files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this id.
    #[error("unknown data set {id:?}{}; known are {known}", did_you_mean(" (", *.nearest, ")"))]
    UnknownDataset {
        /// The id given.
        id: String,
        /// The known id most like it, if one is close.
        nearest: Option<&'static str>,
        /// All ids.
        known: String,
    },

    /// The data set does not take this option.
    #[error("the option `{option}` does not apply to the data set {dataset}; it takes {allowed}")]
    OptionDoesNotApply {
        /// Id of the data set.
        dataset: &'static str,
        /// Name of the option.
        option: &'static str,
        /// The options that it takes.
        allowed: String,
    },

    /// The option's value is out of range.
    #[error("{option} = {value} for the data set {dataset}; allowed: {allowed}")]
    BadOption {
        /// Id of the data set.
        dataset: &'static str,
        /// Name of the option.
        option: &'static str,
        /// The value given.
        value: String,
        /// The allowed values.
        allowed: String,
    },

    /// A file of the data set is missing.
    #[error(
        "the data set {dataset} needs {missing} in {}; expected there: {files}. Get it from: {get}. \
         Set another data directory with data_dir or the variable MOE_DATA_DIR",
        folder.display()
    )]
    Missing {
        /// Id of the data set.
        dataset: &'static str,
        /// The missing file.
        missing: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// The files that the folder should hold.
        files: &'static str,
        /// Where to get them.
        get: &'static str,
    },

    /// A file that the user named is missing.
    #[error("the data set {dataset} needs the file {}, which is not there (looked for: {looked_for})", file.display())]
    FileMissing {
        /// Id of the data set.
        dataset: &'static str,
        /// The file as it was named.
        file: PathBuf,
        /// The paths where it could be.
        looked_for: String,
    },

    /// Several files could hold the ratings.
    #[error(
        "the data set {dataset} needs one file of ratings, but {} holds {found}; choose with ratings_file",
        folder.display()
    )]
    Ambiguous {
        /// Id of the data set.
        dataset: &'static str,
        /// The folder that was searched.
        folder: PathBuf,
        /// Names of the files.
        found: String,
    },

    /// The data set needs files, and there is no data directory to look in.
    #[error(
        "no data directory for the data set {dataset}: set data_dir or one of the variables MOE_DATA_DIR, \
         XDG_CACHE_HOME and HOME"
    )]
    NoDataDir {
        /// Id of the data set.
        dataset: &'static str,
    },

    /// A file could not be opened, read or unpacked to its end.
    #[error("{}{}: cannot be read: {source}", file.display(), in_line(*line))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The line being read, from 1; `None` if reading had not begun.
        line: Option<u64>,
        /// What went wrong.
        source: std::io::Error,
    },

    /// A line is malformed.
    #[error("{}, line {line}{}: {problem}; allowed: {allowed}", file.display(), at(*column, name))]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column, from 1, unless the whole line is wrong.
        column: Option<usize>,
        /// The column's name, empty if it has none.
        name: String,
        /// What is wrong.
        problem: String,
        /// What is allowed.
        allowed: String,
    },

    /// A column of a table as a whole is of no use.
    #[error("{}, column {column}: {problem}; allowed: {allowed}", file.display())]
    Column {
        /// The file.
        file: PathBuf,
        /// The column's name.
        column: String,
        /// What is wrong.
        problem: String,
        /// What is allowed.
        allowed: String,
    },

    /// A raw row does not fit a [`FeatureSchema`](crate::FeatureSchema).
    #[error("row {row}{}: {problem}; allowed: {allowed}", in_column(column))]
    Field {
        /// The row, from 0.
        row: usize,
        /// The column's name, empty if the whole row is wrong.
        column: String,
        /// What is wrong.
        problem: String,
        /// What is allowed.
        allowed: String,
    },

    /// A binary file is malformed.
    #[error("{}, byte {offset}: {problem}; allowed: {allowed}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// The offset, in bytes of the unpacked content, up to which the file was read.
        offset: u64,
        /// What is wrong.
        problem: String,
        /// What is allowed.
        allowed: String,
    },

    /// A split has no rows.
    #[error(
        "the {split} split of the data set {dataset} is empty ({rows} rows in all); each split needs a row"
    )]
    EmptySplit {
        /// Id of the data set.
        dataset: &'static str,
        /// `train`, `val` or `test`.
        split: &'static str,
        /// Number of rows of all splits.
        rows: usize,
    },
}

impl DataError {
    /// [`DataError::Malformed`] for a whole line, or one of its columns (the place from 1, and the name).
    pub(crate) fn malformed(
        file: &Path,
        line: u64,
        column: Option<(usize, &str)>,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        let (column, name) = column.unzip();
        let name = name.unwrap_or_default().to_owned();
        let (problem, allowed) = (problem.into(), allowed.into());
        DataError::Malformed { file: file.to_path_buf(), line, column, name, problem, allowed }
    }

    /// [`DataError::Corrupt`].
    pub(crate) fn corrupt(
        file: &Path,
        offset: u64,
        problem: String,
        allowed: impl Into<String>,
    ) -> Self {
        DataError::Corrupt { file: file.to_path_buf(), offset, problem, allowed: allowed.into() }
    }

    /// Returns whether the request is wrong (an unknown set, or an option that does not apply or is out of range) rather
    /// than the data.
    pub fn is_configuration(&self) -> bool {
        use DataError::{BadOption, OptionDoesNotApply, UnknownDataset};
        matches!(self, UnknownDataset { .. } | OptionDoesNotApply { .. } | BadOption { .. })
    }
}

/// The most characters of a value that a message repeats.
const SHOWN: usize = 32;

/// The beginning of a text, in quotes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

fn in_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn in_column(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", column {name}") }
}

fn at(column: Option<usize>, name: &str) -> String {
    match (column, name) {
        (None, _) => String::new(),
        (Some(column), "") => format!(", column {column}"),
        (Some(column), name) => format!(", column {column} ({name})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_where_and_what_is_allowed() {
        let (column, problem) = (Some((4, "rating")), "\"x\" is not a number");
        let error = DataError::malformed(Path::new("val.csv"), 3, column, problem, "1 to 5");
        assert_eq!(
            error.to_string(),
            "val.csv, line 3, column 4 (rating): \"x\" is not a number; allowed: 1 to 5"
        );
    }

    #[test]
    fn errors_travel_between_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<DataError>();
    }
}
