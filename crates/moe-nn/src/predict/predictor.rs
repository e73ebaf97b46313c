use std::path::Path;
use std::sync::Arc;

use moe_core::batch::{InputRow, InputSpec, Inputs, TaskSpec};
use moe_core::kernel::in_pool;
use moe_core::{Pass, Tensor};
use moe_routers::Properties;

use crate::error::{InputError, OverrideError, PredictorError};
use crate::layers::forward::Forward;
use crate::models::description::ModelDescription;
use crate::models::model::{Model, ModelScratch};
use crate::models::overrides::Overrides;
use crate::models::registry::Models;
use crate::predict::input_check::{check, check_row};
use crate::predict::predictions::Predictions;
use crate::store::saved_model::SavedModel;
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
/// The schema that turns raw rows into inputs is saved in the run ([`SavedModel::features`]).
///
/// ```
/// use moe_core::batch::{IdColumn, InputRow, InputSpec, Inputs, TaskKind, TaskSpec};
/// use moe_nn::{
///     MixtureDescription, ModelDescription, ModelScratch, Models, OptimizerOptions, Predictions,
///     Predictor, RunDir, RunInfo, TrainState,
/// };
///
/// # let place = tempfile::tempdir()?;
/// # let run = place.path().join("run");
/// # let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
/// # let input = InputSpec::ids(vec![column("user", 100), column("film", 50)]);
/// # let tasks = vec![TaskSpec { name: "watched".into(), kind: TaskKind::binary() }];
/// # let description: &dyn ModelDescription = &MixtureDescription::new(input, tasks).with_router("comet");
/// # let model = Models::standard().build(description, 1)?;
/// # let state = TrainState::new(&*model, OptimizerOptions::default());
/// # let info = RunInfo { model: description.to_json(), ..RunInfo::default() };
/// # RunDir::create(&run, info, &state)?;
/// // The directory of a run over users and films.
/// let predictor = Predictor::load(&run, &Models::standard())?;
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
    is_row_wise: bool,
    reads_groups: bool,
    input: InputSpec,
    tasks: Arc<[TaskSpec]>,
    model: Box<dyn Model>,
}

impl Predictor {
    /// The model of the run in `path` with its best weights ([`SavedModel`]). `models` must contain the router or model of the
    /// run.
    ///
    /// # Errors
    /// As [`SavedModel::open`], with the name of the file that is missing, truncated or changed; if the run does not
    /// describe its model, the model cannot be built, or the weights do not fit it.
    pub fn load(path: &Path, models: &Models) -> Result<Self, PredictorError> {
        Self::load_with(path, &Overrides::default(), models)
    }

    /// [`Predictor::load`] with another K or capacity.
    ///
    /// # Errors
    /// As `load`, and as [`Predictor::with_overrides`].
    pub fn load_with(
        path: &Path,
        overrides: &Overrides,
        models: &Models,
    ) -> Result<Self, PredictorError> {
        Self::of_saved(&SavedModel::open(path)?, overrides, models)
    }

    /// [`Predictor::load_with`], of a run that has been read.
    ///
    /// # Errors
    /// As `load_with`.
    pub fn of_saved(
        saved: &SavedModel,
        overrides: &Overrides,
        models: &Models,
    ) -> Result<Self, PredictorError> {
        let description = saved.description(models)?;
        Self::with_overrides(&*description, saved.weights(), overrides, models).map_err(|source| {
            let path = saved.path().to_owned();
            PredictorError::InRun { path, source: source.into() }
        })
    }

    /// The model of `description` with these weights. Nothing is built for a description of far more weights than there are.
    ///
    /// # Errors
    /// If the model cannot be built, the weights do not fit it, or its router reads planted groups, such as `oracle`: a
    /// prediction knows nothing of a row but its inputs and its key.
    pub fn new(
        description: &dyn ModelDescription,
        weights: &Weights,
        models: &Models,
    ) -> Result<Self, PredictorError> {
        // A description from somebody else must not take more memory than its weights. A difference this small takes a few
        // megabytes, and then the tensor that is wrong is named.
        const SMALL: usize = 1 << 16;
        let (needed, found) = (description.weights(models.routers()), weights.count());
        if needed > (found + SMALL) as f64 {
            return Err(PredictorError::TooFewWeights { needed, found });
        }
        let mut model = models.build(description, 0)?;
        weights.put_into(&mut *model)?;
        let tasks = description.tasks().to_vec();
        let predictor = Self::of(model, description.input().clone(), tasks);
        predictor.check_groups().map_err(PredictorError::Groups)?;
        Ok(predictor)
    }

    /// [`Predictor::new`] with another K or capacity than the model was trained with.
    ///
    /// # Errors
    /// As `new`, and if the overrides do not apply to the model ([`ModelDescription::with_overrides`]), for example because
    /// the router has weights for each of its K choices.
    pub fn with_overrides(
        description: &dyn ModelDescription,
        weights: &Weights,
        overrides: &Overrides,
        models: &Models,
    ) -> Result<Self, PredictorError> {
        if *overrides == Overrides::default() {
            return Self::new(description, weights, models);
        }
        let changed = description.with_overrides(overrides, models.routers())?;
        let used = changed.as_deref().unwrap_or(description);
        Self::new(used, weights, models).map_err(|error| match (error, description.router()) {
            (PredictorError::Weights(source), Some((router, k)))
                if overrides.k.is_some_and(|other| other != k) =>
            {
                OverrideError::InWeights { router: router.into(), k, source }.into()
            }
            (error, _) => error,
        })
    }

    /// Any model, with its inputs and tasks.
    pub fn of(mut model: Box<dyn Model>, input: InputSpec, tasks: Vec<TaskSpec>) -> Self {
        model.pack_weights();
        let layers = model.gates_mut().into_iter();
        let promises: Vec<Properties> = layers.flat_map(|layer| layer.gates.properties()).collect();
        let is_row_wise = promises.iter().all(|gate| gate.row_wise);
        let reads_groups = promises.iter().any(|gate| gate.reads_groups);
        Predictor { is_row_wise, reads_groups, input, tasks: tasks.into(), model }
    }

    /// Returns whether the predictions for a row are independent of the other rows of its batch: whether all gates promise
    /// it ([`Properties::row_wise`](moe_routers::Properties)).
    pub fn is_row_wise(&self) -> bool {
        self.is_row_wise
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
    /// If the model does not take these inputs, its router reads planted groups, or there is not one key per row. `out` is then
    /// unchanged.
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
        self.check_groups()?;
        check(&self.input, inputs, keys.len())?;
        let (tape, outputs) = (&mut scratch.tape, &mut out.outputs);
        let mut infer = || {
            let pass = Forward::unrecorded(Pass::of_keys(keys));
            let predictions = self.model.forward(tape, &pass, inputs);
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
        if !Arc::ptr_eq(&out.tasks, &self.tasks) {
            out.tasks = Arc::clone(&self.tasks);
        }
        Ok(())
    }

    /// Refuses a router that reads planted groups.
    fn check_groups(&self) -> Result<(), InputError> {
        if self.reads_groups { Err(InputError::NoGroups) } else { Ok(()) }
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
