//! The two checkpoints that a run directory holds: the last one, and the one before in case that it is damaged.

use crate::error::RunDirError;
use crate::store::run_files::RunFiles;
use crate::store::run_manifest::{MANIFEST, Manifest, PREVIOUS};

/// Reads the last checkpoint with `read`, or the one before if a file of the last one is damaged, which is logged as a
/// warning. A run in training is read as its last checkpoint left it.
///
/// # Errors
/// That of the last checkpoint, if neither can be read.
pub(crate) fn read_last<T>(
    files: &RunFiles,
    read: impl Fn(&Manifest) -> Result<T, RunDirError>,
) -> Result<(Manifest, T), RunDirError> {
    /// Each further attempt follows another checkpoint of a run in training.
    const MOST_ATTEMPTS: usize = 100;
    let both = |manifest: Manifest| read(&manifest).map(|found| (manifest, found));
    let mut attempts = 0;
    loop {
        attempts += 1;
        let last = files.manifest(MANIFEST);
        let seen = last.as_ref().ok().cloned();
        let error = match last.and_then(both) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // Training may have replaced the files since the manifest was read.
        if files.manifest(MANIFEST).ok() != seen && attempts < MOST_ATTEMPTS {
            continue;
        }
        if !matches!(error, RunDirError::Damaged { .. } | RunDirError::NotARun { .. }) {
            return Err(error);
        }
        return match files.manifest(PREVIOUS).and_then(both) {
            Ok((manifest, found)) => {
                let epochs = manifest.epochs;
                tracing::warn!(
                    "{error}; the checkpoint before it is used, which has {epochs} epochs"
                );
                Ok((manifest, found))
            }
            Err(_) => Err(error),
        };
    }
}
