//! Files that are replaced as a whole or not at all.

use std::fs;
use std::io::{self, Write};
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

/// A file that is written piece by piece under its name with `.partial`, until [`PartialFile::commit`] gives it its name. Without
/// a commit, the file that has the name stays as it is.
///
/// ```
/// use std::io::Write;
/// use moe_core::files::PartialFile;
///
/// # let path = std::env::temp_dir().join(format!("moe-core-doc-{}.csv", std::process::id()));
/// let mut file = PartialFile::create(&path)?;
/// file.write_all(b"1,2\n")?;
/// assert!(!path.exists() && file.partial().exists());
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
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        let partial = path.with_file_name(name);
        Ok(PartialFile { file: fs::File::create(&partial)?, partial, path: path.into() })
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
