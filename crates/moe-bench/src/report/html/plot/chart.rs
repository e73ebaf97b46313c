//! A chart: lines, bands around them, and dots.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::{ChartBuilder, Circle, Color, IntoTextStyle, PathElement, Polygon};

use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::svg::{GRID_COLOUR, TEXT_COLOUR, scaled, series_colour, svg};

/// What a chart shows in one colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::report::html) struct Series {
    /// Index of the colour.
    pub(in crate::report::html) colour: usize,
    pub(in crate::report::html) is_dashed: bool,
    /// The points of a line, x ascending.
    pub(in crate::report::html) line: Vec<[f64; 2]>,
    /// x, and the ends of an interval of y.
    pub(in crate::report::html) band: Vec<[f64; 3]>,
    pub(in crate::report::html) dots: Vec<[f64; 2]>,
}

/// Width and height on the page.
const SIZE: (u32, u32) = (480, 290);
/// Size of a text on the page.
const FONT: u32 = 16;

/// The places along an axis, with ticks of our own.
struct Places {
    range: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (first, last): (i32, i32)) -> i32 {
        let (low, high) = self.range;
        let share = (place - low) / (high - low);
        first + (f64::from(last - first) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light lines between the ticks are not drawn.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

/// The chart as an SVG element; `None` if no value has a place on the axes.
pub(in crate::report::html) fn chart(
    title: &str,
    x: &Axis,
    y: &Axis,
    series: &[Series],
) -> Option<String> {
    let placed: Vec<Series> = series.iter().map(|series| series.placed(x, y)).collect();
    let points = || {
        placed.iter().flat_map(|series| {
            let ends = series.band.iter().flat_map(|[x, low, high]| [[*x, *low], [*x, *high]]);
            series.line.iter().chain(&series.dots).copied().chain(ends)
        })
    };
    let xs = x.range(points().map(|[x, _]| x))?;
    let ys = y.range(points().map(|[_, y]| y))?;
    points().next()?;
    let slanted = matches!(&x.scale, Scale::Names(names) if names.iter().map(|name| name.len().min(16) + 2).sum::<usize>() > 48);
    svg(SIZE, title, |area| {
        let text = ("sans-serif", scaled(FONT)).into_text_style(area).color(&TEXT_COLOUR);
        let mut chart = ChartBuilder::on(area)
            .margin(scaled(6))
            .margin_right(scaled(14))
            .x_label_area_size(scaled(if slanted { 60 } else { 40 }))
            .y_label_area_size(scaled(58))
            .build_cartesian_2d(
                Places { range: xs, ticks: x.ticks(xs) },
                Places { range: ys, ticks: y.ticks(ys) },
            )
            .ok()?;
        chart
            .configure_mesh()
            .axis_style(GRID_COLOUR.stroke_width(SCALED_LINE))
            .bold_line_style(GRID_COLOUR.mix(0.45).stroke_width(SCALED_LINE))
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_label_formatter(&|place| x.text(*place))
            .y_label_formatter(&|place| y.text(*place))
            .x_desc(x.label.clone())
            .y_desc(y.label.clone())
            .draw()
            .ok()?;
        for series in &placed {
            let colour = series_colour(series.colour, false);
            if series.band.len() > 1 {
                let low = series.band.iter().map(|[x, low, _]| (*x, *low));
                let high = series.band.iter().rev().map(|[x, _, high]| (*x, *high));
                let outline: Vec<(f64, f64)> = low.chain(high).collect();
                chart.draw_series([Polygon::new(outline, colour.mix(0.13))]).ok()?;
            }
        }
        for series in &placed {
            let colour = series_colour(series.colour, series.is_dashed);
            let line: Vec<(f64, f64)> = series.line.iter().map(|[x, y]| (*x, *y)).collect();
            match line[..] {
                [] => {}
                [only] => {
                    let dot =
                        Circle::new(only, scaled(3), series_colour(series.colour, false).filled());
                    chart.draw_series([dot]).ok()?;
                }
                _ => {
                    let path = PathElement::new(line, colour.stroke_width(scaled(2)));
                    chart.draw_series([path]).ok()?;
                }
            }
            let dots = series.dots.iter().map(|[x, y]| {
                let colour = series_colour(series.colour, false).mix(0.75);
                // What would be dashed as a line is a ring.
                let style =
                    if series.is_dashed { colour.stroke_width(scaled(1)) } else { colour.filled() };
                Circle::new((*x, *y), scaled(3), style)
            });
            chart.draw_series(dots).ok()?;
        }
        Some(())
    })
}

const SCALED_LINE: u32 = scaled(1);

impl Series {
    /// The series with the places of its values; without those that have none.
    fn placed(&self, x: &Axis, y: &Axis) -> Series {
        /// A line of more points is finer than a page can show.
        const POINTS: usize = 600;
        let points = |points: &[[f64; 2]]| -> Vec<[f64; 2]> {
            points.iter().filter_map(|&[a, b]| Some([x.place(a)?, y.place(b)?])).collect()
        };
        let step = self.line.len().div_ceil(POINTS).max(1);
        let band = self.band.iter();
        let band =
            band.filter_map(|&[a, low, high]| Some([x.place(a)?, y.place(low)?, y.place(high)?]));
        Series {
            line: points(&self.line).into_iter().step_by(step).collect(),
            dots: points(&self.dots),
            band: band.collect(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_variables_and_names_are_text() {
        let series = Series {
            colour: 3,
            is_dashed: true,
            line: vec![[1.0, 0.5], [2.0, f64::NAN], [3.0, 0.25]],
            band: vec![[1.0, 0.4, 0.6], [3.0, 0.2, 0.3]],
            dots: vec![[0.0, 0.3]],
        };
        let axis = |scale| Axis::new("<&\"", scale);
        let names = Scale::Names(vec!["\"#010203\"".into(), "b".into()]);
        for scale in [Scale::Linear, Scale::Log, Scale::Whole, names] {
            let svg = chart(
                "<x>",
                &axis(scale.clone()),
                &axis(Scale::Linear),
                std::slice::from_ref(&series),
            );
            let svg = svg.unwrap();
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(svg.contains("<title>&lt;x&gt;</title>") && svg.contains("&lt;&amp;&quot;"));
            assert!(!svg.contains("\"#"), "{svg}");
            assert!(svg.contains("\"var(--c3)\" stroke-dasharray="), "{svg}");
            assert_eq!(svg.matches("<polygon").count(), 1, "{svg}");
            // 0 has no logarithm.
            let dots = usize::from(scale != Scale::Log);
            assert_eq!(svg.matches("<circle").count(), dots, "{svg}");
        }
        let nothing = chart("", &axis(Scale::Log), &axis(Scale::Log), &[Series::default()]);
        assert_eq!(nothing, None);
    }

    #[test]
    fn a_long_line_is_thinned() {
        let line = (0..20_000).map(|i| [f64::from(i), 1.0]).collect();
        let axis = Axis::new("", Scale::Linear);
        let series = Series { line, ..Series::default() };
        assert!(chart("", &axis, &axis, &[series]).unwrap().len() < 20_000);
    }
}
