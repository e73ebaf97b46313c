//! The page of `moe report`: one HTML file that loads nothing.
//!
//! `source.rs` reads what a page is about, `sections/` has a file per section, each made of blocks, plots and what is missing
//! ([`section`]), and `page.rs` lays them out. `plot/` draws. The other formats of `moe report` write the blocks alone.

mod markup;
pub(crate) mod page;
mod plot;
pub(crate) mod section;
mod sections;
pub(crate) mod source;
