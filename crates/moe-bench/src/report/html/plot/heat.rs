//! Heat maps.

use plotters::prelude::{Color, EmptyElement, IntoTextStyle, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::html::plot::axis::shortened;
use crate::report::html::plot::svg::{GRID_COLOUR, HEAT_COLOUR, TEXT_COLOUR, scaled, svg};
use crate::report::html::section::Plot;

/// A heat map: a line of cells per row, each the stronger in colour, the larger its value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report::html) struct Heat {
    /// What the columns are.
    pub(in crate::report::html) x: String,
    /// Name of each row, and its values, from 0 to 1.
    pub(in crate::report::html) rows: Vec<(String, Vec<f64>)>,
    /// The number of the first column.
    pub(in crate::report::html) first: usize,
}

const WIDTH: u32 = 480;
const FONT: u32 = 15;

impl Heat {
    /// The largest value, which has the strongest colour.
    fn most(&self) -> f64 {
        let values = self.rows.iter().flat_map(|(_, values)| values);
        values.copied().filter(|value| value.is_finite()).fold(0.0, f64::max)
    }

    /// The plot, whose title also says what the strongest colour is.
    pub(in crate::report::html) fn plot(&self, title: &str) -> Option<Plot> {
        let title = format!("{title} (strongest colour: {:.1} %)", 100.0 * self.most());
        Some(Plot { svg: self.svg(&title)?, title })
    }

    /// The heat map as an SVG element, the largest value the strongest in colour; `None` without a value.
    fn svg(&self, title: &str) -> Option<String> {
        let columns = self.rows.iter().map(|(_, values)| values.len()).max()?;
        let most = self.most();
        if columns == 0 {
            return None;
        }
        let longest = self.rows.iter().map(|(name, _)| name.chars().count().min(18)).max()?;
        let left = (longest as u32 * 8 + 12).max(24);
        let height = (260 / self.rows.len() as u32).clamp(10, 22);
        let bottom = 40;
        let size = (WIDTH, self.rows.len() as u32 * height + bottom + 8);
        let width = f64::from(WIDTH - left - 10) / columns as f64;
        svg(size, title, |area| {
            let font = ("sans-serif", scaled(FONT.min(height + 3)));
            let style = font.into_text_style(area).color(&TEXT_COLOUR);
            let x = |column: usize| scaled(left) as i32 + (2.0 * width * column as f64) as i32;
            let y = |row: usize| (scaled(4) + row as u32 * scaled(height)) as i32;
            for (row, (name, values)) in self.rows.iter().enumerate() {
                let right = style.clone().pos(Pos::new(HPos::Right, VPos::Center));
                let at = (scaled(left - 6) as i32, y(row) + scaled(height / 2) as i32);
                area.draw(&Text::new(shortened(name, 18), at, right)).ok()?;
                for (column, value) in values.iter().enumerate() {
                    let share = if most > 0.0 && value.is_finite() { value / most } else { 0.0 };
                    let corners = [(x(column), y(row)), (x(column + 1) - 1, y(row + 1) - 1)];
                    area.draw(&Rectangle::new(corners, GRID_COLOUR.mix(0.12).filled())).ok()?;
                    // Hundredths are finer than an eye.
                    let alpha = (100.0 * share).round() / 100.0;
                    area.draw(&Rectangle::new(corners, HEAT_COLOUR.mix(alpha).filled())).ok()?;
                }
            }
            let end = y(self.rows.len());
            let step = columns.div_ceil(16);
            let centre = style.clone().pos(Pos::new(HPos::Center, VPos::Top));
            for column in (0..columns).step_by(step) {
                let at = ((x(column) + x(column + 1)) / 2, end + scaled(3) as i32);
                let number = (column + self.first).to_string();
                area.draw(&(EmptyElement::at(at) + Text::new(number, (0, 0), centre.clone())))
                    .ok()?;
            }
            let at = ((x(0) + x(columns)) / 2, end + scaled(21) as i32);
            area.draw(&Text::new(self.x.clone(), at, centre)).ok()
        })
    }
}
