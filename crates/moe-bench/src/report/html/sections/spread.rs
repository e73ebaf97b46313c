//! How much the runs of a router differ by their seeds.

use crate::experiment::results::Comparison;
use crate::report::document::Block;
use crate::report::html::section::Section;
use crate::statistics::Summary;
use crate::statistics::quantile::quantile;

/// The worst of this many runs make up the worst tenth.
const TENTH: usize = 10;

/// A line per router.
pub(super) fn of_comparison(of: &Comparison) -> Section {
    let section = Section::new("spread", "Spread over seeds");
    let mut rows = Vec::new();
    for router in &of.config.run.routers {
        let runs = of.runs_of(router);
        let mut losses: Vec<f64> = runs.iter().map(|run| run.test.loss).collect();
        if losses.len() < 2 {
            continue;
        }
        losses.sort_by(f64::total_cmp);
        let count = losses.len();
        let deviation = Summary::of(&losses).stderr.unwrap_or(0.0) * (count as f64).sqrt();
        let worst = count.div_ceil(TENTH);
        let cells = [
            losses[0],
            quantile(&losses, 0.5),
            Summary::of(&losses[count - worst..]).mean,
            losses[count - 1],
            deviation,
        ];
        let cells = cells.iter().map(|cell| format!("{cell:.4}"));
        rows.push([router.clone(), count.to_string()].into_iter().chain(cells).collect());
    }
    if rows.is_empty() {
        return section.missing("No router has two runs that were finished.");
    }
    let heads = ["router", "runs", "lowest", "median", "worst tenth", "highest", "deviation"];
    let note = "Test losses of the runs of a router. \"worst tenth\" is the mean of the highest tenth, at least one run; \
                \"deviation\" is the standard deviation.";
    section.blocks([Block::table(heads, rows), Block::Paragraph(note.into())])
}
