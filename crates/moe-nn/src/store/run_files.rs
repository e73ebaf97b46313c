//! The files of a run directory, checked against the entries of its manifest.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use moe_core::files::{replace_file, write_synced};

use crate::error::RunDirError;
use crate::store::run_manifest::{FileEntry, MANIFEST, METRICS, Manifest, is_own, sha256};
use crate::train::history::EpochRecord;

/// The files in a directory.
#[derive(Clone, Debug)]
pub(crate) struct RunFiles {
    pub(crate) dir: PathBuf,
}

impl RunFiles {
    pub(crate) fn new(dir: &Path) -> Self {
        RunFiles { dir: dir.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn error(&self, name: &str) -> impl FnOnce(io::Error) -> RunDirError {
        let path = self.path(name);
        |source| RunDirError::Io { path, source }
    }

    /// Writes a file; returns its entry for the manifest.
    pub(crate) fn write(&self, name: String, content: &[u8]) -> Result<FileEntry, RunDirError> {
        write_synced(&self.path(&name), content).map_err(self.error(&name))?;
        Ok(FileEntry::of(name, content))
    }

    /// Reads a file, which must have the content of its entry.
    pub(crate) fn read(&self, entry: &FileEntry) -> Result<Vec<u8>, RunDirError> {
        let path = self.path(&entry.name);
        let damaged =
            |problem: &str| RunDirError::Damaged { path: path.clone(), problem: problem.into() };
        let failed = |source: io::Error| match source.kind() {
            ErrorKind::NotFound => damaged("is missing"),
            _ => RunDirError::Io { path: path.clone(), source },
        };
        // Before it is opened: opening a pipe waits, reading a device may not end, and a link leads elsewhere.
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(damaged("is not a regular file"));
        }
        let wrong_length =
            |found: u64| damaged(&format!("should have {} bytes, has {found}", entry.bytes));
        let found = metadata.len();
        if found < entry.bytes || (found > entry.bytes && entry.name != METRICS) {
            return Err(wrong_length(found));
        }
        let mut content = Vec::with_capacity(entry.bytes as usize);
        let file = File::open(&path).map_err(failed)?;
        file.take(entry.bytes).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 != entry.bytes {
            return Err(wrong_length(content.len() as u64));
        }
        if sha256(&content) != entry.sha256 {
            return Err(damaged("has been changed: its SHA-256 is not that of the manifest"));
        }
        Ok(content)
    }

    /// Sets `metrics.jsonl` to the lines so far, `content`, and a line for each of `records`. The lines so far stay intact
    /// at any moment.
    pub(crate) fn set_metrics(
        &self,
        mut content: Vec<u8>,
        records: &[EpochRecord],
    ) -> Result<FileEntry, RunDirError> {
        let line = |record| serde_json::to_string(record).expect("a record has text keys") + "\n";
        let lines: String = records.iter().map(line).collect();
        let write = || {
            let mut file = OpenOptions::new().append(true).open(self.path(METRICS))?;
            file.set_len(content.len() as u64)?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()
        };
        write().map_err(self.error(METRICS))?;
        content.extend(lines.as_bytes());
        Ok(FileEntry::of(METRICS.into(), &content))
    }

    /// Reads and checks the manifest.
    pub(crate) fn manifest(&self) -> Result<Manifest, RunDirError> {
        let path = self.path(MANIFEST);
        let damaged = |problem| RunDirError::Damaged { path: path.clone(), problem };
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            ErrorKind::InvalidData => damaged("is not a text file".into()),
            ErrorKind::NotFound => {
                RunDirError::NotARun { path: self.dir.clone(), missing: MANIFEST }
            }
            _ => RunDirError::Io { path: path.clone(), source },
        })?;
        Manifest::from_text(&text).map_err(damaged)
    }

    /// Replaces the manifest. From this moment on, the run consists of the files that `manifest` names.
    pub(crate) fn set_manifest(&self, manifest: &Manifest) -> Result<(), RunDirError> {
        replace_file(&self.path(MANIFEST), manifest.to_text().as_bytes())
            .map_err(self.error(MANIFEST))
    }

    /// Removes the files of other checkpoints than that of `manifest`.
    pub(crate) fn remove_stale(&self, manifest: &Manifest) -> Result<(), RunDirError> {
        let kept = manifest.file_names();
        for name in self.names()? {
            let name = name.to_string_lossy();
            if is_own(&name) && !kept.contains(&&*name) {
                fs::remove_file(self.path(&name)).map_err(self.error(&name))?;
            }
        }
        Ok(())
    }

    /// The names of all files in the directory.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, RunDirError> {
        let names = |dir: &Path| -> io::Result<Vec<OsString>> {
            fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        names(&self.dir).map_err(|source| RunDirError::Io { path: self.dir.clone(), source })
    }
}
