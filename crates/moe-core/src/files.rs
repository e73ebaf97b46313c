//! Files that are replaced as a whole or not at all.

use std::fs;
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The name of the unfinished file that will become `path` and that a later attempt may continue
/// ([`PartialFile::resume`]).
pub fn partial_path(path: &Path) -> PathBuf {
    with_ending(path, ENDING)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

/// The name that the unfinished file `name` will have once it is whole; other names stay as they are.
pub fn whole_name(name: &str) -> &str {
    let Some(unfinished) = name.strip_suffix(ENDING) else { return name };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match unfinished.rsplit_once('.') {
        Some((whole, writer))
            if writer.split_once('-').is_some_and(|(a, b)| is_number(a) && is_number(b)) =>
        {
            whole
        }
        _ => unfinished,
    }
}

/// A file that is written step by step under another name until [`PartialFile::commit`] puts it in the place of what is
/// there. A file that is dropped without being committed stays unfinished.
///
/// The name of an unfinished file has the process and a counter in it (`NAME.123-0.partial`), so that no two writers of one
/// file share it: the file is that of the last one to commit, as a whole. Only a file that is to be continued has a fixed
/// name ([`partial_path`]).
///
/// ```
/// use std::io::Write;
/// use moe_core::files::PartialFile;
///
/// # let path = std::env::temp_dir().join(format!("moe-core-doc-{}.csv", std::process::id()));
/// let mut file = PartialFile::create(&path)?;
/// file.write_all(b"1,2\n3,")?;
/// assert!(!path.exists() && file.partial().exists());
/// file.write_all(b"4\n")?;
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
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let partial = with_ending(path, &format!(".{}-{count}{ENDING}", process::id()));
            match fs::File::options().write(true).create_new(true).open(&partial) {
                // An earlier process of the same number has left it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => return Ok(PartialFile { file, partial, path: path.into() }),
            }
        }
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
///
/// # Errors
/// If the folder cannot be opened.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Other systems cannot open folders.
    if cfg!(unix) { fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_files_are_seen_through() {
        for (name, whole) in [
            ("manifest.json.partial", "manifest.json"),
            ("manifest.json.123-4.partial", "manifest.json"),
            ("last-7.safetensors.9-0.partial", "last-7.safetensors"),
            ("a.1-x.partial", "a.1-x"),
            ("a.-1.partial", "a.-1"),
            ("a.csv", "a.csv"),
            ("a.12-3", "a.12-3"),
        ] {
            assert_eq!(whole_name(name), whole);
        }
    }

    /// Two writers of one file, in turns: the file is that of the last commit, and nothing of the other is in it.
    #[test]
    fn two_writers_do_not_mix() {
        let place = std::env::temp_dir().join(format!("moe-core-writers-{}", process::id()));
        fs::create_dir_all(&place).unwrap();
        let path = place.join("out.csv");
        for order in [[0, 1], [1, 0]] {
            let mut writers =
                [PartialFile::create(&path).unwrap(), PartialFile::create(&path).unwrap()];
            assert_ne!(writers[0].partial(), writers[1].partial());
            for line in 0..100 {
                for (writer, word) in writers.iter_mut().zip(["first", "the second"]) {
                    writeln!(writer, "{word} {line}").unwrap();
                }
            }
            let mut writers = writers.map(Some);
            for writer in order {
                writers[writer].take().unwrap().commit().unwrap();
                let word = ["first", "the second"][writer];
                let text = fs::read_to_string(&path).unwrap();
                let expected: String = (0..100).map(|line| format!("{word} {line}\n")).collect();
                assert_eq!(text, expected);
            }
        }
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "no unfinished file stays");
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn what_an_earlier_process_of_the_same_number_left_is_not_touched() {
        let place = std::env::temp_dir().join(format!("moe-core-left-{}", process::id()));
        fs::create_dir_all(&place).unwrap();
        let path = place.join("out.csv");
        let first = PartialFile::create(&path).unwrap();
        let name = first.partial().file_name().unwrap().to_str().unwrap().to_owned();
        let (before, _) = name.rsplit_once('-').unwrap();
        let next = name[before.len() + 1..name.len() - ENDING.len()].parse::<u64>().unwrap() + 1;
        // Other tests may take numbers too.
        let taken: Vec<_> = (next..next + 50)
            .map(|count| place.join(format!("{before}-{count}{ENDING}")))
            .collect();
        taken.iter().for_each(|path| fs::write(path, "other").unwrap());
        PartialFile::create(&path).unwrap().commit().unwrap();
        assert!(taken.iter().all(|path| fs::read_to_string(path).unwrap() == "other"));
        drop(first);
        fs::remove_dir_all(&place).unwrap();
    }
}
