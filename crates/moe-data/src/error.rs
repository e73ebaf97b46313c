use std::path::PathBuf;

/// What can be wrong with a data set's name, options or files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this id.
    #[error("unknown data set {id:?}{}; known are {known}", did_you_mean(.nearest))]
    UnknownDataset {
        /// The id that was asked for.
        id: String,
        /// The known id that is most like it, if any is close.
        nearest: Option<&'static str>,
        /// All ids.
        known: String,
    },

    /// The option means nothing for this data set.
    #[error("the option `{option}` does not apply to the data set {dataset}; it takes {allowed}")]
    OptionDoesNotApply {
        /// Id of the data set.
        dataset: &'static str,
        /// Name of the option.
        option: &'static str,
        /// The options that do apply.
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
        /// Which values are good.
        allowed: String,
    },

    /// A file of the data set is not where it was looked for.
    #[error(
        "the data set {dataset} needs {missing} in {}; expected there: {files}. Get it from: {get}. \
         Another data directory can be given as data_dir or in the variable MOE_DATA_DIR",
        folder.display()
    )]
    Missing {
        /// Id of the data set.
        dataset: &'static str,
        /// What was not found.
        missing: String,
        /// The folder looked at.
        folder: PathBuf,
        /// The files that the folder should hold.
        files: &'static str,
        /// Where they come from.
        get: &'static str,
    },

    /// Several files could be the one.
    #[error(
        "the data set {dataset} needs one file of ratings, and in {} there are {found}; choose with ratings_file",
        folder.display()
    )]
    Ambiguous {
        /// Id of the data set.
        dataset: &'static str,
        /// The folder looked at.
        folder: PathBuf,
        /// Names of the files.
        found: String,
    },

    /// What was prepared could not be kept where it should be.
    #[error(
        "{}: cannot be written: {problem}; give another cache_dir, or cache = false", file.display()
    )]
    NotKept {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        problem: String,
    },

    /// The data set needs files and there is no directory to look for them.
    #[error(
        "no data directory for the data set {dataset}: give data_dir or set MOE_DATA_DIR, \
         XDG_CACHE_HOME or HOME"
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
        /// The line that was being read, from 1; `None` if it did not come so far.
        line: Option<u64>,
        /// What went wrong.
        source: std::io::Error,
    },

    /// A line does not say what it should.
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
        /// What would be good.
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
        /// What would be good.
        allowed: String,
    },

    /// A file of bytes does not hold what it should.
    #[error("{}, byte {offset}: {problem}; allowed: {allowed}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// The byte (of the unpacked content) up to which it was read.
        offset: u64,
        /// What is wrong.
        problem: String,
        /// What would be good.
        allowed: String,
    },

    /// A part has no rows.
    #[error(
        "the {part} part of the data set {dataset} is empty ({rows} rows in all); each part needs a row"
    )]
    EmptySplit {
        /// Id of the data set.
        dataset: &'static str,
        /// `train`, `val` or `test`.
        part: &'static str,
        /// Number of rows read.
        rows: usize,
    },
}

impl DataError {
    /// Whether the request was wrong (an unknown set, an option that does not apply or is out of range) rather than
    /// the data.
    pub fn is_configuration(&self) -> bool {
        use DataError::{BadOption, OptionDoesNotApply, UnknownDataset};
        matches!(self, UnknownDataset { .. } | OptionDoesNotApply { .. } | BadOption { .. })
    }
}

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |id| format!(" (did you mean {id:?}?)"))
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
        let error = DataError::Malformed {
            file: "val.csv".into(),
            line: 3,
            column: Some(4),
            name: "rating".into(),
            problem: "\"x\" is not a number".into(),
            allowed: "1 to 5".into(),
        };
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
