use std::path::{Path, PathBuf};

use crate::data_dir;
use crate::error::DataError;
use crate::options::LoadOptions;

/// The folder of a set, and where its files come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) folder: &'static str,
    /// The files that it should hold, in words.
    pub(crate) files: &'static str,
    pub(crate) get: &'static str,
}

impl Place {
    pub(crate) fn folder(
        &self,
        dataset: &'static str,
        options: &LoadOptions,
    ) -> Result<PathBuf, DataError> {
        let dir = data_dir(options.data_dir.as_deref()).ok_or(DataError::NoDataDir { dataset })?;
        Ok(dir.join(self.folder))
    }

    /// The error that `missing` is not in the folder.
    pub(crate) fn missing(&self, dataset: &'static str, folder: &Path, missing: &str) -> DataError {
        DataError::Missing {
            dataset,
            missing: missing.to_owned(),
            folder: folder.to_path_buf(),
            files: self.files,
            get: self.get,
        }
    }
}
