//! A run that `moe train` has saved, with the data that it was trained on.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use moe_core::batch::{Batch, BatchSource};
use moe_core::task::UnknownMetric;
use moe_data::{FeatureSchema, Split};
use moe_nn::{Evaluation, History, Model, ModelDescription, Models, SavedModel, evaluate_with};
use serde::Serialize;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;

/// A split of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SplitName {
    /// The rows to report on
    Test,
    /// The rows to choose the best epoch by
    #[value(alias = "val")]
    Validation,
    /// The rows to train on
    Train,
}

/// The run, the epoch and the rows that a result is about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// The directory, as it was given.
    pub(crate) run: String,
    pub(crate) router: String,
    pub(crate) seed: u64,
    /// The epoch of the weights, from 1.
    pub(crate) epoch: usize,
    /// Id of the data set.
    pub(crate) dataset: String,
    #[serde(rename = "part")]
    pub(crate) split: SplitName,
    /// Number of rows of the split.
    pub(crate) rows: usize,
}

impl About {
    /// All of it in one line.
    pub(crate) fn line(&self) -> String {
        let About { router, seed, epoch, dataset, split, rows, .. } = self;
        let split = split.to_possible_value().expect("no value is hidden");
        format!(
            "{router} on {dataset}, seed {seed}, weights of epoch {epoch}; {rows} rows of the {} split",
            split.get_name()
        )
    }
}

/// A run that has been checked, its model and its data.
#[derive(Debug)]
pub(crate) struct SavedRun<'r> {
    /// The model with its best weights, for `description`.
    pub(crate) saved: SavedModel,
    pub(crate) history: History,
    pub(crate) description: Arc<dyn ModelDescription>,
    pub(crate) experiment: Experiment<'r>,
}

impl<'r> SavedRun<'r> {
    /// The run in `path`, with the data that its configuration names, from `data_dir` if that is given.
    ///
    /// # Errors
    /// If the run is incomplete, its router or data are not available, or the data differ from those it was trained on.
    pub(crate) fn open(
        path: &Path,
        data_dir: Option<&Path>,
        models: &'r Models,
    ) -> Result<Self, Error> {
        check_run_path(path)?;
        let (saved, history) = SavedModel::open_with_history(path)?;
        let text = saved.config().ok_or_else(|| {
            Error::out_dir(path, "has no configuration, so its data set is unknown")
        })?;
        let mut config = Config::parse_saved(text)
            .map_err(|problem| Error::out_dir(path.join("config.resolved.toml"), problem))?;
        if let Some(dir) = data_dir {
            let entry = moe_data::find(&config.dataset.name)?;
            config.dataset.options = entry.moved(config.dataset.options, dir);
        }
        // Imported weights are in the weights of the run.
        config.import = None;
        let description = saved.description(models)?;
        let experiment = Experiment::prepare(&config, models)?;
        let run = SavedRun { saved, history, description, experiment };
        run.check_data(features(&run.saved)?.as_ref())?;
        Ok(run)
    }

    /// The finished run in `path` of this experiment, whose data it is given.
    ///
    /// # Errors
    /// If the run is incomplete.
    pub(crate) fn of(path: &Path, experiment: Experiment<'r>) -> Result<Self, Error> {
        let (saved, history) = SavedModel::open_with_history(path)?;
        let description = saved.description(experiment.models)?;
        Ok(SavedRun { saved, history, description, experiment })
    }

    /// Refuses data that differ from those that the model was trained on in inputs, tasks or names of ids.
    fn check_data(&self, saved: Option<&FeatureSchema>) -> Result<(), Error> {
        let data = &self.experiment.data;
        let differs = |what: &str, was: &str, is: &str| {
            let name = &data.name;
            let problem = format!(
                "was trained on other data than this {name}: {what} {was}, here {is}; pass the data of the run with \
                 --data-dir"
            );
            Err(Error::out_dir(self.saved.path(), problem))
        };
        let (input, tasks) = (self.description.input(), self.description.tasks());
        if !input.takes(&data.input) {
            return differs("its inputs are", &to_text(input), &to_text(&data.input));
        }
        if tasks != data.tasks {
            return differs("its tasks are", &to_text(&tasks), &to_text(&data.tasks));
        }
        match (saved, data.schema()) {
            (None, None) => Ok(()),
            (Some(saved), Some(found)) if saved.same_columns(found) => Ok(()),
            (Some(saved), Some(found)) => {
                let (what, was, is) = first_difference(saved, found);
                differs(&what, &was, &is)
            }
            (Some(_), None) => differs("its feature schema is", "present", "missing"),
            (None, Some(_)) => differs("its feature schema is", "missing", "present"),
        }
    }

    /// The model with the best weights.
    pub(crate) fn model(&self) -> Result<Box<dyn Model>, Error> {
        let seed = self.experiment.config.run.first_seed;
        let mut model = self.experiment.models.build(&*self.description, seed)?;
        self.saved.weights().put_into(&mut *model).map_err(|wrong| {
            Error::out_dir(self.saved.path(), format!("its weights do not fit its model: {wrong}"))
        })?;
        Ok(model)
    }

    /// The rows of a split.
    pub(crate) fn split(&self, split: SplitName) -> &Split {
        let data = &self.experiment.data;
        match split {
            SplitName::Test => &data.test,
            SplitName::Validation => &data.val,
            SplitName::Train => &data.train,
        }
    }

    /// Evaluates a model as after training, with these metrics beside the default ones.
    ///
    /// # Errors
    /// If none of the tasks has a metric.
    pub(crate) fn evaluate(
        &self,
        model: &dyn Model,
        rows: &Split,
        metrics: &[String],
    ) -> Result<Evaluation, UnknownMetric> {
        let weights = self.experiment.task_weights();
        let batch_rows = self.experiment.config.train.batch_rows;
        evaluate_with(model, rows, &weights, batch_rows, metrics)
    }

    /// Refuses predictions that are not finite: no metric says anything about them. `what` says what was changed.
    ///
    /// # Errors
    /// The first task with such predictions, and their number.
    pub(crate) fn check_finite(
        &self,
        evaluation: &Evaluation,
        split: SplitName,
        what: &str,
    ) -> Result<(), Error> {
        let mut counts = self.experiment.data.tasks.iter().zip(&evaluation.non_finite);
        let Some((task, count)) = counts.find(|(_, count)| **count > 0) else { return Ok(()) };
        let (all, name) = (self.split(split).rows(), &task.name);
        let split = split.to_possible_value().expect("no value is hidden");
        let problem = format!(
            "{what}the predictions of the task {name} are not finite for {count} of {all} rows of the {} split; the weights \
             of the run or the numbers of these rows are too large",
            split.get_name()
        );
        Err(Error::out_dir(self.saved.path(), problem))
    }

    /// All rows of a split in order, in batches of the size of training.
    pub(crate) fn batches<'a>(&self, split: &'a Split) -> impl Iterator<Item = Batch> + use<'a> {
        let (rows, length) = (split.rows(), self.experiment.config.train.batch_rows);
        (0..rows).step_by(length).map(move |first| {
            let rows: Vec<u32> = (first as u32..(first + length).min(rows) as u32).collect();
            split.batch(&rows)
        })
    }

    /// The description of the run and a split for results.
    pub(crate) fn about(&self, split: SplitName) -> About {
        let config = &self.experiment.config;
        About {
            run: self.saved.path().display().to_string(),
            router: config.run.routers[0].clone(),
            seed: config.run.first_seed,
            epoch: self.saved.epoch(),
            dataset: config.dataset.name.clone(),
            split,
            rows: self.split(split).rows(),
        }
    }
}

/// Refuses a file where the directory of a run is expected.
pub(crate) fn check_run_path(path: &Path) -> Result<(), Error> {
    if path.is_file() {
        let problem = "is a file; a run is a directory with a manifest.json, as moe train makes it";
        return Err(Error::out_dir(path, problem));
    }
    Ok(())
}

/// The feature schema of a run, if it has one.
pub(crate) fn features(saved: &SavedModel) -> Result<Option<FeatureSchema>, Error> {
    let Some(text) = saved.features() else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        let problem = format!("is not a feature schema: {error}");
        Error::out_dir(saved.path().join("features.json"), problem)
    })
}

fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers")
}

/// The first difference between two schemas that are not the same, and what each has there.
fn first_difference(saved: &FeatureSchema, found: &FeatureSchema) -> (String, String, String) {
    if saved.columns().ne(found.columns()) {
        let columns = |schema: &FeatureSchema| schema.columns().collect::<Vec<_>>().join(", ");
        return ("its columns are".into(), columns(saved), columns(found));
    }
    for (saved, found) in saved.ids.iter().zip(&found.ids) {
        let mut pairs = saved.vocabulary.names().zip(found.vocabulary.names()).enumerate();
        if let Some((id, (was, is))) = pairs.find(|(_, (was, is))| was != is) {
            return (format!("{} {id} is", saved.name), format!("{was:?}"), format!("{is:?}"));
        }
    }
    for (saved, found) in saved.numbers.iter().zip(&found.numbers) {
        if saved != found {
            let scale = |shift: f64, scale: f64| format!("(x - {shift}) * {scale}");
            let [was, is] = [saved, found].map(|column| scale(column.shift, column.scale));
            return (format!("{} is", saved.name), was, is);
        }
    }
    ("its feature schema is".into(), "one".into(), "another".into())
}
