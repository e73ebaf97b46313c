//! How much less of a budget a router needs with local search.

use moe_core::task::intervals::Interval;
use rayon::prelude::*;

use crate::report::document::Block;
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Key, Part, Plot, Section};
use crate::report::html::sections::tuned::{RESAMPLES, Tuned};
use crate::statistics::bootstrap::Bootstrap;
use crate::statistics::{
    BudgetUnit, Reduction, Target, budget_reduction, reduction_curve, reduction_interval,
};

/// A line per router of which the study has R and R+.
pub(super) fn of_study(tuned: &[Tuned<'_>]) -> Section {
    let section = Section::new("reduction", "Tuning-budget reduction");
    let pairs: Vec<(&Tuned<'_>, &Tuned<'_>)> = (tuned.iter())
        .filter_map(|searched| {
            let base = searched.router.strip_suffix('+')?;
            Some((tuned.iter().find(|other| other.router == base)?, searched))
        })
        .filter(|(base, searched)| !base.trials.is_empty() && !searched.trials.is_empty())
        .collect();
    if pairs.is_empty() {
        return section.missing(
            "No router of the study has trials both without and with local search (R and R+).",
        );
    }
    let rows: Vec<Vec<String>> =
        pairs.par_iter().map(|(base, searched)| row(base, searched)).collect();
    let heads = ["router", "against", "in trials", "in epochs", "in seconds", "largest in trials"];
    let blocks = [
        Block::table(heads, rows),
        Block::Paragraph(
            "How many times less of a budget R+ needs than R to reach the lowest expected test loss of R, with its 95 % \
             interval by resampling the trials: above 1 R+ needs less. \"> x\" is where R does not reach it with all its \
             trials, \"< x\" where R+ does not; ∞ and 0 as ends of an interval are resamples of that kind. \"largest\" is the largest reduction over all losses that \
             the expected test loss of R falls to, and that loss; chosen as the largest, it is too large."
                .into(),
        ),
    ];
    section.blocks(blocks).with(plot(&pairs))
}

/// The reduction at each loss that the expected test loss of R falls to, where both reach it.
fn curve(base: &Tuned<'_>, searched: &Tuned<'_>) -> Vec<[f64; 2]> {
    let points = reduction_curve(&base.trials, &searched.trials, BudgetUnit::Trials).into_iter();
    let points = points.filter_map(|point| match point.reduction {
        Reduction::Ratio(ratio) => Some([point.target, ratio]),
        _ => None,
    });
    points.collect()
}

fn plot(pairs: &[(&Tuned<'_>, &Tuned<'_>)]) -> Option<Part> {
    let (mut series, mut keys) = (Vec::new(), Vec::new());
    for (base, searched) in pairs {
        let (colour, is_dashed) = (searched.colour, false);
        series.push(Series { colour, line: curve(base, searched), ..Series::default() });
        keys.push(Key { colour, is_dashed, name: searched.router.to_owned() });
    }
    let title = "Reduction in trials by the loss to reach";
    let ratios = series.iter().flat_map(|series| series.line.iter().map(|[_, ratio]| *ratio));
    let (x, y) = (Axis::new("test loss", Scale::Linear), Axis::of_losses("reduction", ratios));
    let svg = chart(title, &x, &y, &series)?;
    Some(Part::Plots(vec![Plot { title: title.into(), svg }], keys))
}

fn row(base: &Tuned<'_>, searched: &Tuned<'_>) -> Vec<String> {
    let bootstrap = Bootstrap { resamples: RESAMPLES, ..Bootstrap::default() };
    let mut row = vec![searched.router.to_owned(), base.router.to_owned()];
    for unit in [BudgetUnit::Trials, BudgetUnit::Epochs, BudgetUnit::Seconds] {
        let (r, plus, target) = (&base.trials, &searched.trials, Target::BestOfBase);
        let reduction = budget_reduction(r, plus, unit, target);
        let interval = reduction_interval(r, plus, unit, target, &bootstrap);
        row.push(format!("{reduction}{}", interval.map_or(String::new(), bracketed)));
    }
    let largest = curve(base, searched).into_iter().max_by(|[_, a], [_, b]| a.total_cmp(b));
    row.push(largest.map_or("-".into(), |[loss, ratio]| format!("{ratio:.2} at {loss:.4}")));
    row
}

fn bracketed(ends: Interval) -> String {
    let [low, high] = ends.map(|end| match end {
        f64::INFINITY => "∞".to_owned(),
        end => format!("{end:.2}"),
    });
    format!(" [{low}, {high}]")
}
