//! What a model would have lost with other experts, after Yoon and others, "When are experts misrouted? Counterfactual routing
//! analysis in mixture-of-experts language models", arXiv 2605.07260: with the model held fixed, the loss of each row under
//! other sets of as many experts as its router gave it.
//!
//! The paper samples sets of equal size for tokens of language models; here all of them are tried where they are few, and the
//! loss of a row is that of its tasks. One gate is varied at a time: all other gates of the layer keep their routing, and later
//! layers route what they get. An expert of another set has an equal share of the total weight that the router gave the row
//! (1/K each where the weights sum to 1), since routers do not say how they would have weighed experts that they did not
//! choose. The row's own set keeps its own weights, so that the regret is never below 0. Since the best of many sets is also
//! the luckiest, compare regrets between routers over the same number of sets, not with 0.

use std::collections::{BTreeMap, BTreeSet};

use moe_core::batch::{Batch, TaskSpec};
use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::task::TaskRows;
use moe_core::{Pass, Real, Tensor};
use moe_nn::{Model, Output};
use moe_routers::{GateSet, GivenGates};
use serde::Serialize;

use crate::experiment::expert_sets::ExpertSets;
use crate::experiment::groups::Grouping;
use crate::experiment::regret::{GroupRegret, GroupedRegret, Regret, RowLosses, RowSums};

/// How an expert of another set is weighed.
pub(crate) const WEIGHTS: &str = "equal shares of the row's total weight";

/// Which sets are tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetOptions {
    /// Largest number of sets of one size; a sample of so many where there are more.
    pub(crate) most: usize,
    /// Seed of the sample.
    pub(crate) seed: u64,
}

/// The losses of rows under other sets of experts of one gate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Counterfactual {
    #[serde(flatten)]
    pub(crate) all: Regret,
    /// How an expert of another set is weighed.
    pub(crate) weights: &'static str,
    /// Seed of the sampled sets.
    pub(crate) seed: u64,
    /// The sets that were tried, by size: the numbers of experts that rows have.
    pub(crate) sets: Vec<SetsTried>,
    /// Number of forward passes of a batch.
    pub(crate) passes: u64,
    /// The same by groups of rows.
    pub(crate) groups: Vec<GroupedRegret>,
}

/// The sets of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct SetsTried {
    /// Number of experts in a set.
    pub(crate) size: usize,
    /// Number of sets tried.
    pub(crate) tried: usize,
    /// Number of all sets of this size.
    pub(crate) of: f64,
}

/// A gate and its counterfactual.
pub(crate) type OfGate = ((String, usize), Counterfactual);

/// The counterfactuals of all gates that route the rows of a batch; a gate that routes tokens has none, since a loss is that of
/// a row. If a layer has a gate per task, the loss is that of the gate's task, otherwise the sum of the tasks' losses with
/// their weights.
pub(crate) fn counterfactuals(
    model: &mut dyn Model,
    tasks: &[TaskSpec],
    task_weights: &[Real],
    groupings: &[Grouping],
    batches: impl Iterator<Item = Batch>,
    options: SetOptions,
) -> Vec<OfGate> {
    let mut sums: BTreeMap<(String, usize), Sums> = BTreeMap::new();
    let mut order = Vec::new();
    let mut first = 0;
    for batch in batches {
        let own = run(model, &batch, |output| Own::new(&output, tasks, &batch));
        for (layer, gates) in &own.layers {
            for gate in 0..gates.len() {
                let weights = weights_of(gate, gates.len(), task_weights);
                let key = (layer.clone(), gate);
                if !sums.contains_key(&key) {
                    order.push(key.clone());
                }
                let sums = sums.entry(key).or_insert_with(|| Sums::new(groupings));
                let varied = Varied { tasks, batch: &batch, layer, gates, gate, weights: &weights };
                let found = varied.losses(model, &own.losses, sums, options);
                sums.add(&found, groupings, first);
            }
        }
        first += batch.rows();
    }
    let finished = order.into_iter().map(|key| {
        let sums = sums.remove(&key).expect("each gate has its sums");
        (key, sums.finish(groupings, options))
    });
    finished.collect()
}

/// The weight of each task in the loss of a gate.
fn weights_of(gate: usize, gates: usize, task_weights: &[Real]) -> Vec<f64> {
    if gates == task_weights.len() {
        return (0..gates).map(|task| if task == gate { 1.0 } else { 0.0 }).collect();
    }
    task_weights.iter().map(|&weight| f64::from(weight)).collect()
}

/// What `see` makes of the output of the model for a batch.
fn run<T>(model: &dyn Model, batch: &Batch, see: impl FnOnce(Output<'_>) -> T) -> T {
    let tape = Tape::inference();
    see(model.run(&tape, &Pass::inference(batch), &batch.inputs))
}

/// The loss of each row for each task; `None` for rows without a target.
type Losses = Vec<Vec<Option<f64>>>;

fn losses(output: &Output<'_>, tasks: &[TaskSpec], batch: &Batch) -> Losses {
    let of_task = |(i, task): (usize, &TaskSpec)| {
        let (mut rows, target) = (TaskRows::default(), &batch.targets[i]);
        rows.add(output.predictions[i].value().as_slice(), target);
        let mut losses = task.kind.losses(&rows).into_iter();
        target.present.iter().map(|present| present.then(|| losses.next()).flatten()).collect()
    };
    tasks.iter().enumerate().map(of_task).collect()
}

/// The weighted loss of a row; `None` if it has no target of a task that counts.
fn weighted(losses: &Losses, weights: &[f64], row: usize) -> Option<f64> {
    let counted = losses.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
    let terms: Vec<f64> = counted.filter_map(|(of, weight)| Some(weight * of[row]?)).collect();
    if terms.is_empty() { None } else { Some(terms.iter().sum()) }
}

/// What the model does by itself.
struct Own {
    losses: Losses,
    /// Name, and assignments and weights of each gate, of the layers that route the rows of the batch.
    layers: Vec<(String, Vec<(Assignments, Tensor)>)>,
}

impl Own {
    fn new(output: &Output<'_>, tasks: &[TaskSpec], batch: &Batch) -> Self {
        let of_rows = output.layers.iter().filter(|layer| layer.batch_rows.is_none());
        let layers = of_rows.map(|layer| {
            let gates = layer.gates.iter();
            let gates = gates.map(|gate| (gate.assignments.clone(), gate.weights.value()));
            (layer.layer.to_string(), gates.collect())
        });
        Own { losses: losses(output, tasks, batch), layers: layers.collect() }
    }
}

/// A gate that is varied for a batch.
struct Varied<'a> {
    tasks: &'a [TaskSpec],
    batch: &'a Batch,
    layer: &'a str,
    /// The own assignments and weights of the gates of the layer.
    gates: &'a [(Assignments, Tensor)],
    gate: usize,
    /// Weight of each task.
    weights: &'a [f64],
}

impl Varied<'_> {
    /// The losses of each row; `None` for rows without a target.
    fn losses(
        &self,
        model: &mut dyn Model,
        own: &Losses,
        sums: &mut Sums,
        options: SetOptions,
    ) -> Vec<Option<RowLosses>> {
        let (assignments, _) = &self.gates[self.gate];
        let rows = 0..assignments.rows();
        let of_own = |row| weighted(own, self.weights, row);
        let mut found: Vec<_> = rows.clone().map(|row| of_own(row).map(RowLosses::new)).collect();
        let sizes: BTreeSet<usize> = rows.map(|row| assignments.of_row(row).len()).collect();
        for size in sizes {
            let experts = assignments.num_experts();
            let sets = sums
                .sets
                .entry(size)
                .or_insert_with(|| ExpertSets::new(experts, size, options.most, options.seed));
            // A single set is the row's own.
            for set in sets.sets.iter().filter(|_| sets.of > 1.0) {
                let changed = self.loss_with(model, set);
                sums.passes += 1;
                for (row, found) in found.iter_mut().enumerate() {
                    let own = assignments.of_row(row);
                    let is_other = own.len() == size && own != &set[..];
                    if let (Some(found), true) = (found, is_other)
                        && let Some(loss) = weighted(&changed, self.weights, row)
                    {
                        found.add(loss);
                    }
                }
            }
        }
        found
    }

    /// The losses if all rows with as many experts as `set` are sent there by the gate.
    fn loss_with(&self, model: &mut dyn Model, set: &[u32]) -> Losses {
        let mut gates = self.gates.to_vec();
        gates[self.gate] = redirected(&self.gates[self.gate], set);
        let own = replace_gates(model, self.layer, Box::new(GivenGates::new(gates)));
        let changed = run(model, self.batch, |output| losses(&output, self.tasks, self.batch));
        replace_gates(model, self.layer, own);
        changed
    }
}

/// The routing in which every row with as many experts as `set` has those of `set`, with equal shares of its weight.
fn redirected(
    (assignments, weights): &(Assignments, Tensor),
    set: &[u32],
) -> (Assignments, Tensor) {
    let is_changed = |row: usize| assignments.of_row(row).len() == set.len();
    let rows = 0..assignments.rows();
    let experts = rows.clone().map(|row| match is_changed(row) {
        true => set,
        false => assignments.of_row(row),
    });
    let changed = Assignments::from_rows(assignments.num_experts(), experts);
    let mut weights = weights.clone();
    for row in rows.filter(|&row| is_changed(row)) {
        let of_row = &mut weights.as_mut_slice()[assignments.pairs_of(row)];
        let share = of_row.iter().sum::<Real>() / of_row.len().max(1) as Real;
        of_row.fill(share);
    }
    (changed, weights)
}

/// Puts `gates` in the place of those of a layer, which are returned.
fn replace_gates(model: &mut dyn Model, layer: &str, gates: Box<dyn GateSet>) -> Box<dyn GateSet> {
    let mut layers = model.gates_mut().into_iter();
    let found = layers.find(|known| known.layer == layer).expect("a model lists its MoE layers");
    std::mem::replace(found.gates, gates)
}

/// Sums of a gate.
struct Sums {
    all: RowSums,
    /// By grouping and group.
    groups: Vec<Vec<RowSums>>,
    /// By size.
    sets: BTreeMap<usize, ExpertSets>,
    passes: u64,
}

impl Sums {
    fn new(groupings: &[Grouping]) -> Self {
        let of = |grouping: &Grouping| vec![RowSums::default(); grouping.names.len()];
        let groups = groupings.iter().map(of).collect();
        Sums { all: RowSums::default(), groups, sets: BTreeMap::new(), passes: 0 }
    }

    /// Adds the rows of a batch that begins at row `first` of the split.
    fn add(&mut self, rows: &[Option<RowLosses>], groupings: &[Grouping], first: usize) {
        for (row, losses) in rows.iter().enumerate() {
            let Some(losses) = losses else { continue };
            self.all.add(losses);
            for (grouping, groups) in groupings.iter().zip(&mut self.groups) {
                groups[grouping.rows[first + row] as usize].add(losses);
            }
        }
    }

    fn finish(self, groupings: &[Grouping], options: SetOptions) -> Counterfactual {
        let groups = groupings.iter().zip(&self.groups).map(|(grouping, sums)| {
            let named = grouping.names.iter().zip(sums).filter(|(_, sums)| sums.rows > 0);
            let groups =
                named.map(|(name, sums)| GroupRegret { name: name.clone(), regret: sums.regret() });
            GroupedRegret { by: grouping.by, of: grouping.of.clone(), groups: groups.collect() }
        });
        let sets = self.sets.iter().map(|(&size, sets)| SetsTried {
            size,
            tried: sets.sets.len(),
            of: sets.of,
        });
        Counterfactual {
            all: self.all.regret(),
            weights: WEIGHTS,
            seed: options.seed,
            sets: sets.collect(),
            passes: self.passes,
            groups: groups.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
