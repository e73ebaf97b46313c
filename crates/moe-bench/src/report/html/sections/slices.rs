//! Slices through the space of a study: the validation loss by each parameter.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::journal::distribution::Distribution;
use crate::journal::state::{Param, Trial, TrialState};
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Key, Part, Plot, Section};
use crate::report::html::source::Study;
use crate::study::space::ROUTER;
use crate::study::summary::of_router;
use crate::study::trial;

/// Most dots of a plot.
const DOTS: usize = 1500;

/// A plot per parameter, a dot per trial that ran to its end.
pub(super) fn of_study(study: &Study, keys: &[Key]) -> Section {
    let section = Section::new("slices", "Slices");
    let mut trials: Vec<(&Key, &Trial, f64)> = Vec::new();
    for key in keys {
        let complete = of_router(&key.name, &study.kept).into_iter();
        let complete = complete.filter(|trial| trial.state == TrialState::Complete);
        trials.extend(complete.filter_map(|trial| Some((key, trial, trial::loss(trial)?))));
    }
    let step = trials.len().div_ceil(DOTS).max(1);
    let shown: Vec<&(&Key, &Trial, f64)> = trials.iter().step_by(step).collect();
    let mut scales: BTreeMap<&str, Scale> = BTreeMap::new();
    for (_, trial, _) in &shown {
        for (name, param) in &trial.params {
            scales.entry(name).or_insert_with(|| scale(&param.distribution));
        }
    }
    scales.remove(ROUTER);
    let plots = scales.into_iter().filter_map(|(name, scale)| plot(name, scale, &shown));
    let plots: Vec<Plot> = plots.collect();
    if plots.is_empty() {
        return section.missing("No trial has run to its end.");
    }
    let mut text =
        "Validation loss of each trial that ran to its end by the value of each parameter; rings are of routers with \
         local search (R+)."
            .to_owned();
    if step > 1 {
        text += &format!(" One of {step} trials is shown.");
    }
    section.paragraph(text).with([Part::Plots(plots, keys.to_vec())])
}

fn scale(distribution: &Distribution) -> Scale {
    match distribution {
        Distribution::Float { log: true, .. } | Distribution::Int { log: true, .. } => Scale::Log,
        Distribution::Float { .. } | Distribution::Int { .. } => Scale::Linear,
        Distribution::Categorical { choices } => {
            let name = |choice: &Json| choice.as_str().map_or(choice.to_string(), str::to_owned);
            Scale::Names(choices.iter().map(name).collect())
        }
    }
}

fn plot(name: &str, scale: Scale, trials: &[&(&Key, &Trial, f64)]) -> Option<Plot> {
    let mut by_colour: BTreeMap<(usize, bool), Series> = BTreeMap::new();
    let is_named = matches!(scale, Scale::Names(_));
    for (key, trial, loss) in trials {
        let Some(Param { internal, .. }) = trial.params.get(name) else { continue };
        let series = by_colour.entry((key.colour, key.is_dashed));
        let series = series.or_insert_with(|| {
            let (colour, is_dashed) = (key.colour, key.is_dashed);
            Series { colour, is_dashed, ..Series::default() }
        });
        // Dots of one choice beside each other, by the golden ratio.
        let aside =
            if is_named { 0.5 * ((trial.number as f64 * 0.618_034).fract() - 0.5) } else { 0.0 };
        series.dots.push([internal + aside, *loss]);
    }
    let series: Vec<Series> = by_colour.into_values().collect();
    let losses = series.iter().flat_map(|series| series.dots.iter().map(|[_, loss]| *loss));
    let y = Axis::of_losses("validation loss", losses);
    let svg = chart(name, &Axis::new("", scale), &y, &series)?;
    Some(Plot { title: name.to_owned(), svg })
}
