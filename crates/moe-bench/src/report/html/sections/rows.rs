//! Which rows go to which experts, and what other experts would have lost.

use crate::experiment::inspection::{GateView, GroupedLoad, Inspection};
use crate::report::counterfactual::other_sets;
use crate::report::document::Block;
use crate::report::html::plot::heat::Heat;
use crate::report::html::section::{Part, Plot, Section};
use crate::report::html::sections::load::capitalised;
use crate::report::html::source::Run;
use crate::report::inspection::load_by_group;

fn section() -> Section {
    Section::new("rows", "Who goes where")
}

/// A comparison keeps no models.
pub(super) fn of_comparison() -> Section {
    section().missing(
        "A comparison keeps no models. Train one with moe train, which saves it; moe report on its directory shows which rows \
         go to which experts, and with --counterfactual the regret.",
    )
}

/// The load by groups of rows.
pub(super) fn of_run(run: &Run) -> Section {
    let inspection = match &run.inspection {
        Ok(inspection) => inspection,
        Err(reason) => return section().missing(reason.clone()),
    };
    let Inspection { about, gates, .. } = inspection;
    if gates.is_empty() {
        return section().missing("The model has no gates.");
    }
    let mut parts = vec![Part::Block(Block::Paragraph(format!(
        "{} rows of the test split. Rows are groups, columns experts; the stronger the colour, the more of the group's (row, expert) pairs.",
        about.rows
    )))];
    for gate in gates {
        parts.push(Part::Block(Block::Heading(3, name(gate))));
        let plots = gate.groups.iter().filter_map(by_group);
        parts.push(Part::Plots(plots.collect(), Vec::new()));
        let tables = gate.groups.iter();
        parts.extend(tables.map(|grouped| {
            let title = format!("Table by {}", grouped.by.head(&grouped.of));
            Part::Folded(title, load_by_group(grouped))
        }));
    }
    section().with(parts)
}

/// What other sets of experts would have lost.
pub(super) fn regret(run: &Run) -> Section {
    let section = Section::new("regret", "Regret");
    let inspection = match &run.inspection {
        Ok(inspection) => inspection,
        Err(reason) => return section.missing(reason.clone()),
    };
    let found: Vec<Block> = (inspection.gates.iter())
        .filter_map(|gate| {
            let found = gate.counterfactual.as_ref()?;
            Some(std::iter::once(Block::Heading(3, name(gate))).chain(other_sets(found)))
        })
        .flatten()
        .collect();
    if found.is_empty() {
        return section.missing(
            "The losses with other experts were not computed, which costs many passes; moe report --counterfactual does that.",
        );
    }
    section.blocks(found)
}

fn name(gate: &GateView) -> String {
    match &*gate.task {
        "" => capitalised(&gate.summary.label()),
        task => format!("{} ({task})", capitalised(&gate.summary.label())),
    }
}

fn by_group(grouped: &GroupedLoad) -> Option<Plot> {
    let title = format!("By {}", grouped.by.head(&grouped.of));
    let rows = grouped.groups.iter().map(|group| (group.name.clone(), group.load_share.clone()));
    let heat = Heat { x: "expert".into(), rows: rows.take(64).collect(), first: 0 };
    heat.plot(&title)
}
