//! What an epoch costs as training goes on.

use crate::experiment::results::{Comparison, RunResult};
use crate::experiment::run_curve::RunCurve;
use crate::report::document::Block;
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Part, Plot, Section, keys};

/// Experts a row and seconds by epoch, means over the runs of a router that have the epoch, and their first and last values.
pub(super) fn of_comparison(of: &Comparison) -> Section {
    let section = Section::new("pace", "Cost over training");
    let keys = keys(of.config.run.routers.iter().map(String::as_str));
    let (mut experts, mut seconds, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for key in &keys {
        let runs = of.runs_of(&key.name);
        let slots = by_epoch(&runs, |curve| curve.experts_per_row.clone());
        let times = by_epoch(&runs, RunCurve::seconds_of_epochs);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        let has_gates = slots.iter().any(|slots| *slots > 0.0);
        let ends = match (slots.first(), slots.last()) {
            (Some(first), Some(last)) if has_gates => [*first, *last].map(|s| format!("{s:.2}")),
            _ => ["-", "-"].map(str::to_owned),
        };
        let cells = [format!("{:.1}", 1e3 * first), format!("{:.1}", 1e3 * last)];
        rows.push([key.name.clone()].into_iter().chain(ends).chain(cells).collect::<Vec<_>>());
        let (colour, is_dashed) = (key.colour, key.is_dashed);
        for (values, all) in [(slots, &mut experts), (times, &mut seconds)] {
            let line = values.into_iter().zip(1u32..);
            let line = line.map(|(value, epoch)| [f64::from(epoch), value]).collect();
            all.push(Series { colour, is_dashed, line, ..Series::default() });
        }
    }
    if rows.is_empty() {
        return section.missing(
            "The results do not have the cost by epoch; an earlier version of moe wrote them.",
        );
    }
    let plots = [plot("Experts a row in training", &experts), plot("Seconds an epoch", &seconds)];
    let plots = plots.into_iter().flatten().collect();
    let heads =
        ["router", "experts a row, first epoch", "last epoch", "ms, first epoch", "ms, last epoch"];
    section
        .paragraph(
            "Means over the runs of a router that have the epoch. The time of an epoch, with its validation, is of the machine \
             that ran and of what else it did then.",
        )
        .with([Part::Plots(plots, keys), Part::Block(Block::table(heads, rows))])
}

/// The mean of the runs that have an epoch, epoch by epoch.
fn by_epoch(runs: &[&RunResult], values: fn(&RunCurve) -> Vec<f64>) -> Vec<f64> {
    let values: Vec<Vec<f64>> = runs.iter().map(|run| values(&run.curve)).collect();
    let epochs = values.iter().map(Vec::len).max().unwrap_or(0);
    let mean = |epoch: usize| {
        let there: Vec<f64> = values.iter().filter_map(|run| run.get(epoch).copied()).collect();
        there.iter().sum::<f64>() / there.len() as f64
    };
    (0..epochs).map(mean).collect()
}

fn plot(title: &str, series: &[Series]) -> Option<Plot> {
    let values = series.iter().flat_map(|series| series.line.iter().map(|[_, value]| *value));
    let (x, y) = (Axis::new("epoch", Scale::Whole), Axis::of_losses(title, values));
    Some(Plot { title: title.into(), svg: chart(title, &x, &y, series)? })
}
