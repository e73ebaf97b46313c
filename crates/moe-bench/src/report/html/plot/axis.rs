//! Axes: what is along one, and where its ticks are.

/// What is along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report::html) enum Scale {
    /// Numbers.
    Linear,
    /// Whole numbers.
    Whole,
    /// Numbers above 0 by their logarithms.
    Log,
    /// These names, at 0, 1, 2, ...
    Names(Vec<String>),
}

/// An axis and its description.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report::html) struct Axis {
    pub(in crate::report::html) label: String,
    pub(in crate::report::html) scale: Scale,
}

/// Largest number of ticks between numbers.
const MOST_TICKS: usize = 6;

impl Axis {
    pub(in crate::report::html) fn new(label: &str, scale: Scale) -> Self {
        Axis { label: label.to_owned(), scale }
    }

    /// The axis of losses: their logarithms where some are many times as large as others.
    pub(in crate::report::html) fn of_losses(
        label: &str,
        losses: impl IntoIterator<Item = f64>,
    ) -> Self {
        let finite = losses.into_iter().filter(|loss| loss.is_finite());
        let (least, most) = finite
            .fold((f64::INFINITY, 0.0f64), |(least, most), loss| (least.min(loss), most.max(loss)));
        let is_wide = least > 0.0 && most > 8.0 * least;
        Axis::new(label, if is_wide { Scale::Log } else { Scale::Linear })
    }

    /// The place of a value, `None` if it has none.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Log => value.log10(),
            _ => value,
        };
        place.is_finite().then_some(place)
    }

    /// The places that the axis spans to show the values at `places`; `None` without one.
    pub(super) fn range(&self, places: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
        if let Scale::Names(names) = &self.scale {
            return Some((-0.5, names.len().max(1) as f64 - 0.5));
        }
        let (low, high) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
            (low.min(place), high.max(place))
        });
        if !(low.is_finite() && high.is_finite()) {
            return None;
        }
        let margin = match high - low {
            0.0 => 0.05 * low.abs().max(1e-3),
            span => 0.04 * span,
        };
        Some((low - margin, high + margin))
    }

    /// The ticks in a range of places.
    pub(super) fn ticks(&self, (low, high): (f64, f64)) -> Vec<f64> {
        let inside = |place: &f64| (low..=high).contains(place);
        match &self.scale {
            Scale::Names(names) => (0..names.len()).map(|name| name as f64).collect(),
            Scale::Linear => linear(low, high),
            Scale::Whole => {
                let ticks = linear(low, high).into_iter();
                let mut ticks: Vec<f64> = ticks.map(f64::round).filter(inside).collect();
                ticks.dedup();
                ticks
            }
            Scale::Log => {
                let decades = low.floor() as i32..=high.ceil() as i32;
                let of = |steps: &[f64]| -> Vec<f64> {
                    let all = decades.clone().flat_map(|decade| {
                        steps.iter().map(move |step| f64::from(decade) + step.log10())
                    });
                    all.filter(inside).collect()
                };
                let candidates: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
                let mut found = candidates.map(of).into_iter();
                let fits = found.find(|ticks| ticks.len() <= MOST_TICKS);
                let mut ticks = fits.unwrap_or_else(|| {
                    let all = of(&[1.0]);
                    all.iter().copied().step_by(all.len().div_ceil(MOST_TICKS)).collect()
                });
                if ticks.len() < 2 {
                    // Less than a decade.
                    let values = linear(10f64.powf(low), 10f64.powf(high)).into_iter();
                    ticks = values.map(f64::log10).filter(|place| place.is_finite()).collect();
                }
                ticks
            }
        }
    }

    /// The text of a tick.
    pub(super) fn text(&self, place: f64) -> String {
        match &self.scale {
            Scale::Names(names) => {
                let name = names.get(place.round().max(0.0) as usize).map_or("", String::as_str);
                shortened(name, 16)
            }
            Scale::Linear | Scale::Whole => number(place),
            Scale::Log => number(10f64.powf(place)),
        }
    }
}

/// The text with an ellipsis instead of what is longer than `most` characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if span.is_nan() || span <= 0.0 {
        return vec![low];
    }
    let power = 10f64.powf((span / MOST_TICKS as f64).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| span / step <= MOST_TICKS as f64);
    let step = step.unwrap_or(span);
    let first = (low / step).ceil() as i64;
    (first..=first + MOST_TICKS as i64)
        .map(|i| i as f64 * step)
        .filter(|tick| *tick <= high + 1e-9 * step)
        .collect()
}

/// A number with the digits of a tick.
fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside() {
        let axis = Axis::new("", Scale::Linear);
        assert_eq!(axis.ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let texts = |axis: &Axis, range| -> Vec<String> {
            axis.ticks(range).into_iter().map(|tick| axis.text(tick)).collect()
        };
        assert_eq!(texts(&axis, (0.48, 0.63)), ["0.5", "0.55", "0.6"]);
        assert_eq!(texts(&Axis::new("", Scale::Whole), (0.9, 2.1)), ["1", "2"]);
        let log = Axis::new("", Scale::Log);
        assert_eq!(texts(&log, (-4.1, -1.9)), ["1e-4", "3e-4", "0.001", "0.003", "0.01"]);
        assert_eq!(texts(&log, (0.31, 0.38)), ["2.1", "2.2", "2.3"]);
        for range in [(-30.0, 30.0), (0.0, 1e-9), (5.0, 5.0)] {
            for axis in [&axis, &log] {
                assert!(axis.ticks(range).len() <= MOST_TICKS + 1, "{range:?}");
            }
        }
    }

    #[test]
    fn what_has_no_place() {
        let log = Axis::new("", Scale::Log);
        assert_eq!((log.place(0.0), log.place(-1.0), log.place(100.0)), (None, None, Some(2.0)));
        assert_eq!(Axis::new("", Scale::Linear).place(f64::NAN), None);
        assert_eq!(log.range(std::iter::empty()), None);
    }
}
