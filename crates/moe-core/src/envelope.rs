//! The checked binary envelope of the workspace's own binary files.
//!
//! ```text
//! magic "MOE\x1a" | kind: 12 bytes, zero-padded | version: u32 | bytes of Real: u32 | payload length: u64
//! | SHA-256 of all of the above and the payload | payload: bincode 2, standard configuration
//! ```
//! Numbers are little-endian. This module is the only user of bincode; `bytes_are_pinned` in its tests holds
//! the format still, so that another encoding could take its place. Weights meant for other tools are
//! safetensors files instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bincode::de::read::{Reader, SliceReader};
use bincode::de::{Decode, Decoder, DecoderImpl};
use bincode::error::DecodeError;
use bincode::serde::Compat;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::files::replace_file;
use crate::real::Real;

const MAGIC: [u8; 4] = *b"MOE\x1a";
const HEADER: usize = 32;
const CHECKSUM: usize = 32;
/// Largest number of bytes that the values of a payload may take.
const LIMIT: usize = 1 << 36;
/// Most bytes that a number takes of [`LIMIT`] for each byte of its encoding.
const MOST_PER_BYTE: usize = 8;

/// The kind of content of an envelope, which is checked when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name of the kind: at most 12 bytes of ASCII.
    pub name: &'static str,
    /// Version of the content.
    pub version: u32,
}

/// An envelope that cannot be written or opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct EnvelopeError {
    /// The file.
    pub path: PathBuf,
    /// The problem.
    pub problem: EnvelopeProblem,
}

/// Problems of an envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeProblem {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file does not begin as an envelope.
    #[error("not a file of this project")]
    NotAnEnvelope,
    /// The envelope holds another kind of content.
    #[error("holds \"{found}\" version {found_version}, not \"{}\" version {}", wanted.name, wanted.version)]
    OtherKind {
        /// Name of its kind.
        found: String,
        /// Version of its content.
        found_version: u32,
        /// The kind that was requested.
        wanted: Kind,
    },
    /// The envelope was written by a build of the other precision.
    #[error("holds numbers of {found} bytes, this build works with {}", size_of::<Real>())]
    OtherPrecision {
        /// Bytes of each of its numbers.
        found: u32,
    },
    /// The file is cut off, or longer than its content.
    #[error("should have {expected} bytes, has {found}")]
    Length {
        /// Length according to the header.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// A byte has changed since it was written.
    #[error("is damaged: its checksum is wrong")]
    Checksum,
    /// The value cannot be encoded, or the payload does not decode to such a value.
    #[error("{0}")]
    Encoding(String),
}

/// Encodes a value.
///
/// # Errors
/// If the value cannot be encoded.
///
/// # Panics
/// If the kind's name is longer than 12 bytes.
pub fn seal<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>, EnvelopeProblem> {
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| EnvelopeProblem::Encoding(error.to_string()))?;
    let mut name = [0; 12];
    name[..kind.name.len()].copy_from_slice(kind.name.as_bytes());
    let mut file = Vec::with_capacity(HEADER + CHECKSUM + payload.len());
    file.extend(MAGIC);
    file.extend(name);
    file.extend(kind.version.to_le_bytes());
    file.extend((size_of::<Real>() as u32).to_le_bytes());
    file.extend((payload.len() as u64).to_le_bytes());
    let checksum = checksum(&file, &payload);
    file.extend(checksum);
    file.extend(payload);
    Ok(file)
}

/// Decodes what [`seal`] encoded.
///
/// # Errors
/// If it is not a whole, undamaged envelope of this kind and precision.
pub fn open<T: DeserializeOwned>(kind: Kind, file: &[u8]) -> Result<T, EnvelopeProblem> {
    if !file.starts_with(&MAGIC) {
        return Err(EnvelopeProblem::NotAnEnvelope);
    }
    let Some((header, rest)) = file.split_first_chunk::<HEADER>() else {
        return Err(length(HEADER + CHECKSUM, file));
    };
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    let name: Vec<u8> = header[4..16].iter().copied().take_while(|&b| b != 0).collect();
    let found = String::from_utf8_lossy(&name).into_owned();
    if (found.as_str(), number(16)) != (kind.name, kind.version) {
        return Err(EnvelopeProblem::OtherKind { found, found_version: number(16), wanted: kind });
    }
    if number(20) as usize != size_of::<Real>() {
        return Err(EnvelopeProblem::OtherPrecision { found: number(20) });
    }
    let payload_len = u64::from_le_bytes(std::array::from_fn(|i| header[24 + i]));
    let expected = payload_len.saturating_add((HEADER + CHECKSUM) as u64);
    if expected != file.len() as u64 {
        return Err(EnvelopeProblem::Length { expected, found: file.len() as u64 });
    }
    let (sum, payload) = rest.split_at(CHECKSUM);
    if sum != checksum(header, payload) {
        return Err(EnvelopeProblem::Checksum);
    }
    let (value, is_whole) =
        decode(payload).map_err(|error| EnvelopeProblem::Encoding(error.to_string()))?;
    if !is_whole {
        return Err(EnvelopeProblem::Encoding("the payload is longer than its value".into()));
    }
    Ok(value)
}

/// Decodes a value; returns whether it takes all of the payload. A length inside of the payload cannot claim more memory than
/// [`MOST_PER_BYTE`] times the payload, whatever it says: the decoder allocates a text before it reads it.
fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<(T, bool), DecodeError> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let mut decoder = DecoderImpl::new(SliceReader::new(payload), config, ());
    // The limit is a constant, so what the payload cannot need is taken from it.
    let most = payload.len().saturating_mul(MOST_PER_BYTE);
    decoder.claim_bytes_read(LIMIT.saturating_sub(most))?;
    let Compat(value) = Compat::decode(&mut decoder)?;
    Ok((value, decoder.reader().peek_read(1).is_none()))
}

/// [`seal`] into a file, which is replaced as a whole.
///
/// # Errors
/// If the value cannot be encoded or the file not be written.
pub fn write<T: Serialize>(path: &Path, kind: Kind, value: &T) -> Result<(), EnvelopeError> {
    let sealed = seal(kind, value).and_then(|bytes| Ok(replace_file(path, &bytes)?));
    sealed.map_err(|problem| EnvelopeError { path: path.into(), problem })
}

/// [`open`] from a file.
///
/// # Errors
/// If the file cannot be read, or as [`open`].
pub fn read<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<T, EnvelopeError> {
    let read = || open(kind, &fs::read(path)?);
    read().map_err(|problem| EnvelopeError { path: path.into(), problem })
}

fn checksum(header: &[u8], payload: &[u8]) -> [u8; CHECKSUM] {
    Sha256::new().chain_update(header).chain_update(payload).finalize().into()
}

fn length(expected: usize, file: &[u8]) -> EnvelopeProblem {
    EnvelopeProblem::Length { expected: expected as u64, found: file.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "test", version: 3 };

    #[test]
    fn bytes_are_pinned() {
        let file = seal(KIND, &(7u32, "ab", [1.5f64])).unwrap();
        assert_eq!(file[..20], *b"MOE\x1atest\0\0\0\0\0\0\0\0\x03\0\0\0");
        assert_eq!(file[20], size_of::<Real>() as u8);
        assert_eq!(file[24..32], [12, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(file[64..], *b"\x07\x02ab\0\0\0\0\0\0\xf8\x3f");
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed() {
        let file = seal(KIND, &vec![1.0 as Real; 3]).unwrap();
        assert_eq!(open::<Vec<Real>>(KIND, &file).unwrap(), [1.0; 3]);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(open::<Vec<Real>>(KIND, &damaged).is_err(), "byte {at}");
            assert!(open::<Vec<Real>>(KIND, &file[..at]).is_err(), "cut at {at}");
        }
        let longer = [file.as_slice(), &[0]].concat();
        assert!(matches!(open::<Vec<Real>>(KIND, &longer), Err(EnvelopeProblem::Length { .. })));
    }

    /// A text of any length that the payload claims, with the checksum of such a payload.
    #[test]
    fn a_length_inside_cannot_claim_more_than_the_payload_has() {
        for length in [16, 4096, u64::from(u32::MAX), 1 << 35, u64::MAX] {
            let mut file = seal(KIND, &(length, "abc")).unwrap();
            // The number, without the length of the text after it, is the length of a text.
            let payload = file.split_off(HEADER + CHECKSUM);
            file.truncate(HEADER);
            file[24] = payload.len() as u8;
            let sum = checksum(&file, &payload);
            file.extend(sum);
            file.extend(payload);
            let error = open::<String>(KIND, &file).unwrap_err().to_string();
            let refused = if length > 16 { "LimitExceeded" } else { "UnexpectedEnd" };
            assert!(error.contains(refused), "{length}: {error}");
        }
        // Numbers that take one byte each, and eight in memory.
        let many = vec![1u64; 10_000];
        assert_eq!(open::<Vec<u64>>(KIND, &seal(KIND, &many).unwrap()).unwrap(), many);
    }

    #[test]
    fn another_kind_version_or_precision_is_named() {
        let file = seal(KIND, &1u8).unwrap();
        let other = open::<u8>(Kind { version: 4, ..KIND }, &file).unwrap_err().to_string();
        assert_eq!(other, "holds \"test\" version 3, not \"test\" version 4");
        let mut precision = file;
        precision[20] = 12 - size_of::<Real>() as u8;
        let error = open::<u8>(KIND, &precision).unwrap_err().to_string();
        assert!(error.contains("this build works with"), "{error}");
    }
}
