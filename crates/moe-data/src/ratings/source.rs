use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::formats::delimited::Delimited;
use crate::formats::dialect::Dialect;

/// Where ratings are read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    /// Name and content.
    Embedded(&'static str, &'static [u8]),
}

impl Source {
    /// The source's records.
    pub(crate) fn records(&self, dialect: Dialect) -> Result<Delimited, DataError> {
        match self {
            Source::File(path) => Delimited::open(path, dialect),
            Source::Embedded(name, bytes) => Delimited::embedded(name, bytes, dialect),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Source::File(path) => path,
            Source::Embedded(name, _) => Path::new(name),
        }
    }
}
