//! A router of one's own, outside the crates of the workspace: [`TopP`] in `router.rs`. The program beside it
//! (`main.rs`) is the whole `moe` command with this router registered.

mod router;

pub use router::TopP;
