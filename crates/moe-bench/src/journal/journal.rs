//! A journal that is read as it grows and appended to beside other writers.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::str;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use crate::journal::entry::{Distributions, Entry};
use crate::journal::error::JournalError;
use crate::journal::json;
use crate::journal::lock::{Lock, PATIENCE};
use crate::journal::operation::Operation;
use crate::journal::state::State;

/// A study file in Optuna's journal format, as far as it has been read. One with the ending `gz` is compressed, and only read.
///
/// A line counts once its line break is in the file. What stands behind the last line break was left by a writer that ended
/// in the middle of its write, even where it is a whole operation: no reader has ever applied it, and its writer has never
/// been told that it is kept. Readers pass it over, and the next [`transaction`](Journal::transaction) cuts it off.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    worker: String,
    patience: Duration,
    /// Number of bytes that have been read.
    read: u64,
    /// Number of lines that have been read.
    lines: u64,
    distributions: Distributions,
    state: State,
}

impl Journal {
    /// Reads the journal. One that does not exist is empty; the first transaction creates it.
    ///
    /// # Errors
    /// As [`Journal::sync`].
    pub(crate) fn open(path: impl Into<PathBuf>) -> Result<Journal, JournalError> {
        // A number of the system's entropy: workers of one study may have the same process id on two machines.
        let random = RandomState::new().build_hasher().finish();
        let mut journal = Journal {
            path: path.into(),
            worker: format!("moe-{}-{random:016x}", process::id()),
            patience: PATIENCE,
            read: 0,
            lines: 0,
            distributions: Distributions::new(),
            state: State::default(),
        };
        journal.sync()?;
        Ok(journal)
    }

    /// Gives the worker a name of its own, for journals that are compared byte by byte.
    #[cfg(test)]
    pub(super) fn call(&mut self, worker: &str) {
        self.worker = worker.into();
    }

    /// Takes locks over earlier.
    #[cfg(test)]
    pub(super) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The name by which lines of this journal's transactions go: no other journal that is open, in any process, has it.
    #[cfg(test)]
    pub(super) fn worker(&self) -> &str {
        &self.worker
    }

    /// What the lines say that have been read.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Reads the lines that were appended since the last time. Without the lock, as lines are only ever appended.
    ///
    /// A last line that is not JSON may be one that is not visible as a whole yet, on a file system over a network: it is
    /// left for the next time, as Optuna does.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not an operation of Optuna 5.0's format; the state is then that of the lines
    /// before it.
    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.read_lines(|_, _| {})
    }

    /// Does what [`Journal::sync`] does, and tells of every line that is written by this worker and has no effect.
    fn read_lines(&mut self, mut ignored: impl FnMut(u64, String)) -> Result<(), JournalError> {
        let bytes = self.unread().map_err(JournalError::file(&self.path))?;
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let number = self.lines + 1;
            let text = str::from_utf8(line).ok().filter(|text| !text.trim().is_empty());
            let entry = text.map(|text| Entry::read(text, &mut self.distributions));
            match entry {
                Some(Ok(Entry { worker, operation })) => {
                    let effect = operation.map_or(Ok(()), |op| self.state.apply(&worker, op));
                    if let Err(problem) = effect
                        && worker == self.worker
                    {
                        ignored(number, problem);
                    }
                }
                Some(Err(problem)) if text.is_some_and(json::is_json) => {
                    return Err(JournalError::Unknown {
                        path: self.path.clone(),
                        line: number,
                        problem,
                    });
                }
                _ if after.is_empty() => break,
                _ => return Err(self.damaged()),
            }
            rest = after;
            self.read += line.len() as u64;
            self.lines = number;
        }
        Ok(())
    }

    fn damaged(&self) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), line: self.lines + 1 }
    }

    /// The bytes that have not been read.
    fn unread(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if is_compressed(&self.path) {
            // Nothing is ever appended to it.
            if self.read == 0 {
                MultiGzDecoder::new(File::open(&self.path)?).read_to_end(&mut bytes)?;
            }
            return Ok(bytes);
        }
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            file => Some(file?),
        };
        let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|file| file.len()))?;
        if length < self.read {
            // Lines are only appended: this is another file.
            (self.read, self.lines, self.state) = (0, 0, State::default());
        }
        if let Some(file) = &mut file {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Appends what `decide` makes of the present state. From its reading to the appending the lock is held, so no other
    /// worker writes in between: ids that `decide` takes from the state are right, and what it finds free is still free. All
    /// operations are appended in one write, synced to the disk, and applied to the state. Without an operation nothing is
    /// written. What an ended writer has left behind the last line break is cut off.
    ///
    /// `decide` must not take long: after 30 s other workers take the lock, and nothing is written then.
    ///
    /// # Errors
    /// The error of `decide`; those of [`Journal::sync`]; a damaged last line; a lock that cannot be made or was lost. Nothing
    /// is written then. [`JournalError::NoEffect`] if an operation was written and is ignored by every reader, as one on a
    /// trial that has ended; the others have their effect. If the file cannot be written, what was written of it is cut off.
    pub(crate) fn transaction<T, E: From<JournalError>>(
        &mut self,
        decide: impl FnOnce(&State) -> Result<(Vec<Operation>, T), E>,
    ) -> Result<T, E> {
        if is_compressed(&self.path) {
            return Err(JournalError::Compressed { path: self.path.clone() }.into());
        }
        let lock = Lock::acquire(&self.path, self.patience)?;
        self.sync()?;
        let (operations, answer) = decide(&self.state)?;
        if operations.is_empty() {
            return Ok(answer);
        }
        let lines: String =
            operations.iter().map(|operation| operation.line(&self.worker)).collect();
        self.append(&lock, lines.as_bytes())?;
        let mut first = None;
        let path = self.path.clone();
        self.read_lines(|line, problem| {
            first.get_or_insert(JournalError::NoEffect { path: path.clone(), line, problem });
        })?;
        first.map_or(Ok(answer), |error| Err(error.into()))
    }

    fn append(&self, lock: &Lock, lines: &[u8]) -> Result<(), JournalError> {
        let error = || JournalError::file(&self.path);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(&self.path).map_err(error())?;
        let mut unfinished = Vec::new();
        let end = self.read;
        file.seek(SeekFrom::Start(end)).map_err(error())?;
        file.read_to_end(&mut unfinished).map_err(error())?;
        if unfinished.contains(&b'\n') {
            return Err(self.damaged());
        }
        if !lock.is_held() {
            return Err(JournalError::LockLost { path: self.path.clone() });
        }
        if !unfinished.is_empty() {
            file.set_len(end).map_err(error())?;
        }
        let written = match file.write(lines) {
            Ok(count) if count < lines.len() => Err(ErrorKind::WriteZero.into()),
            Ok(_) => file.sync_all(),
            Err(error) => Err(error),
        };
        // The lock is held, so that nobody has appended behind it.
        written.inspect_err(|_| drop(file.set_len(end))).map_err(error())
    }
}

/// Whether a journal is compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}
