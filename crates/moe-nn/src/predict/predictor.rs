use std::path::Path;

use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::kernel::in_pool;
use moe_core::{Pass, Real, Tensor};
use moe_routers::Registry;

use crate::error::{InputError, OverrideError, PredictorError};
use crate::models::model::{Model, ModelScratch, Output};
use crate::models::model_description::ModelDescription;
use crate::models::overrides::Overrides;
use crate::predict::predictions::Predictions;
use crate::store::run_dir::RunDir;
use crate::store::weights::Weights;

/// Runs inference with a trained model, writing into caller-owned, reusable buffers. One call predicts a batch or a single
/// row.
///
/// The predictions have the bits that [`evaluate`](crate::evaluate) sees. The predictions of a row do not depend on the
/// other rows of its batch, unless the routing does: with `expert-choice`, and with any router that has an inference
/// capacity. Several threads may share one `Predictor`, each with its own [`Predictions`] and
/// [`ModelScratch`]. Once these have grown to the size of the batch, a single row allocates nothing and is computed on the
/// calling thread. If the calling thread belongs to a rayon pool, a batch that is large enough for several threads
/// allocates at most small buffers for the heads that other threads compute.
///
/// It packs the weights of experts and dense layers for inference when it is created
/// ([`Module::pack_weights`](crate::Module::pack_weights)), so that they take twice their memory.
///
/// The schema that turns raw rows into inputs is saved in the run as [`RunDir::features`].
///
/// ```
/// use moe_core::batch::{IdColumn, InputSpec, Inputs, TaskKind, TaskSpec};
/// use moe_nn::{
///     MixtureDescription, ModelDescription, ModelScratch, OptimizerOptions, Predictions, Predictor,
///     RunDir, RunInfo, TrainState,
/// };
/// use moe_routers::Registry;
///
/// # let place = tempfile::tempdir()?;
/// # let run = place.path().join("run");
/// # let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
/// # let description = ModelDescription::Mixture(MixtureDescription {
/// #     input: InputSpec::Ids { columns: vec![column("user", 100), column("film", 50)] },
/// #     tasks: vec![TaskSpec { name: "watched".into(), kind: TaskKind::Binary }],
/// #     embedding_width: 8,
/// #     experts: 4,
/// #     k: 2,
/// #     expert_hidden_widths: vec![],
/// #     expert_width: 16,
/// #     expert_dropout: 0.5,
/// #     head_widths: vec![],
/// #     router: "comet".into(),
/// #     router_parameters: Default::default(),
/// #     relabelled: None,
/// # });
/// # let model = description.build(&Registry::standard(), 1)?;
/// # let state = TrainState::new(&*model, OptimizerOptions::default());
/// # let info = RunInfo { model: serde_json::to_value(&description)?, ..RunInfo::default() };
/// # RunDir::create(&run, info, &state)?;
/// // The directory of a run over users and films.
/// let predictor = Predictor::load(&run, &Registry::standard())?;
/// let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
///
/// // User 7 and film 3: the logit, and the probability.
/// predictor.predict_row(&[7, 3], &[], 7, &mut out, &mut scratch)?;
/// let logit = out.raw(0)[0];
/// let mut watched = Vec::new();
/// out.probabilities(0, &mut watched);
/// assert!((0.0..1.0).contains(&watched[0]));
///
/// // A batch, in which the key of a row is its user. A row is predicted as if it were alone.
/// let inputs = Inputs::Ids(vec![vec![9, 7, 7], vec![3, 3, 4]]);
/// predictor.predict(&inputs, &[9, 7, 7], &mut out, &mut scratch)?;
/// assert_eq!((out.rows(), out.raw(0)[1]), (3, logit));
///
/// let error = predictor.predict_row(&[7, 50], &[], 7, &mut out, &mut scratch).unwrap_err();
/// assert_eq!(error.to_string(), "row 0: film 50 is not below 50");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Predictor {
    input: InputSpec,
    tasks: Vec<TaskSpec>,
    model: Box<dyn Model>,
}

impl Predictor {
    /// The model of the run in `path` with its best weights. All files are checked against the manifest of the run, and the
    /// directory is not changed. `registry` needs to contain the router of the run.
    ///
    /// # Errors
    /// As [`RunDir::open_to_read`], with the name of the file that is missing, truncated or changed; if the run does not
    /// describe its model, the model cannot be built, or the weights do not fit it.
    pub fn load(path: &Path, registry: &Registry) -> Result<Self, PredictorError> {
        Self::load_with(path, &Overrides::default(), registry)
    }

    /// [`Predictor::load`] with another K or capacity.
    ///
    /// # Errors
    /// As `load`, and as [`Predictor::with_overrides`].
    pub fn load_with(
        path: &Path,
        overrides: &Overrides,
        registry: &Registry,
    ) -> Result<Self, PredictorError> {
        let (run, state) = RunDir::open_to_read(path)?;
        let (model, weights) = (run.best_model()?, run.best_weights(&state));
        Self::with_overrides(&model, &weights, overrides, registry)
            .map_err(|source| PredictorError::InRun { path: path.into(), source: source.into() })
    }

    /// The model of `description` with these weights.
    ///
    /// # Errors
    /// If the model cannot be built, or the weights do not fit it.
    pub fn new(
        description: &ModelDescription,
        weights: &Weights,
        registry: &Registry,
    ) -> Result<Self, PredictorError> {
        let mut model = description.build(registry, 0)?;
        weights.put_into(&mut *model)?;
        Ok(Self::of(model, description.input().clone(), description.tasks().to_vec()))
    }

    /// [`Predictor::new`] with another K or capacity than the model was trained with.
    ///
    /// # Errors
    /// As `new`, and if the overrides do not apply to the model ([`ModelDescription::with_overrides`]), for example because
    /// the router has weights for each of its K choices.
    pub fn with_overrides(
        description: &ModelDescription,
        weights: &Weights,
        overrides: &Overrides,
        registry: &Registry,
    ) -> Result<Self, PredictorError> {
        let changed = description.with_overrides(overrides, registry)?;
        Self::new(&changed, weights, registry).map_err(|error| match (error, description) {
            (PredictorError::Weights(source), ModelDescription::Mixture(own))
                if overrides.k.is_some_and(|k| k != own.k) =>
            {
                OverrideError::InWeights { router: own.router.clone(), k: own.k, source }.into()
            }
            (error, _) => error,
        })
    }

    /// Any model, with its inputs and tasks.
    pub fn of(mut model: Box<dyn Model>, input: InputSpec, tasks: Vec<TaskSpec>) -> Self {
        model.pack_weights();
        Predictor { input, tasks, model }
    }

    /// The inputs.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// The tasks, in the order of the [`Predictions`].
    pub fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    /// The model.
    pub fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// Predicts all tasks for B rows. `keys` are the lookup keys of the rows, which the router `hash` uses, as
    /// [`Batch::keys`](moe_core::batch::Batch::keys) are in training.
    ///
    /// # Shapes
    /// B rows, B keys
    ///
    /// # Errors
    /// If the model does not take these inputs, or there is not one key per row. `out` is then unchanged.
    ///
    /// # Panics
    /// If the model was passed to [`Predictor::of`] and does not take such inputs.
    pub fn predict(
        &self,
        inputs: &Inputs,
        keys: &[u64],
        out: &mut Predictions,
        scratch: &mut ModelScratch,
    ) -> Result<(), InputError> {
        check(&self.input, inputs, keys.len())?;
        let (tape, outputs) = (&mut scratch.tape, &mut out.outputs);
        let mut infer = || {
            let Output { predictions, .. } = self.model.forward(tape, &Pass::of_keys(keys), inputs);
            outputs.resize_with(predictions.len(), Tensor::default);
            for (output, prediction) in outputs.iter_mut().zip(&predictions) {
                *output = prediction.value();
            }
            drop(predictions);
            tape.clear();
        };
        // A single row takes less time than waking a thread.
        if keys.len() > 1 {
            in_pool(infer)
        } else {
            infer()
        }
        out.kinds.clear();
        out.kinds.extend(self.tasks.iter().map(|task| task.kind));
        Ok(())
    }

    /// [`Predictor::predict`] for one row: one id per column, then the dense inputs. Either is empty if the model takes
    /// none.
    ///
    /// # Errors
    /// As `predict`.
    ///
    /// # Panics
    /// As `predict`.
    pub fn predict_row(
        &self,
        ids: &[u32],
        numbers: &[Real],
        key: u64,
        out: &mut Predictions,
        scratch: &mut ModelScratch,
    ) -> Result<(), InputError> {
        check_width(&self.input, ids.len(), numbers.len())?;
        let mut row = scratch.row.take().unwrap_or(Inputs::Ids(Vec::new()));
        set_row(&mut row, &self.input, ids, numbers);
        let result = self.predict(&row, &[key], out, scratch);
        scratch.row = Some(row);
        result
    }
}

/// Sets `row` to the inputs of one row, reusing its memory if it already is of this kind.
fn set_row(row: &mut Inputs, spec: &InputSpec, ids: &[u32], numbers: &[Real]) {
    let set_ids = |columns: &mut Vec<Vec<u32>>| {
        columns.resize_with(ids.len(), Vec::new);
        for (column, &id) in columns.iter_mut().zip(ids) {
            column.clear();
            column.push(id);
        }
    };
    let set_numbers = |x: &mut Tensor| {
        x.resize([1, numbers.len()]);
        x.as_mut_slice().copy_from_slice(numbers);
    };
    match (spec, row) {
        (InputSpec::Dense { .. }, Inputs::Dense(x)) => set_numbers(x),
        (InputSpec::Ids { .. }, Inputs::Ids(columns)) => set_ids(columns),
        (InputSpec::Mixed { .. }, Inputs::Mixed { ids: columns, dense }) => {
            set_ids(columns);
            set_numbers(dense);
        }
        (spec, row) => {
            *row = match spec {
                InputSpec::Dense { .. } => Inputs::Dense(Tensor::default()),
                InputSpec::Ids { .. } => Inputs::Ids(Vec::new()),
                InputSpec::Mixed { .. } => {
                    Inputs::Mixed { ids: Vec::new(), dense: Tensor::default() }
                }
            };
            set_row(row, spec, ids, numbers);
        }
    }
}

fn check_width(spec: &InputSpec, columns: usize, width: usize) -> Result<(), InputError> {
    let needed = spec.id_columns().len();
    if columns != needed {
        return Err(InputError::Columns { needed, found: columns });
    }
    let needed = spec.dense_width();
    if width != needed {
        return Err(InputError::Width { needed, found: width });
    }
    Ok(())
}

/// Checks that a model for `spec` can take `inputs` with this number of rows.
fn check(spec: &InputSpec, inputs: &Inputs, rows: usize) -> Result<(), InputError> {
    const KINDS: [&str; 3] = ["numbers", "ids", "ids and numbers"];
    let needed = match spec {
        InputSpec::Dense { .. } => KINDS[0],
        InputSpec::Ids { .. } => KINDS[1],
        InputSpec::Mixed { .. } => KINDS[2],
    };
    let (columns, numbers, found): (&[Vec<u32>], _, _) = match inputs {
        Inputs::Dense(x) => (&[], Some(x), KINDS[0]),
        Inputs::Ids(ids) => (ids, None, KINDS[1]),
        Inputs::Mixed { ids, dense } => (ids, Some(dense), KINDS[2]),
    };
    if found != needed {
        return Err(InputError::Kind { needed, found });
    }
    check_width(spec, columns.len(), numbers.map_or(0, Tensor::cols))?;
    let check_rows = |what: &str, found: usize| {
        if found == rows {
            Ok(())
        } else {
            Err(InputError::Rows { what: what.into(), needed: rows, found })
        }
    };
    if let Some(x) = numbers {
        check_rows("numbers", x.rows())?;
    }
    for (column, ids) in spec.id_columns().iter().zip(columns) {
        check_rows(&column.name, ids.len())?;
        let is_unknown = |&id: &u32| id as usize >= column.vocabulary;
        if let Some(row) = ids.iter().position(is_unknown) {
            return Err(InputError::Id {
                column: column.name.clone(),
                row,
                id: ids[row],
                vocabulary: column.vocabulary,
            });
        }
    }
    Ok(())
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tasks, parameters) = (self.tasks.len(), self.model.parameter_count());
        write!(f, "Predictor of {tasks} tasks, {parameters} parameters")
    }
}
