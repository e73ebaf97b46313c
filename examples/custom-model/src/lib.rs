//! Your own model, outside the crates of the workspace: [`Stack`] in `stack.rs`. The program beside it (`main.rs`) is the
//! whole `moe` command with this model.

mod stack;

pub use stack::{Stack, entry};
