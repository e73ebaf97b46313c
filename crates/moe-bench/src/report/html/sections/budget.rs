//! What a tuning budget buys: the test loss of the best of t trials.

use rayon::prelude::*;

use crate::report::document::Block;
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Key, Part, Plot, Section};
use crate::report::html::sections::tuned::{RESAMPLES, Tuned};
use crate::statistics::bootstrap::Bootstrap;
use crate::statistics::{BestOf, best_of_curve, best_of_interval};

/// Most routers whose intervals are told apart in one plot.
const WITH_BANDS: usize = 4;

/// The curve of a router.
struct Curve<'a> {
    tuned: &'a Tuned<'a>,
    best: Vec<BestOf>,
    /// Number of trials drawn, and the interval.
    band: Vec<[f64; 3]>,
}

/// The curves of all routers, and a table of some of their points.
pub(super) fn of_study(tuned: &[Tuned<'_>], keys: &[Key]) -> Section {
    let section = Section::new("budget", "What a budget buys");
    let curves: Vec<Curve<'_>> = tuned.par_iter().filter_map(Curve::of).collect();
    let Some(most) = curves.iter().map(|curve| curve.best.len()).max() else {
        return section.missing("No trial has run to its end with a test loss.");
    };
    let mut plots = Vec::new();
    let all: Vec<&Curve<'_>> = curves.iter().collect();
    plots.extend(plot("All routers", &all, most));
    for curve in &curves {
        let base = curve.tuned.router.strip_suffix('+');
        let base = base.and_then(|base| curves.iter().find(|other| other.tuned.router == base));
        if let Some(base) = base {
            let title = format!("{} and {}", base.tuned.router, curve.tuned.router);
            plots.extend(plot(&title, &[base, curve], most));
        }
    }
    let shown = |key: &&Key| curves.iter().any(|curve| curve.tuned.router == key.name);
    let keys = keys.iter().filter(shown).cloned().collect();
    section
        .paragraph(
            "Expected test loss of the trial with the lowest validation loss among t trials that are drawn at random from all \
             that have ended; bands and brackets are 95 % intervals by resampling the trials.",
        )
        .with([Part::Plots(plots, keys), Part::Block(table(&curves, most))])
}

impl<'a> Curve<'a> {
    fn of(tuned: &'a Tuned<'a>) -> Option<Self> {
        let best = best_of_curve(&tuned.trials);
        if best.is_empty() {
            return None;
        }
        let bootstrap = Bootstrap { resamples: RESAMPLES, ..Bootstrap::default() };
        let band = drawn(best.len()).into_iter().filter_map(|drawn| {
            let [low, high] = best_of_interval(&tuned.trials, drawn, &bootstrap)?;
            Some([drawn as f64, low, high])
        });
        Some(Curve { tuned, band: band.collect(), best })
    }
}

/// Powers of two up to the number of trials, and that number.
fn drawn(trials: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1usize), |power| Some(2 * power));
    let mut drawn: Vec<usize> = powers.take_while(|power| *power < trials).collect();
    drawn.push(trials);
    drawn
}

fn plot(title: &str, curves: &[&Curve<'_>], most: usize) -> Option<Plot> {
    let has_bands = curves.len() <= WITH_BANDS;
    let series = curves.iter().map(|curve| {
        let points = curve.best.iter().map(|best| [best.trials as f64, best.expected]);
        Series {
            colour: curve.tuned.colour,
            is_dashed: curve.tuned.is_dashed,
            line: points.collect(),
            band: if has_bands { curve.band.clone() } else { Vec::new() },
            dots: Vec::new(),
        }
    });
    let series: Vec<Series> = series.collect();
    let scale = if most > 20 { Scale::Log } else { Scale::Whole };
    let losses = series.iter().flat_map(|series| series.line.iter().map(|[_, loss]| *loss));
    let (x, y) = (Axis::new("trials (t)", scale), Axis::of_losses("test loss", losses));
    Some(Plot { title: title.into(), svg: chart(title, &x, &y, &series)? })
}

/// A line per router, a column per number of trials.
fn table(curves: &[Curve<'_>], most: usize) -> Block {
    let columns: Vec<usize> =
        drawn(most).into_iter().filter(|drawn| *drawn == most || drawn.ilog2() % 2 == 0).collect();
    let mut heads = vec!["router".to_owned()];
    heads.extend(columns.iter().map(|drawn| format!("best of {drawn}")));
    let rows = curves.iter().map(|curve| {
        let mut row = vec![curve.tuned.router.to_owned()];
        row.extend(columns.iter().map(|&drawn| {
            let Some(best) = curve.best.get(drawn - 1) else { return "-".to_owned() };
            let band = curve.band.iter().find(|[at, ..]| *at == drawn as f64);
            match band {
                Some([_, low, high]) => format!("{:.4} [{low:.4}, {high:.4}]", best.expected),
                None => format!("{:.4}", best.expected),
            }
        }));
        row
    });
    Block::table(heads, rows.collect::<Vec<_>>())
}
