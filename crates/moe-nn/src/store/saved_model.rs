use std::path::Path;
use std::sync::Arc;

use crate::error::RunDirError;
use crate::models::description::ModelDescription;
use crate::models::registry::Models;
use crate::store::checkpoint;
use crate::store::generations::read_last;
use crate::store::run_files::RunFiles;
use crate::store::run_manifest::{MANIFEST, Manifest};
use crate::store::weights::Weights;
use crate::train::history::History;

/// The model of a run directory with its best weights, read for inference: what only training needs, such as the optimiser's
/// moments, is not read. Nothing is written or locked, so that this works while the run is in training, on its last
/// checkpoint.
///
/// ```
/// use moe_core::batch::{InputSpec, TaskKind, TaskSpec};
/// use moe_nn::{
///     MixtureDescription, ModelDescription, Models, OptimizerOptions, RunDir, RunInfo, SavedModel, TrainState,
/// };
///
/// # let place = tempfile::tempdir()?;
/// # let path = place.path().join("run");
/// # let tasks = vec![TaskSpec { name: "rating".into(), kind: TaskKind::regression() }];
/// # let description: &dyn ModelDescription = &MixtureDescription::new(InputSpec::dense(2), tasks);
/// # let model = Models::standard().build(description, 1)?;
/// # let info = RunInfo { model: description.to_json(), ..RunInfo::default() };
/// # RunDir::create(&path, info, &TrainState::new(&*model, OptimizerOptions::default()))?;
/// let saved = SavedModel::open(&path)?;
/// let description = saved.description(&Models::standard())?;
/// assert_eq!((saved.epoch(), description.tasks().len()), (0, 1));
/// let names: Vec<&str> = saved.weights().iter().map(|(name, _)| name).collect();
/// assert!(names.contains(&"layer.experts.bias"), "{names:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SavedModel {
    files: RunFiles,
    manifest: Manifest,
    config: Option<String>,
    features: Option<String>,
    weights: Weights,
}

impl SavedModel {
    /// Reads the model of the run in `path`. Each file is read once and checked against the manifest.
    ///
    /// # Errors
    /// If `path` is not the directory of a run of this or an earlier version, or a file is missing or changed.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        Ok(Self::open_with(path, |_, _| Ok(()))?.0)
    }

    /// [`SavedModel::open`], with the history of the same checkpoint.
    ///
    /// # Errors
    /// As `open`, and if the run was trained in the other precision.
    pub fn open_with_history(path: &Path) -> Result<(Self, History), RunDirError> {
        Self::open_with(path, checkpoint::read_history)
    }

    fn open_with<T>(
        path: &Path,
        read_more: impl Fn(&RunFiles, &Manifest) -> Result<T, RunDirError>,
    ) -> Result<(Self, T), RunDirError> {
        let files = RunFiles::new(path);
        let read = |manifest: &Manifest| {
            let texts = (&manifest.files.config, &manifest.files.features);
            let texts = (files.read_text(texts.0)?, files.read_text(texts.1)?);
            Ok((texts, files.read_tensors(&manifest.files.best)?, read_more(&files, manifest)?))
        };
        let (manifest, ((config, features), weights, more)) = read_last(&files, read)?;
        Ok((SavedModel { files, manifest, config, features, weights }, more))
    }

    /// Path of the run directory.
    pub fn path(&self) -> &Path {
        &self.files.dir
    }

    /// The number of the epoch with the best weights, from 1; 0 before the first epoch.
    pub fn epoch(&self) -> usize {
        self.manifest.best_epoch
    }

    /// The configuration that the run was created with ([`RunInfo::config`](crate::RunInfo)).
    pub fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// The schema that the run was created with ([`RunInfo::features`](crate::RunInfo)).
    pub fn features(&self) -> Option<&str> {
        self.features.as_deref()
    }

    /// Description of the model; see [`RunInfo::model`](crate::RunInfo) and [`RunInfo::fold`](crate::RunInfo).
    ///
    /// # Errors
    /// If it is not the description of one of `models`.
    pub fn description(&self, models: &Models) -> Result<Arc<dyn ModelDescription>, RunDirError> {
        described(&self.files, &self.manifest.models.best, models)
    }

    /// The weights of that model after the best epoch.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// The model that a manifest describes.
pub(crate) fn described(
    files: &RunFiles,
    description: &serde_json::Value,
    models: &Models,
) -> Result<Arc<dyn ModelDescription>, RunDirError> {
    models.read(description).map_err(|error| RunDirError::Damaged {
        path: files.path(MANIFEST),
        problem: format!("does not describe a model: {error}"),
    })
}
