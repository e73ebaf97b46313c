//! The only module with `unsafe` code: the micro-kernels behind the GEMM entry point, and loops compiled for each
//! instruction set. In reading order:
//!
//! * `lanes.rs`, `x86.rs`: vector registers. `wide.rs`: plain loops compiled for wide registers.
//! * `pack.rs`: factors copied in the order in which tiles read them. `prefetch.rs`: factors requested before they are needed.
//! * `tile.rs`: a tile of the result in registers. `row.rs`, `panels.rs`: the loops over tiles, of one row and of several.
//! * `nonzeros.rs`, `sparse.rs`: products that skip zeros. `scratch.rs`: room for copies.
//! * `multiply.rs`: the choice between all of these.
#![allow(unsafe_code)]

mod lanes;
pub(super) mod multiply;
mod nonzeros;
pub(super) mod pack;
mod panels;
mod prefetch;
mod row;
mod scratch;
mod sparse;
#[cfg(test)]
mod tests;
mod tile;
pub(crate) mod wide;
#[cfg(target_arch = "x86_64")]
mod x86;
