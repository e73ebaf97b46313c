//! The cache of prepared ratings: with it, nothing is parsed or drawn again.
//!
//! The file `ID.prepared` is a [checked envelope](moe_core::envelope), written as a whole or not at all. It is in the
//! folder `cache_dir`; without that option, in the folder of the ratings or, if that is read-only, in `moe/prepared` in the
//! user's cache folder. A cache that cannot be written is a warning, since it only saves time. `cache = false` turns reading
//! and writing off.
//!
//! While somebody prepares a set, `ID.prepared.lock` is locked. Others that want the same set wait and read what was
//! prepared: for each of them to prepare it would take the memory and the processors that the first one needs, and they would
//! not be ready sooner. If the first one ends early, the next one prepares.
//!
//! It is valid if it was made by this version of the crate, with the same options, from the same files. A file is the same
//! if its path, length and modification time are the recorded ones and it was at rest when it was read (last modified more
//! than [`AT_REST`] earlier); otherwise its SHA-256 decides. An invalid cache is replaced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use moe_core::checksum::sha256_of;
use moe_core::envelope::{self, Kind};
use moe_core::lock_file::LockFile;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::data_dir::cache_home;
use crate::error::DataError;
use crate::features::vocabulary::Vocabulary;
use crate::formats::unpack::unreadable;
use crate::options::LoadOptions;
use crate::ratings::prepared::Prepared;
use crate::ratings::source::Source;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const KIND: Kind = Kind { name: "ratings", version: 1 };

/// Longer than the resolution of modification times on any file system.
const AT_REST: Duration = Duration::from_secs(2);

/// The file of a prepared set, and what it is made from.
pub(crate) struct Cache {
    /// Paths to try, in order.
    files: Vec<PathBuf>,
    options: String,
    sources: Vec<Stamp>,
}

/// A file as it was before it was read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    path: String,
    length: u64,
    modified: SystemTime,
    at_rest: bool,
}

/// A [`Prepared`] in the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: String,
    options: String,
    sources: Vec<(Stamp, [u8; 32])>,
    users: Bytes,
    items: Bytes,
    values: Bytes,
    splits: Bytes,
    user_names: Vocabulary,
    item_names: Vocabulary,
}

impl Cache {
    /// The cache of a set; `None` if it is turned off or nothing is read from files.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub(crate) fn new(
        id: &str,
        options: &LoadOptions,
        sources: &[Source],
    ) -> Result<Option<Self>, DataError> {
        let ([Source::File(first), ..], Some(true)) = (sources, options.cache) else {
            return Ok(None);
        };
        let folders = match &options.cache_dir {
            Some(dir) => vec![dir.clone()],
            None => {
                let beside = first.parent().filter(|folder| may_be_written(folder));
                let home = cache_home().map(|home| home.join("prepared"));
                beside.map(Path::to_path_buf).into_iter().chain(home).collect()
            }
        };
        let files = folders.iter().map(|folder| folder.join(format!("{id}.prepared"))).collect();
        // The location of data and cache does not affect their content, and all names are stored.
        let options = LoadOptions {
            data_dir: None,
            ratings_file: None,
            cache: None,
            cache_dir: None,
            unknown: None,
            ..options.clone()
        };
        let paths = sources.iter().map(Source::path);
        let stamps = paths.map(|path| Stamp::of(path).map_err(unreadable(path)));
        let (options, sources) = (format!("{options:?}"), stamps.collect::<Result<_, _>>()?);
        Ok(Some(Cache { files, options, sources }))
    }

    /// The cached set, if it is valid.
    pub(crate) fn read(&self) -> Option<Prepared> {
        self.files.iter().find_map(|file| {
            let stored: Stored = envelope::read(file, KIND).ok()?;
            let is_valid = stored.version == VERSION
                && stored.options == self.options
                && stored.sources.len() == self.sources.len()
                && self.sources.iter().zip(&stored.sources).all(|(now, then)| now.is(then));
            let prepared = Prepared {
                users: stored.users.words().map(u32::from_le_bytes).collect(),
                items: stored.items.words().map(u32::from_le_bytes).collect(),
                values: stored.values.words().map(f32::from_le_bytes).collect(),
                splits: stored.splits.0,
                user_names: stored.user_names,
                item_names: stored.item_names,
            };
            (is_valid && prepared.fits()).then_some(prepared)
        })
    }

    /// The lock on the cache, as soon as nobody else prepares the set; `None` where no lock can be made, which is where no
    /// cache can be written either.
    pub(crate) fn lock(&self) -> Option<LockFile> {
        self.files.iter().find_map(|file| {
            fs::create_dir_all(folder_of(file)).ok()?;
            let mut name = file.file_name()?.to_os_string();
            name.push(".lock");
            let waiting = |process: Option<u32>| {
                let process = process.map_or_else(String::new, |id| format!(" {id}"));
                tracing::warn!(
                    "waiting for process{process}, which is preparing {}",
                    file.display()
                );
            };
            LockFile::wait(&file.with_file_name(name), waiting).ok()
        })
    }

    /// Writes a set to the first path where that is possible; if there is none, it warns.
    pub(crate) fn write(self, prepared: &Prepared) {
        let mut sources = Vec::new();
        for stamp in self.sources {
            let path = PathBuf::from(&stamp.path);
            let sha256 = sha256(&path);
            // The file has changed since it was read: there is nothing to keep.
            match (Stamp::of(&path), sha256) {
                (Ok(now), Ok(sha256)) if now.is_unchanged(&stamp) => sources.push((stamp, sha256)),
                _ => return,
            }
        }
        let Prepared { users, items, values, splits, user_names, item_names } = prepared;
        let stored = Stored {
            version: VERSION.into(),
            options: self.options,
            sources,
            users: Bytes::of_words(users.iter().map(|id| id.to_le_bytes())),
            items: Bytes::of_words(items.iter().map(|id| id.to_le_bytes())),
            values: Bytes::of_words(values.iter().map(|value| value.to_le_bytes())),
            splits: Bytes(splits.clone()),
            user_names: user_names.clone(),
            item_names: item_names.clone(),
        };
        let mut problems = Vec::new();
        for file in self.files {
            let made = fs::create_dir_all(folder_of(&file)).map_err(|error| error.to_string());
            let write = || envelope::write(&file, KIND, &stored).map_err(|e| e.problem.to_string());
            match made.and_then(|()| write()) {
                Ok(()) => return,
                Err(problem) => problems.push(format!("{}: {problem}", file.display())),
            }
        }
        tracing::warn!(
            "the prepared ratings cannot be kept, so the next run prepares them again ({}); set another cache_dir, or \
             cache = false",
            problems.join("; ")
        );
    }
}

/// The folder of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns whether the permissions of the folder allow writing; they count even for users whom they do not bind.
fn may_be_written(folder: &Path) -> bool {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::metadata(folder).is_ok_and(|metadata| !metadata.permissions().readonly())
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified()?;
        Ok(Stamp {
            path: fs::canonicalize(path)?.to_string_lossy().into_owned(),
            length: metadata.len(),
            modified,
            at_rest: modified.elapsed().is_ok_and(|age| age > AT_REST),
        })
    }

    fn is_unchanged(&self, then: &Stamp) -> bool {
        (&self.path, self.length, self.modified) == (&then.path, then.length, then.modified)
    }

    /// Returns whether the file is what it was when the other stamp was made.
    fn is(&self, (then, hash): &(Stamp, [u8; 32])) -> bool {
        (self.is_unchanged(then) && then.at_rest)
            || self.length == then.length
                && sha256(Path::new(&self.path)).is_ok_and(|found| found == *hash)
    }
}

fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    sha256_of(File::open(path)?)
}

/// Bytes that are written and read as one block.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of_words(words: impl ExactSizeIterator<Item = [u8; 4]>) -> Self {
        let mut bytes = Vec::with_capacity(4 * words.len());
        words.for_each(|word| bytes.extend_from_slice(&word));
        Bytes(bytes)
    }

    fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        self.0.as_chunks().0.iter().copied()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Whole)
    }
}
