//! Why a journal cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a study's journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The journal, or a file beside it.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is compressed and was to be written.
    #[error("{}: a compressed study can only be read; to continue it, unpack it with `gunzip --keep`", path.display())]
    Compressed {
        /// The journal.
        path: PathBuf,
    },
    /// A line is not JSON, because a worker appended to the unfinished line of another one.
    #[error("{}, line {line}: this line is damaged, most likely because a writer was ended in the middle of it; `moe tune --repair` keeps every operation that is whole", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// A line is JSON, but not an operation that is known.
    #[error("{}, line {line}: {problem}", path.display())]
    Unknown {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is unknown, and what is expected.
        problem: String,
    },
    /// The lock cannot be made.
    #[error("{}: the lock, a symbolic link, cannot be made: {source}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another worker took the lock, since this one held it too long without writing. Nothing was written.
    #[error("{}: another worker took over the lock while this one was busy; nothing was written", path.display())]
    LockLost {
        /// The journal.
        path: PathBuf,
    },
    /// An operation was written, and every reader ignores it.
    #[error("{}, line {line}: this operation has no effect: {problem}", path.display())]
    NoEffect {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why readers ignore it.
        problem: String,
    },
}

impl JournalError {
    /// An error of the system for a file.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        let path = path.to_owned();
        |source| JournalError::File { path, source }
    }
}
