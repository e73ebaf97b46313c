//! Losses by epoch.

use crate::experiment::results::Comparison;
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Key, Part, Plot, Section, keys};
use crate::report::html::source::{Run, Study};
use crate::study::summary::of_router;
use crate::study::trial;

fn section() -> Section {
    Section::new("losses", "Losses by epoch")
}

/// A plot of losses by epoch.
fn plot(title: &str, series: &[Series]) -> Option<Plot> {
    let losses = series.iter().flat_map(|series| series.line.iter().map(|[_, loss]| *loss));
    let (x, y) = (Axis::new("epoch", Scale::Whole), Axis::of_losses("loss", losses));
    Some(Plot { title: title.into(), svg: chart(title, &x, &y, series)? })
}

/// A line through the losses of epochs 1, 2, ...
fn line(losses: impl IntoIterator<Item = Option<f64>>) -> Vec<[f64; 2]> {
    let numbered = losses.into_iter().zip(1u32..);
    numbered.filter_map(|(loss, epoch)| Some([f64::from(epoch), loss?])).collect()
}

/// Each run a line, those of a router in one colour.
pub(super) fn of_comparison(of: &Comparison) -> Section {
    let keys = keys(of.config.run.routers.iter().map(String::as_str));
    let (mut val, mut train) = (Vec::new(), Vec::new());
    for key in &keys {
        for run in of.runs_of(&key.name) {
            for (losses, series) in [(&run.curve.val, &mut val), (&run.curve.train, &mut train)] {
                let line = line(losses.iter().copied());
                let (colour, is_dashed) = (key.colour, key.is_dashed);
                series.push(Series { colour, is_dashed, line, ..Series::default() });
            }
        }
    }
    let plots = [plot("Validation loss", &val), plot("Training loss", &train)];
    let plots: Vec<Plot> = plots.into_iter().flatten().collect();
    if plots.is_empty() {
        return section()
            .missing("The results have no losses by epoch; an earlier version of moe wrote them.");
    }
    section()
        .paragraph("Each line is a run; the training loss is that of training mode.")
        .with([Part::Plots(plots, keys)])
}

/// Training and validation.
pub(super) fn of_run(run: &Run) -> Section {
    let series = |colour, loss: fn(&moe_nn::EpochRecord) -> f64| Series {
        colour,
        line: line(run.epochs.iter().map(|epoch| Some(loss(epoch)))),
        ..Series::default()
    };
    let all = [series(0, |epoch| epoch.train_loss), series(1, |epoch| epoch.val_loss)];
    let Some(plot) = plot("Loss", &all) else {
        return section().missing("No epoch has ended, or metrics.jsonl is missing.");
    };
    let key = |colour, name: &str| Key { colour, is_dashed: false, name: name.into() };
    section().with([Part::Plots(vec![plot], vec![key(0, "training"), key(1, "validation")])])
}

/// The validation losses of the best trials of each router.
pub(super) fn of_study(study: &Study, keys: &[Key]) -> Section {
    /// Number of trials of a router.
    const BEST: usize = 5;
    let mut all = Vec::new();
    for key in keys {
        let mut trials = of_router(&key.name, &study.kept);
        trials.retain(|trial| !trial.intermediate.is_empty() && trial::loss(trial).is_some());
        let loss = |trial: &_| trial::loss(trial).unwrap_or(f64::NAN);
        trials.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        for trial in trials.into_iter().take(BEST) {
            let curve = trial::curve(trial).into_iter();
            let line = curve.map(|(epoch, loss)| [epoch as f64, loss]).collect();
            let (colour, is_dashed) = (key.colour, key.is_dashed);
            all.push(Series { colour, is_dashed, line, ..Series::default() });
        }
    }
    match plot("Validation loss", &all) {
        Some(plot) => section()
            .paragraph(format!(
                "The {BEST} trials of each router with the lowest validation losses."
            ))
            .with([Part::Plots(vec![plot], keys.to_vec())]),
        None => section().missing("No trial has reported a loss."),
    }
}
