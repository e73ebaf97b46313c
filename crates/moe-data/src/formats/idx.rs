//! IDX, the format of MNIST: big-endian `0, 0, type, rank`, the sizes of the axes, then the values; plain or gzip.

use std::path::Path;

use crate::error::DataError;
use crate::formats::binary::Binary;

/// The type of unsigned bytes.
const BYTES: u8 = 8;
/// The most values: several times those of MNIST.
const MOST: u64 = 1 << 30;

/// A file of unsigned bytes whose header was read.
pub(crate) struct Idx<const N: usize> {
    /// The sizes of the `N` axes.
    pub(crate) sizes: [usize; N],
    file: Binary,
    count: u64,
}

/// The header of a file of unsigned bytes with `N` axes.
///
/// # Errors
/// If it is not such a file.
pub(crate) fn open<const N: usize>(path: &Path) -> Result<Idx<N>, DataError> {
    let mut file = Binary::open(path)?;
    let magic = file.array()?;
    let wanted = [0, 0, BYTES, N as u8];
    if magic != wanted {
        let [found, wanted] = [magic, wanted].map(u32::from_be_bytes);
        let allowed = format!("{wanted} (unsigned bytes, {N} axes)");
        return Err(file.corrupt(format!("the magic number is {found}"), allowed));
    }
    let mut sizes = [0; N];
    let mut count = Some(1);
    for size in &mut sizes {
        let words = u32::from_be_bytes(file.array()?);
        count = count.and_then(|count: u64| count.checked_mul(words.into()));
        *size = words as usize;
    }
    let Some(count) = count.filter(|&count| count <= MOST) else {
        let problem = format!("the header promises {sizes:?} values");
        return Err(file.corrupt(problem, format!("at most {MOST}")));
    };
    Ok(Idx { sizes, file, count })
}

impl<const N: usize> Idx<N> {
    /// The values.
    ///
    /// # Errors
    /// If the length of the file does not match its sizes.
    pub(crate) fn values(mut self) -> Result<Vec<u8>, DataError> {
        let values = self.file.bytes(self.count)?;
        self.file.end()?;
        Ok(values)
    }
}
