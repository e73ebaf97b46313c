use moe_core::batch::{BatchSource, InputSpec, Inputs, Target, TaskSpec};
use moe_core::tape::{Tape, Var, Vars};
use moe_core::task::{Binary, Multiclass, Regression};
use moe_core::{
    Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut, named, named_mut, named_state,
};
use moe_routers::Registry;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layers::forward::Forward;
use crate::models::description::{ModelDescription, check_tasks};
use crate::models::model::Model;
use crate::module::Module;

/// Everything needed to build a [`Bias`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasDescription {
    /// The inputs: two columns of ids.
    pub input: InputSpec,
    /// The tasks.
    pub tasks: Vec<TaskSpec>,
    /// Strength of the ridge penalty, in rows.
    pub ridge: f64,
}

impl BiasDescription {
    pub(crate) const KIND: &str = "bias";

    /// The model before fitting, with all biases zero.
    ///
    /// # Errors
    /// If the input is not two columns of ids, or a task is of a kind without a closed form.
    pub fn build(&self) -> Result<Bias, ModelError> {
        self.check_input()?;
        let task = |task: &TaskSpec| {
            let rule = Rule::of(task)?;
            let outputs = task.kind.outputs();
            let table = |rows| Parameter::new(Tensor::zeros([rows, outputs]));
            let columns = self.input.columns.iter();
            Ok(TaskBiases {
                rule,
                mean: table(1),
                columns: columns
                    .map(|column| (column.name.clone(), table(column.vocabulary)))
                    .collect(),
            })
        };
        let tasks = self.tasks.iter().map(task).collect::<Result<_, ModelError>>()?;
        Ok(Bias { tasks, ridge: self.ridge })
    }

    /// Refuses an input that is not two columns of ids.
    fn check_input(&self) -> Result<(), ModelError> {
        let InputSpec { columns, dense, tokens } = &self.input;
        if columns.len() == 2 && dense.is_empty() && tokens.is_none() {
            return Ok(());
        }
        Err(ModelError::NotTwoIds { found: self.input.to_string() })
    }
}

impl ModelDescription for BiasDescription {
    fn kind(&self) -> &str {
        Self::KIND
    }

    fn fields(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a description has text keys")
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        &mut self.tasks
    }

    fn weights(&self, _routers: &Registry) -> f64 {
        let rows: usize = self.input.columns.iter().map(|column| column.vocabulary).sum();
        let outputs: usize = self.tasks.iter().map(|task| task.kind.outputs()).sum();
        (rows as f64 + 1.0) * outputs as f64
    }

    fn validate(&self, _routers: &Registry) -> Result<(), ModelError> {
        check_tasks(&self.tasks)?;
        self.check_input()
    }

    fn build_model(&self, _routers: &Registry, _seed: u64) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(self.build()?))
    }
}

/// A recommender without interactions: for each task a mean, plus a bias for the user, plus a bias for the item (Koren,
/// "Factorization meets the neighborhood", KDD 2008, section 2.1). The sum is the log-odds of a binary task, one logit per
/// class of a multiclass task, or the value of a regression.
///
/// The model is not trained by gradient steps: [`Model::fit`] minimises, for each task separately,
///
/// Σ_rows loss + ridge · c / 2 · Σ_biases b²
///
/// with loss ½ (y - z)² and c = 1 for a regression, and the negative log-likelihood otherwise, with c = 1/4 for a binary
/// and 1/2 for a multiclass task. Since c is the largest curvature of a row's loss, `ridge` is a number of rows for every
/// kind of task: each id is treated as if it occurred in `ridge` more rows that have nothing left to explain. The mean is
/// not penalised; an id that does not occur has a bias of 0.
///
/// The users and the mean, then the items and the mean, are solved for in turn, each exactly as if the curvature were c.
/// For a regression these are alternating least squares; for logits the steps never overshoot (Böhning and Lindsay,
/// "Monotonicity of quadratic-approximation algorithms", 1988). Fitting ends when the largest change of a sweep is below
/// 1e-9 of the largest value, or after 1000 sweeps, which data with a single class need.
#[derive(Debug)]
pub struct Bias {
    tasks: Vec<TaskBiases>,
    ridge: f64,
}

/// The closed form of a kind of task.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Binary,
    Multiclass,
    Regression,
}

impl Rule {
    fn of(task: &TaskSpec) -> Result<Self, ModelError> {
        match task.kind.id() {
            Binary::ID => Ok(Rule::Binary),
            Multiclass::ID => Ok(Rule::Multiclass),
            Regression::ID => Ok(Rule::Regression),
            kind => {
                let (task, kind) = (task.name.clone(), kind.to_owned());
                Err(ModelError::NoClosedForm { task, kind })
            }
        }
    }

    /// The largest curvature of a row's loss (c).
    fn largest_curvature(self) -> f64 {
        match self {
            Rule::Regression => 1.0,
            Rule::Binary => 0.25,
            Rule::Multiclass => 0.5,
        }
    }

    /// Replaces the logits, or the prediction, of a row by the target minus its expectation.
    fn unexplained(self, target: &Target, row: usize, z: &mut [f64]) {
        match self {
            Rule::Regression => z[0] = f64::from(target.values[row]) - z[0],
            Rule::Binary => z[0] = f64::from(target.values[row]) - 1.0 / (1.0 + (-z[0]).exp()),
            Rule::Multiclass => {
                let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                z.iter_mut().for_each(|z| *z = (*z - most).exp());
                let sum: f64 = z.iter().sum();
                z.iter_mut().for_each(|z| *z /= -sum);
                z[target.classes[row] as usize] += 1.0;
            }
        }
    }
}

/// The biases of one task with C outputs.
#[derive(Debug)]
struct TaskBiases {
    rule: Rule,
    /// `[1, C]`
    mean: Parameter,
    /// Name and biases `[V, C]` of each id column.
    columns: Vec<(String, Parameter)>,
}

impl Model for Bias {
    /// # Panics
    /// If the inputs are not two columns of ids below their vocabularies.
    fn forward<'t>(&self, tape: &'t Tape, _pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let ids = two_columns(inputs);
        let predictions = self.tasks.iter().map(|task| {
            let of_ids = |((_, table), ids): (&(_, Parameter), &Vec<u32>)| -> Var<'t> {
                tape.parameter(table).gather_rows(ids)
            };
            let biases = task.columns.iter().zip(ids).map(of_ids);
            biases.fold(tape.parameter(&task.mean), |sum, bias| sum + bias)
        });
        predictions.collect()
    }

    fn fit(&mut self, source: &dyn BatchSource) -> Option<u64> {
        let rows: Vec<u32> = (0..source.rows() as u32).collect();
        let batch = source.batch(&rows);
        let ids = two_columns(&batch.inputs);
        let tasks = self.tasks.iter_mut().zip(&batch.targets);
        tasks.map(|(task, target)| task.fit(ids, target, self.ridge)).max()
    }
}

fn two_columns(inputs: &Inputs) -> &[Vec<u32>] {
    let Inputs { ids, dense, tokens } = inputs;
    let only_ids = dense.is_none() && tokens.is_none();
    assert!(only_ids && ids.len() == 2, "the model takes two columns of ids");
    ids
}

impl TaskBiases {
    /// Fits the biases; returns the number of sweeps.
    fn fit(&mut self, ids: &[Vec<u32>], target: &Target, ridge: f64) -> u64 {
        const TOLERANCE: f64 = 1e-9;
        const MOST_SWEEPS: u64 = 1000;
        let rows: Vec<usize> = (0..target.rows()).filter(|&row| target.present[row]).collect();
        let column = |((_, table), ids): (&(_, Parameter), &Vec<u32>)| {
            Column::new(table, rows.iter().map(|&row| ids[row]).collect(), ridge)
        };
        let columns = self.columns.iter().zip(ids).map(column).collect();
        let mean = doubles(&self.mean);
        let mut fit = Fit { rule: self.rule, target, ridge, rows, mean, columns };
        let mut sweeps = 0;
        loop {
            sweeps += 1;
            let columns = 0..fit.columns.len();
            let steps = columns.map(|column| fit.solve(column, self.mean.is_frozen()));
            let largest_step = steps.fold(0.0, f64::max);
            if largest_step <= TOLERANCE * fit.largest_value() || sweeps == MOST_SWEEPS {
                break;
            }
        }
        store(&mut self.mean, &fit.mean);
        for ((_, table), column) in self.columns.iter_mut().zip(&fit.columns) {
            store(table, &column.values);
        }
        sweeps
    }
}

fn doubles(parameter: &Parameter) -> Vec<f64> {
    parameter.value().as_slice().iter().map(|&v| f64::from(v)).collect()
}

fn store(parameter: &mut Parameter, values: &[f64]) {
    let stored = parameter.value_mut().as_mut_slice().iter_mut().zip(values);
    stored.for_each(|(stored, &value)| *stored = value as Real);
}

/// A task being fitted, in double precision.
struct Fit<'a> {
    rule: Rule,
    target: &'a Target,
    ridge: f64,
    /// The rows that count towards the loss.
    rows: Vec<usize>,
    /// `[C]`
    mean: Vec<f64>,
    columns: Vec<Column>,
}

/// The biases of one id column; a row has exactly one of them.
struct Column {
    /// `[V, C]`
    values: Vec<f64>,
    /// The id of each row that counts.
    ids: Vec<u32>,
    /// Number of rows of each id.
    counts: Vec<f64>,
    /// The counts plus the penalty, which is infinite for a frozen column.
    weights: Vec<f64>,
}

impl Column {
    fn new(table: &Parameter, ids: Vec<u32>, ridge: f64) -> Self {
        let mut counts = vec![0.0; table.value().rows()];
        ids.iter().for_each(|&id| counts[id as usize] += 1.0);
        let ridge = if table.is_frozen() { f64::INFINITY } else { ridge };
        let weights = counts.iter().map(|count| count + ridge).collect();
        Column { values: doubles(table), ids, counts, weights }
    }
}

impl Fit<'_> {
    /// Solves for a column and the mean; returns the largest change.
    ///
    /// With n rows of an id, r the sum of their residuals over c and g = r - ridge · b, the biases change by
    /// (g - n Δ) / (n + ridge) and the mean by Δ, for which Σ_ids (r - n Δ - n (g - n Δ) / (n + ridge)) = 0.
    fn solve(&mut self, column: usize, is_mean_frozen: bool) -> f64 {
        if self.rows.is_empty() {
            return 0.0;
        }
        let outputs = self.mean.len();
        let mut residuals = self.residuals(column);
        let Column { values, counts, weights, .. } = &mut self.columns[column];
        let mut largest = 0.0f64;
        for output in 0..outputs {
            let (mut rest, mut weight) = (0.0, 0.0);
            for (id, (&n, &w)) in counts.iter().zip(&*weights).enumerate() {
                let at = id * outputs + output;
                let g = residuals[at] - self.ridge * values[at];
                rest += residuals[at] - n * g / w;
                weight += n - n * n / w;
                residuals[at] = g;
            }
            let step = if is_mean_frozen { 0.0 } else { rest / weight };
            self.mean[output] += step;
            largest = largest.max(step.abs());
            for (id, (&n, &w)) in counts.iter().zip(&*weights).enumerate() {
                let at = id * outputs + output;
                let step = (residuals[at] - n * step) / w;
                values[at] += step;
                largest = largest.max(step.abs());
            }
        }
        largest
    }

    /// `[V, C]`: for each id of a column, the negative slope of the loss of its rows (their residuals), divided by c.
    fn residuals(&self, column: usize) -> Vec<f64> {
        let outputs = self.mean.len();
        let largest_curvature = self.rule.largest_curvature();
        let mut sums = vec![0.0; self.columns[column].values.len()];
        let mut z = vec![0.0; outputs];
        for (i, &row) in self.rows.iter().enumerate() {
            z.copy_from_slice(&self.mean);
            for Column { values, ids, .. } in &self.columns {
                let start = ids[i] as usize * outputs;
                z.iter_mut().zip(&values[start..]).for_each(|(z, value)| *z += value);
            }
            self.rule.unexplained(self.target, row, &mut z);
            let start = self.columns[column].ids[i] as usize * outputs;
            let sums = sums[start..].iter_mut().zip(&z);
            sums.for_each(|(sum, rest)| *sum += rest / largest_curvature);
        }
        sums
    }

    fn largest_value(&self) -> f64 {
        let values = self.columns.iter().flat_map(|column| &column.values).chain(&self.mean);
        values.fold(0.0, |most, value| most.max(value.abs()))
    }
}

impl Module for Bias {
    named_state!("tasks" => child tasks);
}

impl Module for TaskBiases {
    fn visit(&self, f: &mut Visit<'_>) {
        f("mean", StateRef::Parameter(&self.mean));
        for (name, table) in &self.columns {
            named("bias", f, |f| f(name, StateRef::Parameter(table)));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("mean", StateMut::Parameter(&mut self.mean));
        for (name, table) in &mut self.columns {
            named_mut("bias", f, |f| f(name, StateMut::Parameter(table)));
        }
    }
}
