//! The lock on a run directory while a process writes into it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::RunDirError;

/// Name of the locked file. Its text is the process that holds the lock and a counter; the file alone locks nothing.
pub(crate) const LOCK: &str = "moe.lock";

/// A lock on a directory until this is dropped or the process ends, in whatever way.
///
/// A file system without locks has none here either.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

impl RunLock {
    /// Locks `dir`.
    ///
    /// # Errors
    /// If it is locked already, or the file cannot be written.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, RunDirError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = dir.join(LOCK);
        let failed = |source| RunDirError::Io { path: dir.join(LOCK), source };
        let text = format!("{}-{}\n", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        loop {
            // A link would lead to the file of somebody else, which must not be changed.
            if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
                let problem = "is not a regular file".into();
                return Err(RunDirError::Damaged { path, problem });
            }
            let mut open = File::options();
            let mut file =
                open.create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => match holder(&path) {
                    // It has just ended.
                    None if !path.exists() => continue,
                    process => return Err(RunDirError::InUse { path: dir.into(), process }),
                },
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
            // Between opening and locking, the process that held the lock may have removed the file.
            if is_still(&path, &text).map_err(failed)? {
                return Ok(RunLock { path, _file: file });
            }
        }
    }
}

/// Returns whether the file `path` is there with this text.
fn is_still(path: &Path, text: &str) -> io::Result<bool> {
    match fs::read(path) {
        Ok(found) => Ok(found == text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds a lock, which writes its id right after it has locked the file; none if the file is gone.
fn holder(path: &Path) -> Option<u32> {
    const READINGS: usize = 50;
    for _ in 0..READINGS {
        thread::sleep(Duration::from_millis(2));
        let text = fs::read_to_string(path).ok()?;
        if let Some(id) = text.split('-').next().and_then(|id| id.parse().ok()) {
            return Some(id);
        }
    }
    None
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Before it is unlocked, so that it is not the file of somebody else. What stays behind locks nothing.
        let _ = fs::remove_file(&self.path);
    }
}
