//! How the gates of a saved run route the rows of a split.

use std::sync::Arc;

use moe_core::Pass;
use moe_core::batch::TaskSpec;
use moe_core::tape::Tape;
use moe_data::Split;
use moe_nn::{LayerRoutings, Model};
use moe_routers::telemetry::{GateStats, GateSummary, TreeStats, TreeSummary};
use serde::Serialize;

use crate::error::Error;
use crate::experiment::counterfactual::{Counterfactual, SetOptions, counterfactuals};
use crate::experiment::groups::{By, Grouping, groupings};
use crate::experiment::routing_result::GateAlarm;
use crate::experiment::saved_run::{About, SavedRun, SplitName};

/// What `moe inspect --format json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    /// `moe.inspect/1`
    pub(crate) schema: &'static str,
    #[serde(flatten)]
    pub(crate) about: About,
    /// Number of experts (N), the largest of all layers; 0 for a model without gates.
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
    /// Name of the gate's layer.
    pub(crate) layer: String,
    pub(crate) gate: usize,
    /// Name of the gate's task; empty if the layer does not have a gate per task.
    pub(crate) task: String,
    pub(crate) summary: GateSummary,
    pub(crate) alarms: Vec<GateAlarm>,
    /// The load by groups of rows.
    pub(crate) groups: Vec<GroupedLoad>,
    /// The trees of the gate; empty if it has none.
    pub(crate) trees: Vec<TreeSummary>,
    /// The losses with other sets of experts, if they were asked for and the gate routes the rows of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counterfactual: Option<Counterfactual>,
}

/// The load of the experts by groups of rows.
#[derive(Debug, Serialize)]
pub(crate) struct GroupedLoad {
    pub(crate) by: By,
    /// Name of the task or the column, or what the planted groups are.
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
    /// Name of the experts' layer.
    pub(crate) layer: String,
    pub(crate) expert: usize,
    /// The other expert.
    pub(crate) nearest: usize,
    /// Cosine of the angle between all weights and biases of the two; 0 if one of them has only zeros.
    pub(crate) cosine: f64,
}

/// Inspects the gates of the run on a split; with `most_sets`, also what other sets of experts would have lost, of each size so
/// many.
///
/// # Errors
/// If the model cannot be built or its weights do not fit.
pub(crate) fn inspect(
    run: &SavedRun<'_>,
    split: SplitName,
    most_sets: Option<usize>,
) -> Result<Inspection, Error> {
    let mut model = run.model()?;
    let sizes: Vec<(String, usize)> = (model.gates_mut().iter())
        .map(|layer| (layer.layer.to_string(), layer.gates.num_experts()))
        .collect();
    let nearest = sizes.iter().flat_map(|(layer, experts)| {
        let nearest = nearest_experts(&experts_of(&*model, layer, *experts)).into_iter();
        nearest.map(|nearest| Nearest { layer: layer.clone(), ..nearest })
    });
    let nearest = nearest.collect();
    let (data, rows) = (&run.experiment.data, run.split(split));
    let groupings = groupings(data, rows, run.batches(rows));
    let mut gates = gates(run, rows, &groupings, &mut *model);
    if let Some(most) = most_sets {
        let options = SetOptions { most, seed: run.experiment.config.run.first_seed };
        let weights = run.experiment.task_weights();
        let batches = run.batches(rows);
        let found =
            counterfactuals(&mut *model, &data.tasks, &weights, &groupings, batches, options);
        for ((layer, gate), found) in found {
            let view = gates.iter_mut().find(|view| view.layer == layer && view.gate == gate);
            view.expect("every gate is seen").counterfactual = Some(found);
        }
    }
    Ok(Inspection {
        schema: "moe.inspect/1",
        about: run.about(split),
        experts: sizes.iter().map(|(_, experts)| *experts).max().unwrap_or(0),
        k: run.experiment.config.model.k,
        nearest,
        gates,
    })
}

/// Counts of a gate.
struct Counts {
    layer: Arc<str>,
    gate: usize,
    /// Number of gates of the layer.
    gates: usize,
    stats: GateStats,
    trees: TreeStats,
    /// Number of rows, and of rows of each expert, by grouping and group.
    groups: Vec<Vec<(u64, Vec<u64>)>>,
}

impl Counts {
    fn new(layer: &LayerRoutings<'_>, gate: usize, groupings: &[Grouping]) -> Self {
        let experts = layer.gates[gate].assignments.num_experts();
        let of = |grouping: &Grouping| vec![(0, vec![0; experts]); grouping.names.len()];
        Counts {
            layer: Arc::clone(&layer.layer),
            gate,
            gates: layer.gates.len(),
            stats: GateStats::default(),
            trees: TreeStats::default(),
            groups: groupings.iter().map(of).collect(),
        }
    }

    /// Adds the rows of a layer for a batch that begins at row `first` of the split.
    fn add(&mut self, layer: &LayerRoutings<'_>, groupings: &[Grouping], first: usize) {
        let routing = &layer.gates[self.gate];
        self.stats.add_routing(routing);
        let assignments = &routing.assignments;
        for (grouping, counts) in groupings.iter().zip(&mut self.groups) {
            for row in 0..assignments.rows() {
                let of_batch = layer.batch_rows.as_ref().map_or(row, |rows| rows[row] as usize);
                let (rows, load) = &mut counts[grouping.rows[first + of_batch] as usize];
                *rows += 1;
                assignments.of_row(row).iter().for_each(|&expert| load[expert as usize] += 1);
            }
        }
    }

    fn view(&self, tasks: &[TaskSpec], groupings: &[Grouping]) -> GateView {
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
        let layer = self.layer.to_string();
        let summary = GateSummary { layer: layer.clone(), gate: self.gate, ..self.stats.summary() };
        let task = tasks.get(self.gate).filter(|_| self.gates == tasks.len());
        GateView {
            layer,
            gate: self.gate,
            task: task.map_or(String::new(), |task| task.name.clone()),
            alarms: GateAlarm::all(&summary),
            summary,
            groups: grouped.collect(),
            trees: self.trees.summary(),
            counterfactual: None,
        }
    }
}

/// Sends all rows of the split through the model and looks at its gates.
fn gates(
    run: &SavedRun<'_>,
    split: &Split,
    groupings: &[Grouping],
    model: &mut dyn Model,
) -> Vec<GateView> {
    let mut counts: Vec<Counts> = Vec::new();
    let mut first = 0;
    for batch in run.batches(split) {
        let tape = Tape::inference();
        let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
        let mut at = 0;
        for layer in &output.layers {
            let known = model.gates_mut().into_iter().find(|known| *known.layer == *layer.layer);
            let walks = known.and_then(|known| known.gates.walk_trees(&layer.input.value()));
            for gate in 0..layer.gates.len() {
                if at == counts.len() {
                    counts.push(Counts::new(layer, gate, groupings));
                }
                counts[at].add(layer, groupings, first);
                if let Some(walks) = &walks {
                    counts[at].trees.add(&walks[gate]);
                }
                at += 1;
            }
        }
        first += batch.rows();
    }
    counts.iter().map(|counts| counts.view(&run.experiment.data.tasks, groupings)).collect()
}

/// All weights and biases of each expert of a layer in one vector. Experts are stacked in each tensor, or each has tensors
/// of its own under its index.
fn experts_of(model: &dyn Model, layer: &str, experts: usize) -> Vec<Vec<f64>> {
    let mut all = vec![Vec::new(); experts];
    let prefix = format!("{layer}.experts.");
    model.visit(&mut |name, state| {
        let Some(rest) = name.strip_prefix(&prefix) else { return };
        let values = state.tensor().as_slice().iter().map(|&value| f64::from(value));
        let own = rest.split('.').next().and_then(|index| index.parse::<usize>().ok());
        match own.and_then(|index| all.get_mut(index)) {
            Some(own) => own.extend(values),
            None => {
                let each = values.len() / experts;
                values.enumerate().for_each(|(i, value)| all[i / each].push(value));
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
        let layer = String::new();
        Some(Nearest { layer, expert, nearest: nearest.0, cosine: nearest.1 })
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
