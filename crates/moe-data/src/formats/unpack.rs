//! Plain and gzip files, read as what they hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use moe_core::checksum::{hex, sha256_of};

use crate::error::DataError;

/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The content of a file, unpacked if its name ends in `.gz` or its first bytes are those of gzip.
pub(crate) fn open_unpacked(path: &Path) -> Result<Box<dyn Read + Send>, DataError> {
    let file = File::open(path).map_err(unreadable(path))?;
    unpacked(BufReader::with_capacity(64 << 10, file), path)
}

/// [`open_unpacked`] for a reader whose content is that of the file `path`.
pub(crate) fn unpacked(
    mut from: impl BufRead + Send + 'static,
    path: &Path,
) -> Result<Box<dyn Read + Send>, DataError> {
    let is_packed = path.extension().is_some_and(|ending| ending == "gz")
        || from.fill_buf().map_err(unreadable(path))?.starts_with(&GZIP);
    Ok(if is_packed { Box::new(MultiGzDecoder::new(from)) } else { Box::new(from) })
}

/// The SHA-256 of the unpacked content of a file, in hexadecimal digits.
pub(crate) fn sha256_unpacked(path: &Path) -> Result<String, DataError> {
    let sum = sha256_of(open_unpacked(path)?).map_err(unreadable(path))?;
    Ok(hex(&sum))
}

/// The error of a file that could not be read at all.
pub(crate) fn unreadable(path: &Path) -> impl Fn(io::Error) -> DataError + use<'_> {
    move |source| DataError::Unreadable { file: path.to_path_buf(), line: None, source }
}

/// Explains an early end, which only a packed file can have.
pub(crate) fn too_early(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error;
    }
    io::Error::new(error.kind(), "the packed data end too early; the file is cut short")
}
