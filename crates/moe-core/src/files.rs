//! Files that are there as a whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` to `path` so that a reader, also after a crash, finds either the old file or the new one whole:
/// written under another name, synced, renamed.
///
/// # Errors
/// If the file cannot be written; the old one is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || {
        write_synced(&partial, bytes)?;
        fs::rename(&partial, path)
    };
    write().inspect_err(|_| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&partial);
    })?;
    sync_folder(path)
}

/// Writes `bytes` to `path`, over what is there, and waits until they are on the disk.
///
/// # Errors
/// If the file cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until the names in the folder of `path` are on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Other systems do not open folders.
    if cfg!(unix) { fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}
