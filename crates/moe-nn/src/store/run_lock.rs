//! The lock on a run directory while a process writes into it.

use std::path::Path;

use moe_core::lock_file::{LockError, LockFile};

use crate::error::RunDirError;

/// Name of the locked file.
pub(crate) const LOCK: &str = "moe.lock";

/// Locks `dir` until the lock is dropped or the process ends.
///
/// # Errors
/// If it is locked already, or the file cannot be written.
pub(crate) fn acquire(dir: &Path) -> Result<LockFile, RunDirError> {
    let path = dir.join(LOCK);
    LockFile::acquire(&path).map_err(|error| match error {
        LockError::Held { process } => RunDirError::InUse { path: dir.into(), process },
        LockError::NotAFile => RunDirError::Damaged { problem: error.to_string(), path },
        LockError::Io(source) => RunDirError::Io { path, source },
    })
}
