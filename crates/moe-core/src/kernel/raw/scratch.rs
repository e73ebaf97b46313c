//! Room for what is copied of factors, one for each thread.

use std::cell::RefCell;

use crate::buffer::Buffer;
use crate::kernel::geometry::{
    INNER_BLOCK, LIST_ROOM, MOST_COLUMNS, MOST_ROWS, MOST_STRIP, PANELS,
};
use crate::real::Real;

use super::nonzeros::Nonzeros;

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// Room for the copies that one product needs.
pub(super) struct Scratch {
    /// Packed panels, tiles of `c` that are narrower than a panel, and packed strips.
    pub(super) values: Buffer<Real>,
    pub(super) nonzeros: Nonzeros,
}

/// Calls `f` with the room of this thread.
pub(super) fn with_scratch(f: impl FnOnce(&mut Scratch)) {
    SCRATCH.with_borrow_mut(|scratch| f(scratch.get_or_insert_with(Scratch::new)));
}

impl Scratch {
    fn new() -> Self {
        let strips = (MOST_ROWS + MOST_STRIP) * INNER_BLOCK;
        let size = (PANELS * INNER_BLOCK + MOST_ROWS) * MOST_COLUMNS + strips;
        Scratch { values: Buffer::unspecified(size), nonzeros: Nonzeros::with_room(LIST_ROOM) }
    }
}
