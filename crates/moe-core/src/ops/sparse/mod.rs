//! Operators on (row, expert) pairs and slots. Their cost follows the number of pairs, not B times N.

mod combine;
mod csr_softmax;
mod gather_assigned;
mod gather_slots;
mod grouped_linear;

pub use gather_slots::gather_slots;
pub use grouped_linear::grouped_affine;
