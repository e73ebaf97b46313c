//! Makes a journal readable again that holds a damaged line.
//!
//! A writer that is ended in the middle of its write leaves a line without its end. Writers of this crate cut it off; Optuna
//! appends to it, and then no reader gets past that line. Its end is a whole operation, which is kept; its beginning is
//! dropped.
//!
//! Ids stay what they were, although they count lines. The beginning of a damaged line, which may have been about to create
//! a trial, has never been a line for any reader, so no reader has counted it. The whole operation at its end has not been
//! counted either, nor anything behind it, as readers stop there: an id that stands in a later line was counted from the lines
//! before the damage, and these do not change. For the same reason running readers find their place again in the new file.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str;

use moe_core::files::PartialFile;

use crate::journal::entry::{Distributions, Entry};
use crate::journal::error::JournalError;
use crate::journal::journal::{Journal, is_compressed};
use crate::journal::json;
use crate::journal::lock::{Lock, PATIENCE, with_ending};

/// What a repair has done.
#[derive(Debug, PartialEq)]
pub(crate) struct Repair {
    /// Number of lines of the journal as it is.
    pub(crate) lines: u64,
    /// What was dropped, by line.
    pub(crate) dropped: Vec<Dropped>,
    /// The file with the journal as it was; `None` if nothing was dropped, and nothing was written.
    pub(crate) damaged: Option<PathBuf>,
}

/// Bytes that are not an operation.
#[derive(Debug, PartialEq)]
pub(crate) struct Dropped {
    /// The line in the damaged journal, from 1.
    pub(crate) line: u64,
    /// The bytes, with replacement characters for what is not UTF-8.
    pub(crate) text: String,
    /// Whether a whole operation followed on the same line, which was kept.
    pub(crate) is_beginning: bool,
}

impl Journal {
    /// Drops from the journal what is not an operation, under its lock, and keeps the journal as it was in `FILE.damaged-N`.
    ///
    /// # Errors
    /// If the files cannot be read or written, or a line is JSON but not an operation of Optuna 5.0's format; the journal is
    /// then as it was.
    pub(crate) fn repair(path: &Path) -> Result<Repair, JournalError> {
        if is_compressed(path) {
            return Err(JournalError::Compressed { path: path.to_owned() });
        }
        // Of a journal that does not exist there is nothing to lock.
        fs::metadata(path).map_err(JournalError::file(path))?;
        let _lock = Lock::acquire(path, PATIENCE)?;
        let bytes = fs::read(path).map_err(JournalError::file(path))?;
        let (whole, mut repair) = whole_lines(path, &bytes)?;
        if !repair.dropped.is_empty() {
            repair.damaged = Some(keep(path, &bytes)?);
            replace(path, &whole)?;
        }
        Ok(repair)
    }
}

/// The lines that are operations, and what was dropped.
fn whole_lines(path: &Path, bytes: &[u8]) -> Result<(Vec<u8>, Repair), JournalError> {
    let mut whole = Vec::with_capacity(bytes.len());
    let mut repair = Repair { lines: 0, dropped: Vec::new(), damaged: None };
    let mut distributions = Distributions::new();
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        let begins = if line.ends_with(b"\n") {
            begin_of_operation(line, &mut distributions).map_err(|problem| {
                JournalError::Unknown { path: path.into(), line: number, problem }
            })?
        } else {
            line.len()
        };
        let (dropped, kept) = line.split_at(begins);
        if !dropped.is_empty() {
            repair.dropped.push(Dropped {
                line: number,
                text: String::from_utf8_lossy(dropped).trim_end().into(),
                is_beginning: !kept.is_empty(),
            });
        }
        repair.lines += u64::from(!kept.is_empty());
        whole.extend(kept);
    }
    Ok((whole, repair))
}

/// Where the longest operation begins that the line ends with; its length if there is none.
fn begin_of_operation(line: &[u8], read: &mut Distributions) -> Result<usize, String> {
    if let Ok(text) = str::from_utf8(line) {
        match Entry::read(text, read) {
            Ok(_) => return Ok(0),
            Err(problem) if json::is_json(text) => return Err(problem),
            Err(_) => {}
        }
    }
    let ends_with_operation = |begin: &usize| {
        let end = str::from_utf8(&line[*begin..]);
        end.is_ok_and(|end| Entry::read(end, &mut Distributions::new()).is_ok())
    };
    let mut braces = (1..line.len()).filter(|i| line[*i] == b'{');
    Ok(braces.find(ends_with_operation).unwrap_or(line.len()))
}

/// Writes the damaged journal to a file of its own beside it.
fn keep(path: &Path, bytes: &[u8]) -> Result<PathBuf, JournalError> {
    let mut number = 1;
    loop {
        let kept = with_ending(path, &format!(".damaged-{number}"));
        let file = OpenOptions::new().write(true).create_new(true).open(&kept);
        let write = |mut file: File| {
            file.write_all(bytes)?;
            file.sync_all()
        };
        match file.and_then(write) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(JournalError::file(&kept)(error)),
            Ok(()) => return Ok(kept),
        }
    }
}

/// Replaces the journal as a whole; whoever may write it may do so still.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let write = || {
        let permissions = fs::metadata(path)?.permissions();
        let mut file = PartialFile::create(path)?;
        fs::set_permissions(file.partial(), permissions)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(JournalError::file(path))
}
