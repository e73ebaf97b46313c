//! How the gates of a saved run route the rows of a split.

use moe_core::Pass;
use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_nn::{Mixture, ModelDescription, Module};
use moe_routers::telemetry::{GateStats, GateSummary, TreeStats, TreeSummary};
use serde::Serialize;

use crate::error::Error;
use crate::experiment::groups::{By, Grouping, groupings};
use crate::experiment::results::GateAlarm;
use crate::experiment::saved_run::{About, SavedRun, SplitName};

/// What `moe inspect --format json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    /// `moe.inspect/1`
    pub(crate) schema: &'static str,
    #[serde(flatten)]
    pub(crate) about: About,
    /// Number of experts (N); 0 for a model without gates.
    pub(crate) experts: usize,
    /// Experts per row as configured (K), also for routers that do not use it.
    pub(crate) k: usize,
    pub(crate) gates: Vec<GateView>,
    /// The expert with the most similar weights, for each expert.
    pub(crate) nearest: Vec<Nearest>,
}

/// A gate.
#[derive(Debug, Serialize)]
pub(crate) struct GateView {
    pub(crate) gate: usize,
    /// Name of the gate's task.
    pub(crate) task: String,
    pub(crate) summary: GateSummary,
    pub(crate) alarms: Vec<GateAlarm>,
    /// The load by groups of rows.
    pub(crate) groups: Vec<GroupedLoad>,
    /// The trees of the gate; empty if it has none.
    pub(crate) trees: Vec<TreeSummary>,
}

/// The load of the experts by groups of rows.
#[derive(Debug, Serialize)]
pub(crate) struct GroupedLoad {
    pub(crate) by: By,
    /// Name of the task or the column.
    pub(crate) of: String,
    /// The groups that have rows.
    pub(crate) groups: Vec<GroupLoad>,
}

/// A group of rows.
#[derive(Debug, Serialize)]
pub(crate) struct GroupLoad {
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// `[N]`: share of each expert in the group's (row, expert) pairs.
    pub(crate) load_share: Vec<f64>,
}

/// An expert and the one with the most similar weights.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Nearest {
    pub(crate) expert: usize,
    /// The other expert.
    pub(crate) nearest: usize,
    /// Cosine of the angle between all weights and biases of the two; 0 if one of them has only zeros.
    pub(crate) cosine: f64,
}

/// Inspects the gates of the run on a split.
///
/// # Errors
/// If the model cannot be built or its weights do not fit.
pub(crate) fn inspect(run: &SavedRun<'_>, split: SplitName) -> Result<Inspection, Error> {
    let mut inspection = Inspection {
        schema: "moe.inspect/1",
        about: run.about(split),
        experts: 0,
        k: run.experiment.config.model.k,
        gates: Vec::new(),
        nearest: Vec::new(),
    };
    if let ModelDescription::Mixture(description) = &run.description {
        let mut model = description.build(run.experiment.registry, 0)?;
        run.load(&mut model)?;
        inspection.experts = description.experts;
        inspection.gates = gates(run, split, &model);
        inspection.nearest = nearest_experts(&experts_of(&model, description.experts));
    }
    Ok(inspection)
}

/// Counts of a gate.
struct Counts {
    stats: GateStats,
    trees: TreeStats,
    /// Number of rows, and of rows of each expert, by grouping and group.
    groups: Vec<Vec<(u64, Vec<u64>)>>,
}

impl Counts {
    fn new(groupings: &[Grouping], experts: usize) -> Self {
        let of = |grouping: &Grouping| vec![(0, vec![0; experts]); grouping.names.len()];
        let groups = groupings.iter().map(of).collect();
        Counts { stats: GateStats::default(), trees: TreeStats::default(), groups }
    }

    /// Adds the rows of the split from index `first` on.
    fn add_groups(&mut self, groupings: &[Grouping], first: usize, assignments: &Assignments) {
        for (grouping, counts) in groupings.iter().zip(&mut self.groups) {
            for row in 0..assignments.rows() {
                let (rows, load) = &mut counts[grouping.rows[first + row] as usize];
                *rows += 1;
                assignments.of_row(row).iter().for_each(|&expert| load[expert as usize] += 1);
            }
        }
    }

    fn view(&self, gate: usize, task: &str, groupings: &[Grouping]) -> GateView {
        let grouped = groupings.iter().zip(&self.groups).map(|(grouping, counts)| {
            let groups = grouping.names.iter().zip(counts).filter(|(_, (rows, _))| *rows > 0);
            let groups = groups.map(|(name, (rows, load))| {
                let pairs = load.iter().sum::<u64>().max(1) as f64;
                GroupLoad {
                    name: name.clone(),
                    rows: *rows,
                    load_share: load.iter().map(|&rows| rows as f64 / pairs).collect(),
                }
            });
            GroupedLoad { by: grouping.by, of: grouping.of.clone(), groups: groups.collect() }
        });
        let summary = self.stats.summary();
        GateView {
            gate,
            task: task.to_owned(),
            alarms: GateAlarm::all(gate, &summary),
            summary,
            groups: grouped.collect(),
            trees: self.trees.summary(),
        }
    }
}

/// Sends all rows of the split through the gates.
fn gates(run: &SavedRun<'_>, split: SplitName, model: &Mixture) -> Vec<GateView> {
    let (data, split) = (&run.experiment.data, run.split(split));
    let groupings = groupings(data, split, run.batches(split));
    let gates = model.layer().gates();
    let new = || Counts::new(&groupings, gates.num_experts());
    let mut counts: Vec<Counts> = (0..gates.num_gates()).map(|_| new()).collect();
    let mut first = 0;
    for batch in run.batches(split) {
        let (tape, pass) = (Tape::inference(), Pass::inference(&batch));
        let x = model.encoder().forward(&tape, &pass, &batch.inputs);
        for (counts, routing) in counts.iter_mut().zip(gates.route(&pass, x)) {
            counts.stats.add_routing(&routing);
            counts.add_groups(&groupings, first, &routing.assignments);
        }
        let walks = gates.walk_trees(&x.value()).unwrap_or_default();
        counts.iter_mut().zip(&walks).for_each(|(counts, walk)| counts.trees.add(walk));
        first += batch.rows();
    }
    let views = counts.iter().zip(&data.tasks).enumerate();
    views.map(|(gate, (counts, task))| counts.view(gate, &task.name, &groupings)).collect()
}

/// All weights and biases of each expert in one vector.
fn experts_of(model: &Mixture, experts: usize) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new(); experts];
    model.visit(&mut |name, state| {
        if name.starts_with("layer.experts.") {
            let values = state.tensor().as_slice();
            for (own, values) in all.iter_mut().zip(values.chunks_exact(values.len() / experts)) {
                own.extend(values.iter().map(|&value| f64::from(value)));
            }
        }
    });
    all
}

/// The other vector with the largest cosine for each vector, the first of equals; nothing for fewer than two.
fn nearest_experts(experts: &[Vec<f64>]) -> Vec<Nearest> {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms: Vec<f64> = experts.iter().map(|own| product(own, own).sqrt()).collect();
    let cosine = |a: usize, b: usize| match norms[a] * norms[b] {
        0.0 => 0.0,
        norms => product(&experts[a], &experts[b]) / norms,
    };
    let nearest = |expert: usize| {
        let others = (0..experts.len()).filter(|&other| other != expert);
        let mut others = others.map(|other| (other, cosine(expert, other)));
        let first = others.next()?;
        let nearest = others.fold(first, |best, other| if other.1 > best.1 { other } else { best });
        Some(Nearest { expert, nearest: nearest.0, cosine: nearest.1 })
    };
    (0..experts.len()).filter_map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_expert_is_another_one() {
        let experts = [vec![1.0, 0.0], vec![0.0, 2.0], vec![3.0, 4.0], vec![0.0, 0.0]];
        let found = nearest_experts(&experts);
        let of = |expert: usize| (found[expert].nearest, found[expert].cosine);
        assert_eq!([of(0), of(1), of(2)], [(2, 0.6), (2, 0.8), (1, 0.8)]);
        assert_eq!(of(3), (0, 0.0), "no direction");
        assert!(nearest_experts(&experts[..1]).is_empty());
    }
}
