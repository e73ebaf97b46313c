//! Files that the user names: in the folder of a data set, or anywhere else.

use std::path::{self, Path, PathBuf};

use crate::error::DataError;

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
