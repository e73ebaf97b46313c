//! Your own router, outside the crates of the workspace: [`TopP`] in `router.rs`. The program beside it (`main.rs`) is
//! the whole `moe` command with this router registered. `docs/write-your-own-router.md` explains both.

mod router;

pub use router::TopP;

/// Runs the code of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/write-your-own-router.md")]
struct Guide;
