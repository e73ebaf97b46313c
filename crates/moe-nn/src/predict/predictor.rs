use std::path::Path;

use moe_core::batch::{InputRow, InputSpec, Inputs, TaskSpec};
use moe_core::kernel::in_pool;
use moe_routers::Registry;

use crate::error::{InputError, OverrideError, PredictorError};
use crate::models::model::{Model, ModelScratch};
use crate::models::model_description::ModelDescription;
use crate::models::overrides::Overrides;
use crate::predict::input_check::{check, check_row};
use crate::predict::predictions::Predictions;
use crate::store::run_dir::RunDir;
use crate::store::weights::Weights;

/// Runs inference with a trained model, writing into caller-owned, reusable buffers. One call predicts a batch or a single
/// row.
///
/// The predictions have the bits that [`evaluate`](crate::evaluate) sees, but no tape is recorded. The predictions of a row
/// do not depend on the other rows of its batch, unless the routing does: with `expert-choice`, and with any router that has
/// an inference capacity. Several threads may share one `Predictor`, each with its own [`Predictions`] and
/// [`ModelScratch`]. Once these have grown to the size of the batch, a single row allocates nothing and is computed on the
/// calling thread; a batch that is large enough for several threads allocates nothing if the calling thread belongs to a
/// rayon pool.
///
/// It packs the weights of experts and dense layers for inference when it is created
/// ([`Module::pack_weights`](crate::Module::pack_weights)), so that they take twice their memory.
///
/// The schema that turns raw rows into inputs is saved in the run as [`RunDir::features`].
///
/// ```
/// use moe_core::batch::{IdColumn, InputRow, InputSpec, Inputs, TaskKind, TaskSpec};
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
/// #     input: InputSpec::ids(vec![column("user", 100), column("film", 50)]),
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
/// predictor.predict_row(&InputRow::ids(&[7, 3]), 7, &mut out, &mut scratch)?;
/// let logit = out.raw(0)[0];
/// let mut watched = Vec::new();
/// out.probabilities(0, &mut watched);
/// assert!((0.0..1.0).contains(&watched[0]));
///
/// // A batch, in which the key of a row is its user. A row is predicted as if it were alone.
/// let inputs = Inputs::ids(vec![vec![9, 7, 7], vec![3, 3, 4]]);
/// predictor.predict(&inputs, &[9, 7, 7], &mut out, &mut scratch)?;
/// assert_eq!((out.rows(), out.raw(0)[1]), (3, logit));
///
/// let row = InputRow::ids(&[7, 50]);
/// let error = predictor.predict_row(&row, 7, &mut out, &mut scratch).unwrap_err();
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
        let mut infer = || self.model.infer(inputs, keys, &mut out.outputs, scratch);
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

    /// [`Predictor::predict`] for one row.
    ///
    /// # Errors
    /// As `predict`.
    ///
    /// # Panics
    /// As `predict`.
    pub fn predict_row(
        &self,
        row: &InputRow<'_>,
        key: u64,
        out: &mut Predictions,
        scratch: &mut ModelScratch,
    ) -> Result<(), InputError> {
        check_row(&self.input, row)?;
        let mut inputs = std::mem::take(&mut scratch.row);
        inputs.set_to_row(&self.input, row);
        let result = self.predict(&inputs, &[key], out, scratch);
        scratch.row = inputs;
        result
    }
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tasks, parameters) = (self.tasks.len(), self.model.parameter_count());
        write!(f, "Predictor of {tasks} tasks, {parameters} parameters")
    }
}
