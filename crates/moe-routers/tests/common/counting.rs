//! An allocator that counts on all threads, and the allocations of routing at inference.
#![allow(unsafe_code)]
#![allow(dead_code)] // each suite uses its part

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use moe_core::Pass;
use moe_core::random::{chacha, uniform};
use moe_core::tape::Tape;
use moe_routers::GateSet;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting on all threads.
struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations so far.
pub(crate) fn so_far() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Allocations of ten routings at inference of `rows` rows of width `inputs`, after a first one.
pub(crate) fn allocations(gates: &dyn GateSet, mut tape: Tape, inputs: usize, rows: usize) -> u64 {
    let mut x = uniform([rows, inputs], 1.0, &mut chacha(1, "rows", 0));
    let mut keys: Vec<u64> = (0..rows as u64).collect();
    let groups: Vec<u32> = (0..rows as u32).collect();
    let mut before = 0;
    for call in 0..11 {
        if call == 1 {
            before = so_far();
        }
        let pass = Pass { groups: Some(&groups), ..Pass::of_keys(&keys) };
        drop(gates.route(&pass, tape.constant(x.clone())));
        tape.clear();
        // Other rows.
        keys.iter_mut().for_each(|key| *key += 1);
        x.as_mut_slice().rotate_right(1);
    }
    so_far() - before
}
