//! SHA-256 sums of files and of bytes.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 of everything that `from` yields.
///
/// # Errors
/// If reading fails.
pub fn sha256_of(mut from: impl Read) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(count) => hasher.update(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
///
/// ```
/// use moe_core::checksum::{hex, sha256, sha256_of};
///
/// assert_eq!(hex(&[0x00, 0x1f, 0xa0]), "001fa0");
/// assert!(hex(&sha256(b"abc")).starts_with("ba7816bf"));
/// assert_eq!(sha256_of(&b"abc"[..])?, sha256(b"abc"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
