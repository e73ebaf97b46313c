//! From the plotting crate's drawing to an SVG element of a page: colours become variables of the page's style.

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, RGBColor, SVGBackend};

use crate::report::html::markup::escape;

/// Pixels of the drawing for one of the page: the crate knows whole pixels only.
pub(super) const SCALE: u32 = 2;

/// The colours of the page, which no data have: red says that it is one, green whether a line is dashed, blue which one.
const MARK: u8 = 1;
const DASHED: u8 = 1;
const TEXT: u8 = 200;
const GRID: u8 = 201;
const HEAT: u8 = 202;

/// Colour of a text.
pub(super) const TEXT_COLOUR: RGBColor = RGBColor(MARK, 0, TEXT);
/// Colour of axes and grid lines.
pub(super) const GRID_COLOUR: RGBColor = RGBColor(MARK, 0, GRID);
/// Colour of a cell of a heat map, whose opacity is its value.
pub(super) const HEAT_COLOUR: RGBColor = RGBColor(MARK, 0, HEAT);

/// Colour of a series, dashed where it is a line.
pub(super) fn series_colour(index: usize, is_dashed: bool) -> RGBColor {
    let colour = u8::try_from(index).unwrap_or(0);
    RGBColor(MARK, if is_dashed { DASHED } else { 0 }, colour)
}

/// Width of a line or size of a text on the page, in pixels of the drawing.
pub(super) const fn scaled(size: u32) -> u32 {
    SCALE * size
}

/// The SVG element of this size on the page that `draw` fills; `None` if it cannot.
pub(super) fn svg(
    size: (u32, u32),
    title: &str,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Option<()>,
) -> Option<String> {
    let mut drawn = String::new();
    {
        let size = (scaled(size.0), scaled(size.1));
        let area = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        draw(&area)?;
        area.present().ok()?;
    }
    Some(on_page(&drawn, size, title))
}

/// The drawing with a title, the page's size and the page's colours.
fn on_page(drawn: &str, (width, height): (u32, u32), title: &str) -> String {
    let title = escape(title);
    let (w, h) = (scaled(width), scaled(height));
    let body = drawn.split_once('>').map_or("", |(_, body)| body);
    let mut svg = format!("<svg role=\"img\" viewBox=\"0 0 {w} {h}\"><title>{title}</title>");
    let body = body.replace("font-family=\"sans-serif\" ", "").replace("opacity=\"1\" ", "");
    let body =
        body.replace(" stroke=\"none\" stroke-width=\"1\"", "").replace(" stroke=\"none\"", "");
    let mut rest = body.as_str();
    // No text of the data has a quotation mark, which is escaped.
    while let Some((before, after)) = rest.split_once("\"#01") {
        svg += before;
        let byte = |at| after.get(at..at + 2).and_then(|text| u8::from_str_radix(text, 16).ok());
        let (dashed, colour) = (byte(0).unwrap_or(0), byte(2).unwrap_or(0));
        let name = match colour {
            TEXT => "text".to_owned(),
            GRID => "grid".to_owned(),
            HEAT => "heat".to_owned(),
            series => format!("c{series}"),
        };
        svg += &format!("\"var(--{name})");
        if dashed == DASHED {
            svg += "\" stroke-dasharray=\"14 9";
        }
        rest = after.get(4..).unwrap_or_default();
    }
    svg + rest
}
