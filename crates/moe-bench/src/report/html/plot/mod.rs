//! Plots as SVG, the only place that names the plotting crate.
//!
//! `axis.rs` has scales and their ticks, `chart.rs` lines, bands and dots, `heat.rs` heat maps, `svg.rs` the colours, which are
//! variables of the page, so that light and dark are matters of its style.

pub(super) mod axis;
pub(super) mod chart;
pub(super) mod heat;
mod svg;
