//! The sizes that the kernel is built from, and the reason for each. `README.md` in this folder draws the loops that they
//! bound; the measurements behind them are listed there.
//!
//! Two kinds of sizes stand elsewhere. Leaves and chains of sums decide the bits of a sum and are in `reduce.rs`. Widths of
//! registers belong to the instruction sets (`raw/lanes.rs`, `raw/x86.rs`). No size in this file changes a bit of a result,
//! except on processors whose large products matrixmultiply computes ([`LARGE`]).

use crate::real::Real;

// Tiles: the part of `c` that is held in registers.

/// Rows of a tile, and so of a strip of `a`. With [`PORTABLE_VECTORS`] registers a row, eight chains of sums in registers.
pub(super) const PORTABLE_ROWS: usize = 4;
/// Registers of a row of a tile, and so of a panel of `b`.
pub(super) const PORTABLE_VECTORS: usize = 2;
/// Registers of a tile of a single row.
pub(super) const PORTABLE_WIDE: usize = 4;

/// 6 rows by 2 registers: 12 sums, 2 registers of `b` and a broadcast number of `a` fill the 16 registers of AVX2.
#[cfg(target_arch = "x86_64")]
pub(super) const AVX2_ROWS: usize = 6;
/// See [`AVX2_ROWS`].
#[cfg(target_arch = "x86_64")]
pub(super) const AVX2_VECTORS: usize = 2;
/// The tiles of a single row: eight chains hide the latency of a multiply-add, and whole tiles of 64 columns fill most widths.
#[cfg(target_arch = "x86_64")]
pub(super) const AVX2_WIDE: usize = 8;
/// Steps of the inner dimension between two branches: a step has 12 multiply-adds, too few to hide a branch.
#[cfg(target_arch = "x86_64")]
pub(super) const AVX2_UNROLLED: usize = 4;

/// 8 rows by 3 registers (48 columns in single precision): 24 sums, 3 registers of `b` and a broadcast number of `a`, of the
/// 32 registers of AVX-512. 12 by 2, 9 by 3, 6 by 4 and 14 by 2 were not faster.
#[cfg(target_arch = "x86_64")]
pub(super) const AVX512_ROWS: usize = 8;
/// See [`AVX512_ROWS`].
#[cfg(target_arch = "x86_64")]
pub(super) const AVX512_VECTORS: usize = 3;
/// As [`AVX2_WIDE`]: 16 chains hide the latency of a multiply-add.
#[cfg(target_arch = "x86_64")]
pub(super) const AVX512_WIDE: usize = 16;

/// Steps of the inner dimension for which the tiles of a single row are computed one after the other, so that `b` is read from
/// memory along whole rows: 16 rows of 256 columns take 16 KiB and stay in the first-level cache.
pub(super) const WIDE_BLOCK: usize = 16;

/// Steps of the inner dimension between two prefetch requests of a tile.
pub(super) const STEPS: usize = 16;

// Blocks: what is copied, and which cache it stays in.

/// Steps of the inner dimension for which factors are copied: a panel of 256 rows and 16 (AVX2) or 48 (AVX-512) columns
/// takes 16 or 48 KiB, about the first-level cache.
pub(super) const INNER_BLOCK: usize = 256;

/// Most rows of `c` in one call: strips of 512 rows by [`INNER_BLOCK`] columns take half a megabyte and stay in the
/// second-level cache.
pub(super) const MOST_ROWS: usize = 512;

/// Panels that are computed together, strip by strip. Rows of `b` are copied 96 (AVX2) or 288 (AVX-512) columns at a time, so
/// that memory is read along its lines; with the strips the panels take less than a megabyte.
pub(super) const PANELS: usize = 6;

/// Columns of the widest panel of any instruction set: three registers of 64 bytes.
pub(super) const MOST_COLUMNS: usize = 192 / size_of::<Real>();

/// Rows of the highest strip of any instruction set.
pub(super) const MOST_STRIP: usize = 8;

/// With fewer strips of rows of `c`, copying the factors costs more than it saves.
pub(super) const FEW_STRIPS: usize = 4;

/// Rows and columns of a square that is transposed in registers while factors are copied.
pub(super) const SQUARE: usize = 8;

/// Elements of `b` from which on matrixmultiply computes the product on a processor that only the portable kernel runs on:
/// it has kernels for other processors.
pub(super) const LARGE: usize = 1 << 18;

// Prefetching.

/// Numbers of a cache line.
pub(super) const LINE: usize = 64 / size_of::<Real>();

/// Most lines of a prefetch request: requests take the same places as the loads that the present tile waits for.
pub(super) const MOST_LINES: usize = 16;

// Products that skip zeros.

/// Registers of the widest panel: as many chains as hide the latency of a multiply-add.
pub(super) const SPARSE_VECTORS: usize = 8;

/// Bytes of a panel, which stays in the first-level cache beside the rows of `c`: 96 rows with AVX2, 48 with AVX-512.
pub(super) const SPARSE_PANEL: usize = 24 << 10;

/// With fewer rows, copying a panel costs more than it saves.
pub(super) const SPARSE_LEAST_ROWS: usize = 32;

/// Most rows of a transposed result that are computed together.
pub(super) const MOST_TURNED: usize = 256;

/// Most numbers in the lists of non-zeros for these rows.
pub(super) const MOST_LISTED: usize = 1 << 18;

/// Room in the lists for any product: the last block of a row may be short, and has the room of a whole one.
pub(super) const LIST_ROOM: usize =
    MOST_LISTED + MOST_TURNED * (SPARSE_PANEL / (SPARSE_VECTORS * LEAST_REGISTER));

/// Bytes of the smallest register of any instruction set.
const LEAST_REGISTER: usize = 16;

/// Lists with less room are so few that their lengths take no space worth counting.
pub(super) const LEAST_LIST: usize = 32;

/// Rows between the one whose non-zeros are listed and the one that is prefetched.
pub(super) const ROWS_AHEAD: usize = 4;

/// Multiply-adds from which on it pays to look for zeros.
pub(super) const ZEROS_LEAST_WORK: usize = 1 << 21;

/// Numbers of a factor that are looked at to estimate its share of zeros.
pub(super) const ZERO_SAMPLES: usize = 256;

/// With a smaller share of zeros a dense product takes less time.
pub(super) const ZEROS_LEAST_SHARE: f64 = 0.4;

// Parallel work.

/// Elementary operations below which a region runs on the calling thread.
pub(super) const SERIAL_BELOW: usize = 1 << 15;

/// Pieces of rows of a product for each thread, so that all threads end at about the same time.
pub(super) const PIECES_PER_THREAD: usize = 4;

/// Least rows of a piece: whole strips of six and of eight rows.
pub(super) const PIECE_LEAST_ROWS: usize = 96;

/// Rows of a parallel piece of row-wise work.
pub(crate) const ROW_BLOCK: usize = 64;

/// Elements of a parallel piece of element-wise work.
pub(crate) const PIECE: usize = 4096;
