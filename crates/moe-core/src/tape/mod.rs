//! Reverse-mode differentiation.
//!
//! A [`Tape`] records operators while they are computed; a [`Var`] is a small copyable handle to one of its values.
//! [`Tape::backward`] walks the record in reverse and returns the [`Gradients`] as a value.
//!
//! An operator is anything that implements [`Operator`]: the built-in operators of [`crate::ops`] and those of other crates are
//! recorded the same way, by [`Tape::apply`]. Blocks of rows that are computed in parallel have their own tapes and are one
//! operator of the outer tape: [`Var::map_row_blocks`].

mod backward;
pub(crate) mod gradient;
pub(crate) mod gradients;
mod map_each;
pub(crate) mod operator;
mod row_blocks;
mod sub_tape;
pub(crate) mod tape;

pub use gradient::{Gradient, RowGradient};
pub use gradients::Gradients;
pub use operator::{Backward, InputGradients, Operator};
pub use tape::{Mark, Tape, Var, Vars};
