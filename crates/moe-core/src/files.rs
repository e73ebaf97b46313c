//! Files that are replaced as a whole or not at all.

use std::fs;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` so that a reader, also after a crash, finds either the old file or all of the new one: the new file
/// is written under another name, synced and renamed.
///
/// # Errors
/// If the file cannot be written; the old one is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = PartialFile::create(path)?;
    file.write_all(bytes).inspect_err(|_| file.remove())?;
    file.commit()
}

/// The ending of the name of an unfinished file.
const ENDING: &str = ".partial";

/// The name of the unfinished file that will become `path`.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ENDING);
    path.with_file_name(name)
}

/// The name that the unfinished file `name` will have once it is whole; other names stay as they are.
pub fn whole_name(name: &str) -> &str {
    name.strip_suffix(ENDING).unwrap_or(name)
}

/// A file that is written step by step under another name ([`partial_path`]) until [`PartialFile::commit`] puts it in the
/// place of what is there. A file that is dropped without being committed stays unfinished.
///
/// ```
/// use std::io::Write;
/// use moe_core::files::PartialFile;
///
/// # let path = std::env::temp_dir().join(format!("moe-core-doc-{}.csv", std::process::id()));
/// let mut file = PartialFile::create(&path)?;
/// file.write_all(b"1,2\n3,")?;
/// assert!(!path.exists() && file.partial().exists());
/// drop(file);
/// let mut file = PartialFile::resume(&path, 4)?;
/// file.write_all(b"3,4\n")?;
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"1,2\n3,4\n");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PartialFile {
    file: fs::File,
    partial: PathBuf,
    path: PathBuf,
}

impl PartialFile {
    /// Begins the file that a commit will name `path`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::resume(path, 0)
    }

    /// Continues what will be the file `path` after the first `length` bytes of what an earlier attempt has left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn resume(path: &Path, length: u64) -> io::Result<Self> {
        let partial = partial_path(path);
        let mut file =
            fs::File::options().create(true).write(true).truncate(false).open(&partial)?;
        file.set_len(length)?;
        file.seek(io::SeekFrom::Start(length))?;
        Ok(PartialFile { file, partial, path: path.into() })
    }

    /// The name of the file until it is committed.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Waits until all bytes are on the disk, and gives the file its name.
    ///
    /// # Errors
    /// If that fails. The partial file is then removed, and the file that had the name is untouched.
    pub fn commit(self) -> io::Result<()> {
        let rename = || {
            self.file.sync_all()?;
            fs::rename(&self.partial, &self.path)
        };
        rename().inspect_err(|_| self.remove())?;
        sync_folder(&self.path)
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.partial)
    }

    /// Removes the partial file. Errors are ignored, as an earlier one is being reported.
    fn remove(&self) {
        let _ = fs::remove_file(&self.partial);
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `bytes` to `path`, overwriting an existing file, and waits until they are on the disk.
///
/// # Errors
/// If the file cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the file names in the folder of `path` are on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Other systems cannot open folders.
    if cfg!(unix) { fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}
