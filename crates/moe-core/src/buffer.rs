//! Buffers that return to a pool when they are dropped.
//!
//! A training step needs the same buffers again and again. Fresh buffers would return to the system and be fetched again, page by
//! page; so large buffers are kept by size class and reused, in one pool for the process. Small buffers are kept by the thread that
//! drops them. After the first steps, a training step allocates no large buffer, and inference allocates none at all.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::thread::LocalKey;

use crate::real::Real;

/// Buffers up to this size in bytes are small.
const SMALL: usize = 4096;

/// Elements of large buffers begin at a multiple of this number of bytes, a cache line: a register that straddles two lines costs
/// two accesses.
const ALIGNMENT: usize = 64;

/// Exponents of size classes are below this: the elements of a pooled buffer are rounded up to a power of two.
const CLASSES: usize = 40;

/// Exponents of the size classes of small buffers are below this.
const SMALL_CLASSES: usize = SMALL.trailing_zeros() as usize + 1;

/// The smallest size class has two to the power of this many elements, so that a number of experts per row that varies does not ask
/// for ever other classes.
const SMALLEST: usize = 6;

/// A thread keeps at most this many small buffers of a size class, so that one that only drops buffers does not collect them.
const MOST_SPARES: usize = 128;

/// Large buffers of one element type, by the exponent of their size.
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

/// Small buffers of one element type that a thread keeps.
#[derive(Debug)]
pub struct Spares<T: Pooled> {
    /// By the exponent of their size.
    classes: [Vec<Vec<T>>; SMALL_CLASSES],
    /// Memory of shared buffers, empty ones.
    shared: Vec<Arc<Buffer<T>>>,
}

impl<T: Pooled> Spares<T> {
    const fn new() -> RefCell<Self> {
        RefCell::new(Spares { classes: [const { Vec::new() }; SMALL_CLASSES], shared: Vec::new() })
    }
}

/// Calls `f` with the spares of the thread; `None` once they are gone, as the thread ends.
fn with_spares<T: Pooled, R>(f: impl FnOnce(&mut Spares<T>) -> R) -> Option<R> {
    T::spares().try_with(|spares| f(&mut spares.borrow_mut())).ok()
}

/// Keeps a spare unless there are enough, and returns it then.
fn keep<S>(spares: &mut Vec<S>, spare: S) -> Option<S> {
    if spares.len() >= MOST_SPARES {
        return Some(spare);
    }
    spares.push(spare);
    None
}

/// Element types that have a pool.
pub trait Pooled: Copy + Default + Send + 'static {
    /// The pool of the process.
    fn pool() -> &'static Pool<Self>;

    /// The spares of the thread.
    fn spares() -> &'static LocalKey<RefCell<Spares<Self>>>;
}

impl Pooled for Real {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<Real> = Pool::new();
        &POOL
    }

    fn spares() -> &'static LocalKey<RefCell<Spares<Self>>> {
        thread_local!(static SPARES: RefCell<Spares<Real>> = const { Spares::new() });
        &SPARES
    }
}

impl Pooled for u32 {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<u32> = Pool::new();
        &POOL
    }

    fn spares() -> &'static LocalKey<RefCell<Spares<Self>>> {
        thread_local!(static SPARES: RefCell<Spares<u32>> = const { Spares::new() });
        &SPARES
    }
}

impl Pooled for u64 {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<u64> = Pool::new();
        &POOL
    }

    fn spares() -> &'static LocalKey<RefCell<Spares<Self>>> {
        thread_local!(static SPARES: RefCell<Spares<u64>> = const { Spares::new() });
        &SPARES
    }
}

/// A slice with an owner: a `Vec` of fixed length that returns to its pool when it is dropped.
pub struct Buffer<T: Pooled> {
    /// The elements. For a pooled buffer their number is the power of two of its class plus a margin for alignment.
    data: Vec<T>,
    /// Position of the first element in `data`.
    start: usize,
    len: usize,
    /// Its size class, if it is kept when it is dropped.
    exponent: Option<usize>,
}

impl<T: Pooled> Buffer<T> {
    /// `len` elements of unspecified value: zeros, or the values of an earlier buffer.
    pub fn unspecified(len: usize) -> Self {
        if len == 0 {
            return Buffer::from(Vec::new());
        }
        let exponent = (len.next_power_of_two().trailing_zeros() as usize).max(SMALLEST);
        if len * size_of::<T>() <= SMALL {
            let kept = with_spares(|spares| spares.classes[exponent].pop()).flatten();
            let data = kept.unwrap_or_else(|| vec![T::default(); 1 << exponent]);
            return Buffer { data, start: 0, len, exponent: Some(exponent) };
        }
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
        let Some(exponent) = self.exponent else { return };
        let data = std::mem::take(&mut self.data);
        if size_of::<T>() << exponent <= SMALL {
            with_spares(|spares| keep(&mut spares.classes[exponent], data));
        } else {
            T::pool().class(exponent).push(data);
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

/// A buffer with several owners. The last one to drop it returns the buffer to its pool, and the memory of the count of
/// owners to the thread.
pub(crate) struct Shared<T: Pooled>(
    /// Absent only while it is dropped.
    Option<Arc<Buffer<T>>>,
);

impl<T: Pooled> Shared<T> {
    /// The only owner of a buffer.
    pub(crate) fn new(buffer: Buffer<T>) -> Self {
        let spare = with_spares(|spares: &mut Spares<T>| spares.shared.pop()).flatten();
        let Some(mut shared) = spare else { return Shared(Some(Arc::new(buffer))) };
        *Arc::get_mut(&mut shared).expect("a spare has one owner") = buffer;
        Shared(Some(shared))
    }

    /// The buffer, writable, if there is no other owner.
    pub(crate) fn get_mut(&mut self) -> Option<&mut Buffer<T>> {
        self.0.as_mut().and_then(Arc::get_mut)
    }

    /// The buffer, writable; copies it first if there is another owner.
    pub(crate) fn make_mut(&mut self) -> &mut Buffer<T> {
        if self.get_mut().is_none() {
            *self = Shared::new((**self).clone());
        }
        self.get_mut().expect("it has one owner")
    }
}

impl<T: Pooled> Drop for Shared<T> {
    fn drop(&mut self) {
        let Some(mut shared) = self.0.take() else { return };
        let Some(buffer) = Arc::get_mut(&mut shared) else { return };
        drop(std::mem::replace(buffer, Buffer::from(Vec::new())));
        with_spares(|spares| keep(&mut spares.shared, shared));
    }
}

impl<T: Pooled> Deref for Shared<T> {
    type Target = Buffer<T>;
    fn deref(&self) -> &Buffer<T> {
        self.0.as_ref().expect("it has an owner")
    }
}

impl<T: Pooled> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T: Pooled + PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pooled + Eq> Eq for Shared<T> {}

impl<T: Pooled + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_is_used_again_by_its_thread() {
        let address = Buffer::<u64>::filled(100, 7).as_ptr();
        let again = Buffer::<u64>::unspecified(128);
        assert_eq!((again.as_ptr(), again[99]), (address, 7));
    }

    #[test]
    fn a_thread_keeps_a_limited_number_of_small_buffers() {
        drop((0..2 * MOST_SPARES).map(|_| Buffer::<u64>::filled(3, 1)).collect::<Vec<_>>());
        let kept = with_spares(|spares: &mut Spares<u64>| spares.classes[SMALLEST].len());
        assert_eq!(kept, Some(MOST_SPARES));
    }

    #[test]
    fn the_last_owner_returns_the_buffer() {
        let first = Shared::new(Buffer::<u64>::filled(1000, 7));
        let (address, count) = (first.as_ptr(), first.0.as_ref().map(Arc::as_ptr));
        let mut second = first.clone();
        assert!(second.get_mut().is_none());
        drop(first);
        assert_eq!(second.get_mut().map(|buffer| buffer.as_ptr()), Some(address));
        drop(second);
        let again = Shared::new(Buffer::<u64>::unspecified(600));
        assert_eq!((again.as_ptr(), again.0.as_ref().map(Arc::as_ptr)), (address, count));
    }

    #[test]
    fn writing_to_a_shared_buffer_copies_it() {
        let first = Shared::new(Buffer::<u64>::filled(3, 7));
        let mut second = first.clone();
        second.make_mut()[0] = 1;
        assert_eq!((&first[..], &second[..]), (&[7, 7, 7][..], &[1, 7, 7][..]));
        let address = second.as_ptr();
        assert_eq!(second.make_mut().as_ptr(), address);
    }

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
