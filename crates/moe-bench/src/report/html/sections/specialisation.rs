//! Whether experts have rows of their own.

use crate::experiment::results::Comparison;
use crate::report::document::Block;
use crate::report::evaluation::{alarms, gates};
use crate::report::html::plot::axis::{Axis, Scale};
use crate::report::html::plot::chart::{Series, chart};
use crate::report::html::section::{Key, Part, Plot, Section, keys};
use crate::report::html::source::Run;

const LEGEND: &str = "\"information\" is the mutual information between rows and experts: 0 if all rows are routed alike, 1 if \
                      each expert has its own rows.";

fn section() -> Section {
    Section::new("specialisation", "Specialisation")
}

/// Information beside the loss, a dot per run.
pub(super) fn of_comparison(of: &Comparison) -> Section {
    let keys = keys(of.config.run.routers.iter().map(String::as_str));
    let (mut series, mut rows) = (Vec::new(), Vec::new());
    for key in &keys {
        let runs = of.runs_of(&key.name);
        let routing: Vec<_> = runs.iter().filter(|run| !run.routing.gates.is_empty()).collect();
        if routing.is_empty() {
            continue;
        }
        let dots = routing.iter().map(|run| [run.routing.mutual_information, run.test.loss]);
        let (colour, is_dashed) = (key.colour, key.is_dashed);
        series.push(Series { colour, is_dashed, dots: dots.collect(), ..Series::default() });
        let mean = |value: &dyn Fn(&crate::experiment::routing_result::RoutingResult) -> f64| {
            let sum: f64 = routing.iter().map(|run| value(&run.routing)).sum();
            sum / routing.len() as f64
        };
        let confidence = mean(&|routing| {
            let gates = &routing.gates;
            gates.iter().map(|gate| gate.confidence).sum::<f64>() / gates.len() as f64
        });
        let rand = routing.iter().map(|run| run.routing.adjusted_rand_index);
        let rand: Option<Vec<f64>> = rand.collect();
        let rand = rand.map(|all| all.iter().sum::<f64>() / all.len() as f64);
        rows.push(vec![
            key.name.clone(),
            format!("{:.3}", mean(&|routing| routing.mutual_information)),
            format!("{:.3}", mean(&|routing| routing.top_set_share)),
            format!("{confidence:.3}"),
            rand.map_or("-".into(), |rand| format!("{rand:.3}")),
        ]);
    }
    if rows.is_empty() {
        return section().missing("No model has gates.");
    }
    let (x, y) = (Axis::new("information", Scale::Linear), Axis::new("test loss", Scale::Linear));
    let title = "Test loss by information";
    let plot = chart(title, &x, &y, &series).map(|svg| Plot { title: title.into(), svg });
    let heads = ["router", "information", "same set", "confidence", "rand index"];
    let is_shown = |key: &Key| {
        series.iter().any(|of| (of.colour, of.is_dashed) == (key.colour, key.is_dashed))
    };
    let keys = keys.into_iter().filter(is_shown).collect();
    section()
        .blocks([
            Block::table(heads, rows),
            Block::Paragraph(format!(
                "On the test split, mean over gates and seeds. {LEGEND} \"same set\" is the share of rows that go to the \
                 most frequent set of experts, \"confidence\" the mean of a row's largest weight, \"rand index\" the \
                 agreement with the planted groups, where the data have them."
            )),
        ])
        .with(plot.map(|plot| Part::Plots(vec![plot], keys)))
}

/// The gates, their alarms and the experts that resemble each other.
pub(super) fn of_run(run: &Run) -> Section {
    let Some(result) = &run.result else {
        return section().missing("The run has not ended, so it has not been tested.");
    };
    let routing = &result.routing;
    if routing.gates.is_empty() {
        return section().missing("The model has no gates.");
    }
    let mut blocks = vec![gates(routing), Block::Paragraph(format!("On the test split. {LEGEND}"))];
    if !routing.alarms.is_empty() {
        blocks.extend([Block::Paragraph("Alarms:".into()), Block::List(alarms(routing))]);
    }
    let section = section().blocks(blocks);
    let nearest = run.inspection.as_ref().map(|inspection| &inspection.nearest);
    let Some(nearest) = nearest.ok().filter(|nearest| !nearest.is_empty()) else {
        return section;
    };
    let rows = nearest.iter().map(|of| {
        let cosine = format!("{:.3}", of.cosine);
        vec![of.layer.clone(), of.expert.to_string(), of.nearest.to_string(), cosine]
    });
    let table = Block::table(["layer", "expert", "nearest", "cosine"], rows);
    section.with([Part::Folded("Experts with the most similar weights".into(), table)])
}
