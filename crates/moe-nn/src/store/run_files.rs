//! The files of a run directory, checked against the entries of its manifest.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use moe_core::files::{replace_file, sync_folder, write_synced};

use crate::error::{RunDirError, WeightsError};
use crate::store::run_manifest::{
    FileEntry, MANIFEST, METRICS, Manifest, PREVIOUS, is_own, sha256,
};
use crate::store::weights::Weights;
use crate::train::history::EpochRecord;

/// Largest manifest in bytes that is read.
const MOST_MANIFEST: u64 = 64 << 20;

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

    /// Writes a file and reads it again; returns its entry for the manifest.
    pub(crate) fn write(&self, name: String, content: &[u8]) -> Result<FileEntry, RunDirError> {
        write_synced(&self.path(&name), content).map_err(self.error(&name))?;
        let entry = FileEntry::of(name, content);
        self.read(&entry)?;
        Ok(entry)
    }

    /// [`RunFiles::write`] for tensors.
    pub(crate) fn write_tensors(
        &self,
        name: String,
        tensors: &Weights,
    ) -> Result<Vec<FileEntry>, RunDirError> {
        Ok(vec![self.write(name, &tensors.to_file())?])
    }

    /// The tensors of all `entries`.
    pub(crate) fn read_tensors(&self, entries: &[FileEntry]) -> Result<Weights, RunDirError> {
        let mut all = Weights::default();
        for entry in entries {
            let path = self.path(&entry.name);
            let tensors = Weights::from_file(&path, &self.read(entry)?)?;
            all.extend(tensors).map_err(|source| WeightsError::Tensor { path, source })?;
        }
        Ok(all)
    }

    /// The text of a file, if there is one.
    pub(crate) fn read_text(
        &self,
        entry: &Option<FileEntry>,
    ) -> Result<Option<String>, RunDirError> {
        let Some(entry) = entry else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&self.read(entry)?).into_owned()))
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

    /// Brings `metrics.jsonl` to a line for each of `epochs`, of which the file of `entry` has the first `logged`. Lines that are
    /// right stay intact at any moment; a damaged file, which is only a log, is written again.
    pub(crate) fn write_log(
        &self,
        entry: &FileEntry,
        epochs: &[EpochRecord],
        logged: usize,
    ) -> Result<FileEntry, RunDirError> {
        let lines = |records: &[EpochRecord]| -> String {
            let line = |record| serde_json::to_string(record).expect("its keys are text") + "\n";
            records.iter().map(line).collect()
        };
        let mut content = match self.read(entry) {
            Ok(content) => content,
            Err(error) => {
                tracing::warn!("{error}; the file is written again from the state of the run");
                let content = lines(epochs);
                replace_file(&self.path(METRICS), content.as_bytes())
                    .map_err(self.error(METRICS))?;
                return Ok(FileEntry::of(METRICS.into(), content.as_bytes()));
            }
        };
        let added = lines(epochs.get(logged..).unwrap_or_default());
        let write = || {
            let path = self.path(METRICS);
            if added.is_empty() && fs::metadata(&path)?.len() == content.len() as u64 {
                return Ok(());
            }
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.set_len(content.len() as u64)?;
            file.write_all(added.as_bytes())?;
            file.sync_all()
        };
        write().map_err(self.error(METRICS))?;
        content.extend(added.as_bytes());
        Ok(FileEntry::of(METRICS.into(), &content))
    }

    /// Reads and checks the manifest with this name.
    pub(crate) fn manifest(&self, name: &str) -> Result<Manifest, RunDirError> {
        let path = self.path(name);
        let failed = |source: io::Error| match source.kind() {
            ErrorKind::NotFound => {
                RunDirError::NotARun { path: self.dir.clone(), missing: MANIFEST }
            }
            _ => RunDirError::Io { path: path.clone(), source },
        };
        let damaged = |problem| RunDirError::Damaged { path: path.clone(), problem };
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(damaged("is not a regular file".into()));
        }
        if metadata.len() > MOST_MANIFEST {
            return Err(damaged(format!("has more than {MOST_MANIFEST} bytes")));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("is not a text file".into()))?;
        Manifest::from_text(&text).map_err(damaged)
    }

    /// Replaces the manifest. From this moment on, the run consists of the files that `manifest` names.
    pub(crate) fn set_manifest(&self, manifest: &Manifest) -> Result<(), RunDirError> {
        // The names of the files are on the disk before the manifest that names them.
        sync_folder(&self.path(MANIFEST)).map_err(self.error(MANIFEST))?;
        self.replace_manifest(MANIFEST, manifest)
    }

    /// Keeps the checkpoint of `manifest` as the one before.
    pub(crate) fn set_previous(&self, manifest: &Manifest) -> Result<(), RunDirError> {
        self.replace_manifest(PREVIOUS, &manifest.without_texts())
    }

    fn replace_manifest(&self, name: &str, manifest: &Manifest) -> Result<(), RunDirError> {
        replace_file(&self.path(name), manifest.to_text().as_bytes()).map_err(self.error(name))
    }

    /// Removes the files of other checkpoints than these.
    pub(crate) fn remove_stale(&self, kept: [Option<&Manifest>; 2]) -> Result<(), RunDirError> {
        let manifests = [MANIFEST, PREVIOUS].into_iter().zip(kept);
        let kept: Vec<&str> = manifests
            .filter_map(|(name, manifest)| Some([name].into_iter().chain(manifest?.file_names())))
            .flatten()
            .collect();
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
