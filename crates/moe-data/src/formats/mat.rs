//! Variables of MATLAB files of version 5 (7 if compressed): numeric arrays of whole numbers from 0 to 255, as `uint8` or
//! stored as any other kind of number. Little-endian only; version 7.3, which is HDF5, is not read.
//!
//! After a header of 128 bytes come elements: kind and length (4 bytes each), content. A compressed element holds one
//! element in a zlib stream. An element of a matrix holds elements itself, each filled up to 8 bytes: flags with the
//! class of the array, its sizes, its name, its values in the order of columns (the first axis runs fastest). A short
//! element has kind and length in 2 bytes each and its content in the next 4.

use std::fs;
use std::path::Path;

use crate::error::DataError;
use crate::formats::binary::Binary;
use crate::formats::unpack::unreadable;

const HEADER: u64 = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// The kind of unsigned bytes.
const BYTES: u32 = 2;
/// The most bytes of a list of sizes and of a name.
const MOST_HEAD: u64 = 256;
/// The most values: twice the largest file of SVHN.
const MOST: u64 = 1 << 32;

/// A variable whose values are read in order.
pub(crate) struct Variable {
    file: Binary,
    sizes: Vec<usize>,
    kind: u32,
    number: Number,
}

impl Variable {
    /// The variable `name` of a file.
    ///
    /// # Errors
    /// If the file is not a MAT file of version 5, or has no numeric variable of this name.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, DataError> {
        let length = fs::metadata(path).map_err(unreadable(path))?.len();
        let mut file = Binary::section(path, 0, HEADER, false)?;
        let header = file.bytes(HEADER)?;
        if header[124..] != *b"\0\x01IM" {
            let begins = String::from_utf8_lossy(&header[..19]);
            let problem = format!("not a MAT file of version 5: it begins {begins:?}");
            return Err(file.corrupt(problem, "version 5 or 7, little-endian"));
        }
        let (mut place, mut seen) = (HEADER, Vec::new());
        while place < length {
            let tag = Tag::read(&mut Binary::section(path, place, 8, false)?)?;
            place += 8;
            let mut element = Binary::section(path, place, tag.bytes, tag.kind == COMPRESSED)?;
            let kind = match tag.kind {
                COMPRESSED => Tag::read(&mut element)?.kind,
                kind => kind,
            };
            if let Some(head) = Head::read(&mut element, kind)? {
                if head.name == name.as_bytes() {
                    return Variable::new(element, head.sizes);
                }
                seen.push(String::from_utf8_lossy(&head.name).into_owned());
            }
            place += tag.bytes;
        }
        let problem = format!("no numeric variable {name:?}, but {seen:?}");
        Err(Binary::section(path, length, 0, false)?.corrupt(problem, format!("a variable {name}")))
    }

    /// The variable of an element whose head has been read.
    fn new(mut file: Binary, sizes: Vec<usize>) -> Result<Self, DataError> {
        let tag = Tag::read(&mut file)?;
        let Some(number) = Number::of(tag.kind) else {
            let problem = format!("values of kind {}", tag.kind);
            return Err(file.corrupt(problem, "numbers (kinds 1 to 7, 9, 12, 13)"));
        };
        let count = sizes.iter().try_fold(1, |count: u64, &size| count.checked_mul(size as u64));
        match count.filter(|&count| count <= MOST) {
            Some(count) if count * number.bytes as u64 == tag.bytes => {}
            _ => {
                let problem = format!("{} bytes of values for the sizes {sizes:?}", tag.bytes);
                let allowed = format!("{} bytes each, at most {MOST} values", number.bytes);
                return Err(file.corrupt(problem, allowed));
            }
        }
        if let Some(content) = tag.short {
            file = file.after(content[..tag.bytes as usize].to_vec());
        }
        Ok(Variable { file, sizes, kind: tag.kind, number })
    }

    /// The sizes of its axes, at least two.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Fills `out` with the next values.
    ///
    /// # Errors
    /// If the file ends too early, or a value is not a whole number from 0 to 255.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<(), DataError> {
        if self.kind == BYTES {
            return self.file.fill(out);
        }
        const STEP: usize = 512;
        let mut bytes = vec![0; STEP * self.number.bytes];
        for out in out.chunks_mut(STEP) {
            let bytes = &mut bytes[..out.len() * self.number.bytes];
            self.file.fill(bytes)?;
            for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(self.number.bytes)) {
                let value = (self.number.value)(bytes);
                *out = value as u8;
                if f64::from(*out) != value {
                    let allowed = "a whole number from 0 to 255";
                    return Err(self.file.corrupt(format!("a value {value}"), allowed));
                }
            }
        }
        Ok(())
    }

    /// All values. Memory grows with what the file holds.
    pub(crate) fn all(&mut self) -> Result<Vec<u8>, DataError> {
        const STEP: usize = 1 << 16;
        let count = self.sizes.iter().product();
        let mut values = Vec::new();
        while values.len() < count {
            let start = values.len();
            values.resize(count.min(start + STEP), 0);
            self.fill(&mut values[start..])?;
        }
        Ok(values)
    }

    /// The error that there is a problem with the variable.
    pub(crate) fn wrong(&self, problem: String, allowed: impl Into<String>) -> DataError {
        self.file.corrupt(problem, allowed)
    }
}

/// The `count` labels from 1 to 10 that a variable holds.
///
/// # Errors
/// If the variable has a different number of values, or another value.
pub(crate) fn labels(path: &Path, name: &str, count: usize) -> Result<Vec<u8>, DataError> {
    let mut variable = Variable::open(path, name)?;
    let sizes = &variable.sizes;
    if !matches!(sizes[..], [rows, 1] | [1, rows] if rows == count) {
        let problem = format!("{name} has the sizes {sizes:?}");
        return Err(variable.wrong(problem, format!("[{count}, 1], one per picture")));
    }
    let labels = variable.all()?;
    match labels.iter().position(|label| !(1..=10).contains(label)) {
        Some(row) => {
            let problem = format!("{name}({}) = {}", row + 1, labels[row]);
            Err(variable.wrong(problem, "1 to 10"))
        }
        None => Ok(labels),
    }
}

/// Name and sizes of the numeric array in an element.
struct Head {
    name: Vec<u8>,
    sizes: Vec<usize>,
}

impl Head {
    /// `None` if the element is not a numeric array.
    fn read(element: &mut Binary, kind: u32) -> Result<Option<Self>, DataError> {
        if kind != MATRIX {
            return Ok(None);
        }
        let flags = content(element)?;
        let [class, flags] = [0, 1].map(|place| flags.get(place).copied().unwrap_or_default());
        const COMPLEX: u8 = 8;
        let numeric = (6..=15).contains(&class) && flags & COMPLEX == 0;
        if !numeric {
            return Ok(None);
        }
        let sizes = content(element)?;
        let sizes: Vec<usize> =
            sizes.as_chunks().0.iter().map(|&size| u32::from_le_bytes(size) as usize).collect();
        if sizes.len() < 2 {
            return Err(element.corrupt(format!("an array of {} axes", sizes.len()), "2 or more"));
        }
        Ok(Some(Head { name: content(element)?, sizes }))
    }
}

/// The content of the next element, a small one, without its padding.
fn content(file: &mut Binary) -> Result<Vec<u8>, DataError> {
    let tag = Tag::read(file)?;
    if let Some(content) = tag.short {
        return Ok(content[..tag.bytes as usize].to_vec());
    }
    if tag.bytes > MOST_HEAD {
        let problem = format!("{} bytes of flags, sizes or name", tag.bytes);
        return Err(file.corrupt(problem, format!("at most {MOST_HEAD}")));
    }
    let content = file.bytes(tag.bytes)?;
    file.bytes(tag.bytes.next_multiple_of(8) - tag.bytes)?;
    Ok(content)
}

/// The head of an element: its kind, its length, and its content if that is in the head.
struct Tag {
    kind: u32,
    bytes: u64,
    short: Option<[u8; 4]>,
}

impl Tag {
    fn read(file: &mut Binary) -> Result<Self, DataError> {
        let first = u32::from_le_bytes(file.array()?);
        let second: [u8; 4] = file.array()?;
        let bytes = first >> 16;
        if bytes > 4 {
            let problem = format!("a short element of {bytes} bytes");
            return Err(file.corrupt(problem, "at most 4"));
        }
        Ok(match bytes {
            0 => Tag { kind: first, bytes: u32::from_le_bytes(second).into(), short: None },
            bytes => Tag { kind: first & 0xffff, bytes: bytes.into(), short: Some(second) },
        })
    }
}

/// The encoding of a value.
struct Number {
    bytes: usize,
    value: fn(&[u8]) -> f64,
}

impl Number {
    fn of(kind: u32) -> Option<Self> {
        fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.try_into().unwrap_or([0; N])
        }
        let number = |bytes, value| Number { bytes, value };
        Some(match kind {
            1 => number(1, |b| i8::from_le_bytes(word(b)).into()),
            BYTES => number(1, |b| u8::from_le_bytes(word(b)).into()),
            3 => number(2, |b| i16::from_le_bytes(word(b)).into()),
            4 => number(2, |b| u16::from_le_bytes(word(b)).into()),
            5 => number(4, |b| i32::from_le_bytes(word(b)).into()),
            6 => number(4, |b| u32::from_le_bytes(word(b)).into()),
            7 => number(4, |b| f32::from_le_bytes(word(b)).into()),
            9 => number(8, |b| f64::from_le_bytes(word(b))),
            12 => number(8, |b| i64::from_le_bytes(word(b)) as f64),
            13 => number(8, |b| u64::from_le_bytes(word(b)) as f64),
            _ => return None,
        })
    }
}
