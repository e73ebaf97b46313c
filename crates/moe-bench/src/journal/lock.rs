//! The lock of a journal: Optuna's `JournalFileSymlinkLock`.
//!
//! A symbolic link `FILE.lock` can be made by one process only, also on file systems over a network that know no other lock.
//! Whoever ends with the lock in its hands leaves the link behind, and it is taken over once the journal has not changed for
//! [`PATIENCE`]. So a holder must never be slow. Optuna's other lock, a file made with `O_EXCL`, has the same name; the two
//! must not be mixed on one journal.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::journal::error::JournalError;

/// How long the journal must not have changed before the lock is taken over.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause between two attempts; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    link: PathBuf,
    made: Option<SystemTime>,
}

impl Lock {
    /// Waits until the lock of the journal is free, or has been held for `patience` without a change of the journal.
    ///
    /// # Errors
    /// If the link cannot be made.
    pub(super) fn acquire(journal: &Path, patience: Duration) -> Result<Lock, JournalError> {
        let link = with_ending(journal, ".lock");
        // Optuna has the journal's path here, as it was given. The name alone leads from the link to the journal even where
        // that path is relative, so that every process that waits sees the journal's time through it.
        let target = journal.file_name().unwrap_or_default();
        let (mut pause, mut since, mut seen) = (FIRST_PAUSE, Instant::now(), None);
        loop {
            match symlink(target.as_ref(), &link) {
                Ok(()) => return Ok(Lock { made: made(&link), link }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(JournalError::Lock { path: link, source }),
            }
            // The holder is alive if it writes, or if the lock is another one.
            let now = Some((changed(journal), made(&link)));
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > patience {
                tracing::warn!(
                    "{}: the lock has been held for {} s without a change of the study; its holder seems to be gone, and the \
                     lock is taken over",
                    link.display(),
                    patience.as_secs()
                );
                release(&link);
                (pause, seen) = (FIRST_PAUSE, None);
                continue;
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether nobody has taken the lock over.
    pub(super) fn is_held(&self) -> bool {
        self.made.is_some() && made(&self.link) == self.made
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_held() {
            release(&self.link);
        }
    }
}

/// Removes the link. It is renamed before, so that of several processes one removes it, and none a later one.
fn release(link: &Path) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let gone = with_ending(link, &format!("{}-{count}.rename", process::id()));
    if fs::rename(link, &gone).is_ok() {
        let _ = fs::remove_file(gone);
    }
}

/// When the journal was changed last.
fn changed(journal: &Path) -> Option<SystemTime> {
    fs::metadata(journal).and_then(|file| file.modified()).ok()
}

/// When the link was made.
fn made(link: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(link).and_then(|link| link.modified()).ok()
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "this system has no symbolic links; studies need Unix",
    ))
}
