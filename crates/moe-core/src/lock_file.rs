//! The lock on a place in the file system while somebody writes there.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A lock until this is dropped or the process ends, in whatever way.
///
/// The locked file is made for the lock and removed with it; what a killed process leaves of it locks nothing. Its text is the
/// process that holds the lock and a counter. A file system without locks has none here either.
///
/// ```
/// use moe_core::lock_file::{LockError, LockFile};
///
/// # let path = std::env::temp_dir().join(format!("moe-core-doc-{}.lock", std::process::id()));
/// let lock = LockFile::acquire(&path)?;
/// let again = LockFile::acquire(&path).unwrap_err();
/// assert!(matches!(again, LockError::Held { process: Some(id) } if id == std::process::id()));
/// drop(lock);
/// assert!(!path.exists());
/// # Ok::<(), LockError>(())
/// ```
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

/// The reason why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("is locked{}", process.map_or_else(String::new, |id| format!(" by process {id}")))]
    Held {
        /// The process that holds it, unless it does not say so.
        process: Option<u32>,
    },
    /// Something else has the name. A link would lead to the file of somebody else, which must not be changed.
    #[error("is not a regular file")]
    NotAFile,
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockFile {
    /// Locks `path`.
    ///
    /// # Errors
    /// If it is locked already, or cannot be.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        Self::lock(path, |_, process| Err(LockError::Held { process }))
    }

    /// Locks `path` as soon as nobody else holds the lock. If somebody does, `waiting` is called with the process.
    ///
    /// # Errors
    /// If it cannot be locked.
    pub fn wait(path: &Path, mut waiting: impl FnMut(Option<u32>)) -> Result<Self, LockError> {
        Self::lock(path, |file, process| {
            waiting(process);
            loop {
                match file.lock() {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    done => return Ok(done?),
                }
            }
        })
    }

    /// Locks `path`; `held` locks the file after all, or says why not, if another process has it.
    fn lock(
        path: &Path,
        mut held: impl FnMut(&File, Option<u32>) -> Result<(), LockError>,
    ) -> Result<Self, LockError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let text = format!("{}-{}\n", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        loop {
            if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
                return Err(LockError::NotAFile);
            }
            let mut open = File::options();
            let mut file = open.create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => match holder(path) {
                    // It has just ended.
                    None if !path.exists() => continue,
                    process => held(&file, process)?,
                },
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            // Between opening and locking, the process that held the lock may have removed the file.
            if is_still(path, &text)? {
                return Ok(LockFile { path: path.into(), _file: file });
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

impl Drop for LockFile {
    fn drop(&mut self) {
        // Before it is unlocked, so that it is not the file of somebody else. What stays behind locks nothing.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Of many that wait for the lock, each gets it, and one at a time.
    #[test]
    fn those_who_wait_get_the_lock_one_by_one() {
        let path = std::env::temp_dir().join(format!("moe-core-waiting-{}.lock", process::id()));
        let inside = AtomicUsize::new(0);
        let waited = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let count = |_| {
                            waited.fetch_add(1, Ordering::SeqCst);
                        };
                        let lock = LockFile::wait(&path, count).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!path.exists());
        assert!(waited.load(Ordering::SeqCst) > 0, "nobody had to wait");
    }
}
