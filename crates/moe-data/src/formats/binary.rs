//! Binary files, read once from beginning to end, with the offset of every error.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use crate::error::DataError;
use crate::formats::unpack::{open_unpacked, too_early, unreadable};

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

    /// `bytes` bytes of a file from `start` on; if they are `packed`, the content of the zlib stream that they are, whose
    /// bytes are then counted.
    pub(crate) fn section(
        path: &Path,
        start: u64,
        bytes: u64,
        packed: bool,
    ) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(unreadable(path))?;
        file.seek(SeekFrom::Start(start)).map_err(unreadable(path))?;
        let section = BufReader::new(file.take(bytes));
        Ok(if packed {
            Self::new(path, Box::new(ZlibDecoder::new(section)), 0)
        } else {
            Self::new(path, Box::new(section), start)
        })
    }

    fn new(path: &Path, reader: Box<dyn Read>, offset: u64) -> Self {
        Binary { file: path.to_path_buf(), reader, offset }
    }

    /// This file, with `bytes` put back before what is left of it.
    pub(crate) fn after(self, bytes: Vec<u8>) -> Self {
        Binary { reader: Box::new(Cursor::new(bytes).chain(self.reader)), ..self }
    }

    /// The next N bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` with the next bytes.
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

    /// The next `count` bytes. Memory grows with the content of the file, even if `count` is larger.
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

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        let mut rest = Vec::new();
        let read = self.reader.by_ref().take(1).read_to_end(&mut rest);
        match read.map_err(|error| self.unreadable(error))? {
            0 => Ok(()),
            _ => Err(self.corrupt("more bytes follow".into(), "the end of the file")),
        }
    }

    /// The error that there is a problem at the offset reached.
    pub(crate) fn corrupt(&self, problem: String, allowed: impl Into<String>) -> DataError {
        DataError::corrupt(&self.file, self.offset, problem, allowed)
    }

    fn ends(&self, missing: u64) -> DataError {
        self.corrupt(format!("the file ends here, {missing} bytes too early"), "a whole file")
    }

    fn unreadable(&self, error: io::Error) -> DataError {
        unreadable(&self.file)(too_early(error))
    }
}
