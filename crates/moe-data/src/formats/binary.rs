//! Files of bytes that are read once from their beginning to their end, with the place of every error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::formats::capped::too_early;

/// First bytes of a gzip file.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The content of a file, unpacked if its name ends in `.gz` or its first bytes say gzip.
pub(crate) fn open_unpacked(path: &Path) -> Result<Box<dyn Read + Send>, DataError> {
    let file = BufReader::with_capacity(64 << 10, File::open(path).map_err(unreadable(path))?);
    unpacked(file, path)
}

/// [`open_unpacked`] of what `path` names.
pub(crate) fn unpacked(
    mut from: impl BufRead + Send + 'static,
    path: &Path,
) -> Result<Box<dyn Read + Send>, DataError> {
    let packed = path.extension().is_some_and(|ending| ending == "gz")
        || from.fill_buf().map_err(unreadable(path))?.starts_with(&GZIP);
    Ok(match packed {
        true => Box::new(MultiGzDecoder::new(from)),
        false => Box::new(from),
    })
}

/// The SHA-256 of the content of a file, unpacked as in [`open_unpacked`], in hexadecimal digits.
pub(crate) fn sha256_unpacked(path: &Path) -> Result<String, DataError> {
    let sum = sha256(open_unpacked(path)?).map_err(unreadable(path))?;
    Ok(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The SHA-256 of everything that is read.
pub(crate) fn sha256(mut from: impl Read) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(count) => hasher.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The error of a file that could not be read at all.
pub(crate) fn unreadable(path: &Path) -> impl Fn(io::Error) -> DataError + use<'_> {
    move |source| DataError::Unreadable { file: path.to_path_buf(), line: None, source }
}

/// A file that is being read.
pub(crate) struct Binary {
    file: PathBuf,
    reader: Box<dyn Read>,
    /// Bytes read.
    offset: u64,
}

impl Binary {
    /// A plain or gzip file from its beginning.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self::new(path, open_unpacked(path)?, 0))
    }

    /// A part of a file, from `start` on; `packed` as a zlib stream, of which bytes are then counted.
    pub(crate) fn part(
        path: &Path,
        start: u64,
        bytes: u64,
        packed: bool,
    ) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(unreadable(path))?;
        file.seek(SeekFrom::Start(start)).map_err(unreadable(path))?;
        let part = BufReader::new(file.take(bytes));
        Ok(match packed {
            true => Self::new(path, Box::new(ZlibDecoder::new(part)), 0),
            false => Self::new(path, Box::new(part), start),
        })
    }

    fn new(path: &Path, reader: Box<dyn Read>, offset: u64) -> Self {
        Binary { file: path.to_path_buf(), reader, offset }
    }

    /// What is left, with `bytes` that were read already before it.
    pub(crate) fn after(self, bytes: Vec<u8>) -> Self {
        Binary { reader: Box::new(Cursor::new(bytes).chain(self.reader)), ..self }
    }

    /// The next N bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next bytes, as many as `out` holds.
    ///
    /// # Errors
    /// If the file holds fewer, at the byte where it ends.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<(), DataError> {
        let mut rest = out;
        while !rest.is_empty() {
            match self.reader.read(rest) {
                Ok(0) => return Err(self.ends(rest.len() as u64)),
                Ok(count) => {
                    self.offset += count as u64;
                    rest = &mut rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        Ok(())
    }

    /// The next `count` bytes. Memory grows with what the file holds, whatever `count` claims.
    pub(crate) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        read.map_err(|error| self.unreadable(error))?;
        match count - bytes.len() as u64 {
            0 => Ok(bytes),
            missing => Err(self.ends(missing)),
        }
    }

    /// Passes over the next `count` bytes.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(), DataError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(count), &mut io::sink());
        let skipped = skipped.map_err(|error| self.unreadable(error))?;
        self.offset += skipped;
        match count - skipped {
            0 => Ok(()),
            missing => Err(self.ends(missing)),
        }
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        let mut rest = Vec::new();
        let read = self.reader.by_ref().take(1).read_to_end(&mut rest);
        match read.map_err(|error| self.unreadable(error))? {
            0 => Ok(()),
            _ => Err(self.corrupt("more bytes follow".into(), "the end of the file")),
        }
    }

    /// The error that there is a problem at the place reached.
    pub(crate) fn corrupt(&self, problem: String, allowed: impl Into<String>) -> DataError {
        DataError::Corrupt {
            file: self.file.clone(),
            offset: self.offset,
            problem,
            allowed: allowed.into(),
        }
    }

    fn ends(&self, missing: u64) -> DataError {
        self.corrupt(format!("the file ends here, {missing} bytes too early"), "a whole file")
    }

    fn unreadable(&self, error: io::Error) -> DataError {
        unreadable(&self.file)(too_early(error))
    }
}
