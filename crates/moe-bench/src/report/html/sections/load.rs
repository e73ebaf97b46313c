//! How rows spread over experts.

use moe_nn::EpochRecord;

use crate::experiment::results::Comparison;
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::plot::heat::Heat;
use crate::report::html::section::{Key, Part, Plot, Section};
use crate::report::html::source::Run;

/// Most columns of a heat map.
const COLUMNS: usize = 120;

/// The load of each router's experts on the test split.
pub(super) fn of_comparison(of: &Comparison) -> Section {
    let section = Section::new("load", "Load of the experts");
    let mut rows = Vec::new();
    for router in &of.config.run.routers {
        let runs = of.runs_of(router);
        let gates: Vec<&Vec<f64>> =
            runs.iter().flat_map(|run| &run.routing.gates).map(|gate| &gate.load_share).collect();
        let Some(experts) = gates.iter().map(|load| load.len()).max() else { continue };
        let mut mean = vec![0.0; experts];
        for load in &gates {
            let mut sorted = (*load).clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let each = mean.iter_mut().zip(sorted);
            each.for_each(|(mean, share)| *mean += share / gates.len() as f64);
        }
        rows.push((router.clone(), mean));
    }
    let heat = Heat { x: "expert, the most loaded first".into(), rows, first: 1 };
    let title = "Share of the (row, expert) pairs of the test split";
    match heat.plot(title) {
        Some(plot) => section
            .paragraph(
                "The experts of each gate sorted by their load, mean over gates and seeds: a strong colour at the left is a \
                 gate that uses few experts, an even line a balanced one.",
            )
            .with([Part::Plots(vec![plot], Vec::new())]),
        None => section.missing("No model has gates."),
    }
}

/// The load by epoch, a heat map per gate, and the experts of a row.
pub(super) fn of_run(run: &Run) -> Section {
    let section = Section::new("load", "Load over training");
    let Some(first) = run.epochs.iter().find(|epoch| !epoch.gates.is_empty()) else {
        return section.missing(match run.epochs.is_empty() {
            true => "No epoch has ended, or metrics.jsonl is missing.",
            false => "The model has no gates.",
        });
    };
    let step = run.epochs.len().div_ceil(COLUMNS);
    let epochs: Vec<&EpochRecord> = run.epochs.iter().step_by(step).collect();
    let mut plots = Vec::new();
    for (i, gate) in first.gates.iter().enumerate() {
        let load = |epoch: &EpochRecord, expert: usize| {
            let gate = epoch.gates.get(i);
            gate.and_then(|gate| gate.load_share.get(expert)).copied().unwrap_or(0.0)
        };
        let rows = (0..gate.load_share.len()).map(|expert| {
            let name = expert.to_string();
            (name, epochs.iter().map(|epoch| load(epoch, expert)).collect())
        });
        let title = format!("{}: share of each expert", capitalised(&gate.label()));
        let x = match step {
            1 => "epoch".to_owned(),
            step => format!("epoch, every {step}th, numbered from 1"),
        };
        let heat = Heat { x, rows: rows.collect(), first: 1 };
        plots.extend(heat.plot(&title));
    }
    let over_epochs = |title: &str, value: &dyn Fn(&EpochRecord) -> Vec<f64>| {
        let gates = value(first).len();
        let series: Vec<Series> = (0..gates)
            .map(|gate| {
                let points = run
                    .epochs
                    .iter()
                    .filter_map(|epoch| Some([epoch.epoch as f64, *value(epoch).get(gate)?]));
                Series { colour: gate % 12, line: points.collect(), ..Series::default() }
            })
            .collect();
        let (x, y) = (Axis::new("epoch", Scale::Whole), Axis::new("", Scale::Linear));
        let svg = chart(title, &x, &y, &series)?;
        Some(Plot { title: title.to_owned(), svg })
    };
    let of_gates = |value: fn(&moe_routers::telemetry::GateSummary) -> f64| {
        move |epoch: &EpochRecord| epoch.gates.iter().map(value).collect::<Vec<f64>>()
    };
    let lines = [
        over_epochs("Experts per row in training", &of_gates(|gate| gate.experts_per_row)),
        over_epochs(
            "Information between rows and experts",
            &of_gates(|gate| gate.mutual_information),
        ),
    ];
    let keys = first.gates.iter().enumerate().map(|(i, gate)| Key {
        colour: i % 12,
        is_dashed: false,
        name: gate.label(),
    });
    section
        .paragraph("Rows are experts, columns epochs; the stronger the colour, the more of the gate's (row, expert) pairs in training.")
        .with([
            Part::Plots(plots, Vec::new()),
            Part::Plots(lines.into_iter().flatten().collect(), keys.collect()),
        ])
}

/// The text with a capital letter at its beginning.
pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
