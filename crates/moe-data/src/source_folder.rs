use std::path::{self, Path, PathBuf};

use crate::catalog::entry::Origin;
use crate::data_dir::data_dir;
use crate::error::DataError;
use crate::options::LoadOptions;

/// The folder of a set that is read from files, and where these come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceFolder {
    /// Name of the folder in the data directory.
    pub(crate) name: &'static str,
    /// The files that it should hold, in words.
    pub(crate) files: &'static str,
    /// Where to get them, in words.
    pub(crate) get: &'static str,
}

impl SourceFolder {
    /// The origin of a set whose files are in this folder.
    pub(crate) const fn origin(self) -> Origin {
        Origin::Files { folder: self.name, files: self.files, get: self.get }
    }

    /// The path of the folder.
    ///
    /// # Errors
    /// If there is no data directory.
    pub(crate) fn path(
        &self,
        dataset: &'static str,
        options: &LoadOptions,
    ) -> Result<PathBuf, DataError> {
        let dir = data_dir(options.data_dir.as_deref()).ok_or(DataError::NoDataDir { dataset })?;
        Ok(dir.join(self.name))
    }

    /// The error that `missing` is not in the folder at `path`.
    pub(crate) fn missing(&self, dataset: &'static str, path: &Path, missing: &str) -> DataError {
        DataError::Missing {
            dataset,
            missing: missing.to_owned(),
            folder: path.to_path_buf(),
            files: self.files,
            get: self.get,
        }
    }
}

/// The path of a file that the user names: in the folder at `folder`, else relative to the working directory.
///
/// # Errors
/// If there is no such file.
pub(crate) fn named(
    dataset: &'static str,
    folder: Option<&Path>,
    file: &Path,
) -> Result<PathBuf, DataError> {
    let mut paths = places(folder, file);
    if let Some(found) = paths.iter().position(|path| path.exists()) {
        return Ok(paths.swap_remove(found));
    }
    let looked_for: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let looked_for = looked_for.join(", ");
    Err(DataError::FileMissing { dataset, file: file.to_path_buf(), looked_for })
}

/// The absolute path of a file that the user names, if it is there; else the path as it is.
pub(crate) fn absolute(folder: Option<&Path>, file: &Path) -> PathBuf {
    let found = places(folder, file).into_iter().find(|path| path.exists());
    // A configuration holds paths as text.
    let absolute = found.and_then(|path| path::absolute(path).ok());
    absolute.filter(|path| path.to_str().is_some()).unwrap_or_else(|| file.to_path_buf())
}

/// Where a file that the user names may be.
fn places(folder: Option<&Path>, file: &Path) -> Vec<PathBuf> {
    // An absolute path is not in the folder.
    let in_folder = folder.filter(|_| file.is_relative()).map(|folder| folder.join(file));
    let in_working_directory = path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    in_folder.into_iter().chain([in_working_directory]).collect()
}

/// The path of a file in a folder: packed with gzip if there is such a file, else plain; `None` if there is neither.
pub(crate) fn packed_or_plain(folder: &Path, name: &str) -> Option<PathBuf> {
    let paths = [folder.join(format!("{name}.gz")), folder.join(name)];
    paths.into_iter().find(|path| path.exists())
}
