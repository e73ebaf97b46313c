//! Runs to be served.

use std::ops::Range;
use std::path::PathBuf;

use moe_core::Real;
use moe_core::batch::{BatchSource, IdColumn, InputSpec, Inputs, TaskKind, TaskSpec};
use moe_data::{Dataset, FeatureSchema, LoadOptions};
use moe_nn::{
    MixtureDescription, Model, ModelDescription, ModelScratch, Models, OptimizerOptions,
    Predictions, Predictor, RunDir, RunInfo, TrainOptions, TrainState, continue_training,
};
use moe_routers::Registry;
use tempfile::TempDir;

/// A run in a folder that goes with this value.
pub(crate) struct Run {
    _place: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) predictor: Predictor,
}

fn models() -> Models {
    moe_search::with_search(Registry::standard()).into()
}

/// A small mixture for such inputs and tasks.
pub(crate) fn description(
    router: &str,
    input: InputSpec,
    tasks: &[TaskSpec],
) -> MixtureDescription {
    MixtureDescription::new(input, tasks.to_vec())
        .with_embedding_width(6)
        .with_experts(4)
        .with_k(2)
        .with_expert_hidden_widths(&[])
        .with_expert_width(8)
        .with_expert_dropout(0.1)
        .with_head_widths(&[8])
        .with_router(router)
}

impl Run {
    fn new(
        description: &dyn ModelDescription,
        features: Option<String>,
        prepare: impl FnOnce(&mut dyn Model),
        train: impl FnOnce(&mut dyn Model, TrainState, &mut RunDir),
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let mut model = models().build(description, 5).unwrap();
        prepare(&mut *model);
        let model_json = description.to_json();
        let fold = description.fold(models().routers()).unwrap();
        let info = RunInfo { features, model: model_json, fold, ..RunInfo::default() };
        let state = TrainState::new(&*model, OptimizerOptions::default());
        let mut dir = RunDir::create(&path, info, &state).unwrap();
        train(&mut *model, state, &mut dir);
        let predictor = Predictor::load(&path, &models()).unwrap();
        Run { _place: place, path, predictor }
    }

    /// With initial weights.
    pub(crate) fn untrained(description: &dyn ModelDescription, features: Option<&str>) -> Self {
        Run::new(description, features.map(str::to_owned), |_| {}, |_, _, _| {})
    }

    /// With initial weights, of which those in `part` of the tensor `name` are not numbers.
    pub(crate) fn with_nan(
        description: &dyn ModelDescription,
        features: Option<&str>,
        name: &str,
        part: Range<usize>,
    ) -> Self {
        let prepare = |model: &mut dyn Model| {
            model.visit_mut(&mut |tensor, mut state| {
                if tensor == name {
                    state.tensor_mut().as_mut_slice()[part.clone()].fill(Real::NAN);
                }
            });
        };
        Run::new(description, features.map(str::to_owned), prepare, |_, _, _| {})
    }

    /// What the predictor gives for rows of the original data, asked alone.
    pub(crate) fn expected(&self, schema: &FeatureSchema, rows: &[Vec<String>]) -> Vec<Vec<Real>> {
        self.expected_of(&schema.encoder().encode(rows).unwrap(), rows.len())
    }

    /// The same for inputs, by task.
    pub(crate) fn expected_of(&self, inputs: &Inputs, rows: usize) -> Vec<Vec<Real>> {
        let keys = match inputs.ids.first() {
            Some(ids) => ids.iter().map(|&id| u64::from(id)).collect(),
            None => vec![0; rows],
        };
        let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
        self.predictor.predict(inputs, &keys, &mut out, &mut scratch).unwrap();
        let tasks = 0..out.num_tasks();
        let of_task = |task| {
            let mut values = Vec::new();
            out.probabilities(task, &mut values);
            values
        };
        tasks.map(of_task).collect()
    }
}

/// Marks that users gave to places, and a mixture trained on them.
pub(crate) fn restaurant(router: &str) -> (Run, Dataset) {
    let data = moe_data::load("restaurant", &LoadOptions::default()).unwrap();
    let features = serde_json::to_string(data.schema().unwrap()).unwrap();
    let options = TrainOptions {
        seed: 1,
        epochs: 2,
        batch_rows: 64,
        task_weights: vec![1.0; data.tasks.len()],
        ..TrainOptions::default()
    };
    let description = description(router, data.input.clone(), &data.tasks);
    let run = Run::new(
        &description,
        Some(features),
        |_| {},
        |model, state, dir| {
            continue_training(model, state, &data.train, &data.val, &options, dir).unwrap();
            dir.finish().unwrap();
        },
    );
    (run, data)
}

/// Rows of the test split as in the original data.
pub(crate) fn raw_rows(data: &Dataset, rows: impl IntoIterator<Item = usize>) -> Vec<Vec<String>> {
    let schema = data.schema().unwrap();
    let rows: Vec<u32> = rows.into_iter().map(|row| (row % data.test.rows()) as u32).collect();
    let ids = data.test.batch(&rows).inputs.ids;
    let name = |column: usize, row: usize| {
        schema.ids[column].vocabulary.name(ids[column][row]).unwrap().to_owned()
    };
    (0..rows.len()).map(|row| (0..ids.len()).map(|column| name(column, row)).collect()).collect()
}

/// The body that asks for rows of users and places.
pub(crate) fn body(rows: &[Vec<String>]) -> String {
    let row = |row: &Vec<String>| serde_json::json!({"user": row[0], "place": row[1]});
    serde_json::json!({ "rows": rows.iter().map(row).collect::<Vec<_>>() }).to_string()
}

pub(crate) fn task(name: &str, kind: TaskKind) -> TaskSpec {
    TaskSpec { name: name.into(), kind }
}

pub(crate) fn column(name: &str, vocabulary: usize) -> IdColumn {
    IdColumn { name: name.into(), vocabulary }
}

/// The numbers that follow `"key":` in a text, rounded once.
pub(crate) fn numbers(text: &str, key: &str) -> Vec<Real> {
    let key = format!("\"{key}\":");
    let parts = text.split(&key).skip(1);
    let list = parts.flat_map(|part| {
        let end = part.find(if part.starts_with('[') { ']' } else { '}' }).unwrap();
        part[..end].trim_start_matches('[').split(',')
    });
    list.map(|number| number.parse().expect(number)).collect()
}

pub(crate) fn bits(values: impl IntoIterator<Item = Real>) -> Vec<u64> {
    #[allow(clippy::unnecessary_cast)] // not where `Real` is f32
    values.into_iter().map(|value| (value as f64).to_bits()).collect()
}
