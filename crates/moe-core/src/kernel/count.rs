//! The count of multiply-adds, by which tests tell that work follows the number of slots.

use std::cell::Cell;

thread_local! {
    static MULTIPLY_ADDS: Cell<u64> = const { Cell::new(0) };
}

/// Multiply-adds issued by this thread so far.
///
/// A product counts for the thread that called the GEMM entry point, also when other threads compute it.
pub fn multiply_adds() -> u64 {
    MULTIPLY_ADDS.get()
}

pub(super) fn count_multiply_adds(work: u64) {
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get() + work);
}

/// Returns the result of `f` and the multiply-adds that it issued, which do not count for this thread.
pub(super) fn with_multiply_adds<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = MULTIPLY_ADDS.get();
    let result = f();
    (result, MULTIPLY_ADDS.replace(before) - before)
}
