//! Buffers that return to a pool when they are dropped.
//!
//! A training step needs the same buffers again and again. Fresh buffers would return to the system and be fetched again, page by
//! page; so large buffers are kept by size class and reused. After the first steps, a training step allocates no large buffer.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::real::Real;

/// Buffers up to this size in bytes are not pooled.
const SMALL: usize = 4096;

/// Elements of large buffers begin at a multiple of this number of bytes, a cache line: a register that straddles two lines costs
/// two accesses.
const ALIGNMENT: usize = 64;

/// Exponents of size classes are below this: the elements of a pooled buffer are rounded up to a power of two.
const CLASSES: usize = 40;

/// Pooled buffers of one element type, by the exponent of their size.
#[derive(Debug)]
pub struct Pool<T> {
    classes: [Mutex<Vec<Vec<T>>>; CLASSES],
}

impl<T> Pool<T> {
    const fn new() -> Self {
        Pool { classes: [const { Mutex::new(Vec::new()) }; CLASSES] }
    }

    fn class(&self, exponent: usize) -> std::sync::MutexGuard<'_, Vec<Vec<T>>> {
        // A list of buffers is whole also if a thread panicked while it held the lock.
        self.classes[exponent].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Element types that have a pool.
pub trait Pooled: Copy + Default + Send + 'static {
    /// The pool of the process.
    fn pool() -> &'static Pool<Self>;
}

impl Pooled for Real {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<Real> = Pool::new();
        &POOL
    }
}

impl Pooled for u32 {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<u32> = Pool::new();
        &POOL
    }
}

impl Pooled for u64 {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<u64> = Pool::new();
        &POOL
    }
}

/// A slice with an owner: a `Vec` of fixed length that returns to its pool when it is dropped.
pub struct Buffer<T: Pooled> {
    /// The elements. For a pooled buffer their number is the power of two of its class plus a margin for alignment.
    data: Vec<T>,
    /// Position of the first element in `data`.
    start: usize,
    len: usize,
    /// The class in its pool, if it is pooled.
    exponent: Option<usize>,
}

impl<T: Pooled> Buffer<T> {
    /// `len` elements of unspecified value: zeros, or the values of an earlier buffer.
    pub fn unspecified(len: usize) -> Self {
        if len * size_of::<T>() <= SMALL {
            return Buffer { data: vec![T::default(); len], start: 0, len, exponent: None };
        }
        let exponent = len.next_power_of_two().trailing_zeros() as usize;
        let kept = T::pool().class(exponent).pop();
        let margin = ALIGNMENT / size_of::<T>();
        let data = kept.unwrap_or_else(|| vec![T::default(); (1 << exponent) + margin]);
        let start = data.as_ptr().align_offset(ALIGNMENT).min(margin);
        Buffer { data, start, len, exponent: Some(exponent) }
    }

    /// `len` elements equal to `value`.
    pub fn filled(len: usize, value: T) -> Self {
        let mut buffer = Self::unspecified(len);
        buffer.fill(value);
        buffer
    }

    /// A copy of a slice.
    pub fn copy_of(slice: &[T]) -> Self {
        let mut buffer = Self::unspecified(slice.len());
        buffer.copy_from_slice(slice);
        buffer
    }

    /// Changes the length to `len` elements of unspecified value, in place if they fit. Otherwise it takes memory for the next power
    /// of two, so that lengths that vary a little soon fit.
    pub fn resize(&mut self, len: usize) {
        let room = self.exponent.map_or(self.data.len(), |exponent| 1 << exponent);
        if len > room {
            *self = Buffer::unspecified(len.next_power_of_two());
        }
        self.len = len;
    }

    /// Drops the elements from `len` on.
    ///
    /// # Panics
    /// If there are fewer than `len` elements.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "cannot truncate {} elements to {len}", self.len);
        self.len = len;
    }
}

/// Takes over the vector, whose memory does not enter the pool.
impl<T: Pooled> From<Vec<T>> for Buffer<T> {
    fn from(data: Vec<T>) -> Self {
        Buffer { start: 0, len: data.len(), data, exponent: None }
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(exponent) = self.exponent {
            T::pool().class(exponent).push(std::mem::take(&mut self.data));
        }
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..][..self.len]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..][..self.len]
    }
}

impl<T: Pooled> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl<T: Pooled + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pooled + Eq> Eq for Buffer<T> {}

impl<T: Pooled + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_used_again() {
        // A class that no other test uses.
        let len = (1 << 21) - 5;
        let first = Buffer::<u64>::filled(len, 7);
        let address = first.as_ptr();
        drop(first);
        let second = Buffer::<u64>::unspecified(len - 1);
        assert_eq!((second.as_ptr(), second.len()), (address, len - 1));
        assert_eq!(Buffer::<u64>::filled(len, 9)[len - 1], 9);
        assert_eq!(second[0], 7);
    }

    #[test]
    fn a_vector_taken_over_does_not_enter_the_pool() {
        drop(Buffer::from(vec![1u64; 1 << 22]));
        assert!(u64::pool().class(22).is_empty());
    }

    #[test]
    fn equality_and_clones_see_the_elements_only() {
        let mut long = Buffer::<u32>::filled(5000, 3);
        long.truncate(2);
        assert_eq!(long, Buffer::from(vec![3, 3]));
        assert_eq!(long.clone().len(), 2);
    }
}
