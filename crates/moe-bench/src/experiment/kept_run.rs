//! A run that `moe train` has kept, with the data that it was trained on.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use moe_core::batch::{Batch, BatchSource};
use moe_data::{FeatureSchema, Split};
use moe_nn::{Evaluation, Model, ModelDescription, RunDir, TrainState, Weights, evaluate};
use moe_routers::Registry;
use serde::Serialize;

use crate::args::{Format, pool};
use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;

/// What the commands take that look at a run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Directory of the run
    run: PathBuf,
    /// Rows of which part
    #[arg(long, visible_alias = "split", value_enum, default_value_t = Part::Test)]
    pub(crate) part: Part,
    /// Folder that holds one folder per data set [default: that of the run, else $MOE_DATA_DIR, else the cache folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Threads; the results do not depend on it [default: all]
    #[arg(long)]
    threads: Option<usize>,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The part to report
    Test,
    /// The part to choose by
    #[value(alias = "val")]
    Validation,
    /// The part to learn from
    Train,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Test => "test",
            Part::Validation => "validation",
            Part::Train => "train",
        }
    }
}

/// What is said of the run in every result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// The directory, as it was given.
    pub(crate) run: String,
    pub(crate) router: String,
    pub(crate) seed: u64,
    /// The epoch whose weights these are, from 1.
    pub(crate) epoch: usize,
    /// Id of the data set.
    pub(crate) dataset: String,
    pub(crate) part: Part,
    /// Rows of the part.
    pub(crate) rows: usize,
}

impl About {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        let About { router, seed, epoch, dataset, part, rows, .. } = self;
        let part = part.name();
        format!(
            "{router} on {dataset}, seed {seed}, weights of epoch {epoch}; {rows} rows of the {part} part"
        )
    }
}

/// A run that has been checked, its model and its data.
#[derive(Debug)]
pub(crate) struct KeptRun<'r> {
    path: PathBuf,
    seed: u64,
    pub(crate) state: TrainState,
    /// Those of the description.
    pub(crate) weights: Weights,
    pub(crate) description: ModelDescription,
    pub(crate) experiment: Experiment<'r>,
    pub(crate) registry: &'r Registry,
}

impl RunArgs {
    /// Does `work` with the run and the rows asked for, on the threads asked for.
    pub(crate) fn with_run<T: Send>(
        &self,
        registry: &Registry,
        work: impl FnOnce(&KeptRun<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let pool = pool(self.threads)?;
        pool.install(|| work(&KeptRun::open(&self.run, self.data_dir.as_deref(), registry)?))
    }
}

impl<'r> KeptRun<'r> {
    /// The run in `path`, with the data that its configuration names, from `data_dir` if that is given.
    ///
    /// # Errors
    /// If the run is not whole, its router or its data are not there, or the data are not what the model was trained on.
    pub(crate) fn open(
        path: &Path,
        data_dir: Option<&Path>,
        registry: &'r Registry,
    ) -> Result<Self, Error> {
        let (dir, state) = RunDir::open_to_read(path)?;
        let wrong = |file: &str, problem: String| Error::OutDir { path: path.join(file), problem };
        let text = dir.config()?.ok_or_else(|| {
            let problem = "has no configuration, so its data are not known".into();
            Error::OutDir { path: path.into(), problem }
        })?;
        let mut config =
            Config::parse_saved(&text).map_err(|problem| wrong("config.resolved.toml", problem))?;
        if data_dir.is_some() {
            config.dataset.options.data_dir = data_dir.map(Path::to_owned);
        }
        // What the run started from is in its weights.
        config.import = None;
        let description = dir.best_model()?;
        let experiment = Experiment::prepare(&config, registry)?;
        let seed = config.run.first_seed;
        let weights = dir.best_weights(&state);
        let path = path.into();
        let run = KeptRun { path, seed, state, weights, description, experiment, registry };
        run.check_data(dir.features()?.as_deref())?;
        Ok(run)
    }

    /// Refuses data that are not what the model was trained on: other inputs or tasks, or other names of ids.
    fn check_data(&self, features: Option<&str>) -> Result<(), Error> {
        let data = self.experiment.data();
        let differs = |what: &str, was: &str, is: &str| {
            let name = &data.name;
            let problem = format!(
                "was trained on other data than {name} is here: {what} {was}, here {is}; give the data of the run with \
                 --data-dir"
            );
            Err(Error::OutDir { path: self.path.clone(), problem })
        };
        let (input, tasks) = match &self.description {
            ModelDescription::Mixture(model) => (&model.input, &model.tasks),
            ModelDescription::SharedBottom(model) => (&model.input, &model.tasks),
            ModelDescription::Bias(model) => (&model.input, &model.tasks),
        };
        if *input != data.input {
            return differs("its inputs are", &to_text(input), &to_text(&data.input));
        }
        if *tasks != data.tasks {
            return differs("its tasks are", &to_text(tasks), &to_text(&data.tasks));
        }
        let kept: Option<FeatureSchema> =
            features.map(serde_json::from_str).transpose().map_err(|error| {
                let problem = format!("is no feature schema: {error}");
                Error::OutDir { path: self.path.join("features.json"), problem }
            })?;
        match (&kept, data.schema()) {
            (None, None) => Ok(()),
            (Some(kept), Some(found)) if kept == found => Ok(()),
            (Some(kept), Some(found)) => {
                let (what, was, is) = first_difference(kept, found);
                differs(&what, &was, &is)
            }
            (kept, _) => {
                let [was, is] = match kept {
                    Some(_) => ["there", "missing"],
                    None => ["missing", "there"],
                };
                differs("its feature schema is", was, is)
            }
        }
    }

    /// The model with the best weights.
    pub(crate) fn model(&self) -> Result<Box<dyn Model>, Error> {
        let mut model = self.description.build(self.registry, self.seed)?;
        self.load(&mut *model)?;
        Ok(model)
    }

    /// Puts the best weights into a model of the run's own description.
    pub(crate) fn load(&self, model: &mut dyn Model) -> Result<(), Error> {
        self.weights.put_into(model).map_err(|wrong| {
            let problem = format!("its weights do not fit its model: {wrong}");
            Error::OutDir { path: self.path.clone(), problem }
        })
    }

    pub(crate) fn part(&self, part: Part) -> &Split {
        let data = self.experiment.data();
        match part {
            Part::Test => &data.test,
            Part::Validation => &data.val,
            Part::Train => &data.train,
        }
    }

    /// As after training.
    pub(crate) fn evaluate(&self, model: &dyn Model, rows: &Split) -> Evaluation {
        let weights = self.experiment.task_weights();
        evaluate(model, rows, &weights, self.experiment.config().train.batch_rows)
    }

    /// All rows of a part in batches, as they are evaluated.
    pub(crate) fn batches<'a>(&self, part: &'a Split) -> impl Iterator<Item = Batch> + use<'a> {
        let (rows, length) = (part.rows(), self.experiment.config().train.batch_rows);
        (0..rows).step_by(length).map(move |first| {
            let rows: Vec<u32> = (first as u32..(first + length).min(rows) as u32).collect();
            part.batch(&rows)
        })
    }

    pub(crate) fn about(&self, part: Part) -> About {
        let config = self.experiment.config();
        About {
            run: self.path.display().to_string(),
            router: config.run.routers[0].clone(),
            seed: self.seed,
            epoch: self.state.history().best_epoch,
            dataset: config.dataset.name.clone(),
            part,
            rows: self.part(part).rows(),
        }
    }
}

fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers")
}

/// What differs first between two schemas that are not the same, and how it stands in each.
fn first_difference(kept: &FeatureSchema, found: &FeatureSchema) -> (String, String, String) {
    let whole = "its feature schema is".to_owned();
    if kept.columns().ne(found.columns()) {
        let columns = |schema: &FeatureSchema| schema.columns().collect::<Vec<_>>().join(", ");
        return ("its columns are".into(), columns(kept), columns(found));
    }
    for (kept, found) in kept.ids.iter().zip(&found.ids) {
        let pairs = kept.vocabulary.names().zip(found.vocabulary.names()).enumerate();
        if let Some((id, (was, is))) = pairs.into_iter().find(|(_, (was, is))| was != is) {
            return (format!("{} {id} is", kept.name), format!("{was:?}"), format!("{is:?}"));
        }
    }
    for (kept, found) in kept.numbers.iter().zip(&found.numbers) {
        if kept != found {
            let scale = |shift: f64, scale: f64| format!("(x - {shift}) * {scale}");
            let [was, is] = [kept, found].map(|column| scale(column.shift, column.scale));
            return (format!("{} is", kept.name), was, is);
        }
    }
    (whole, "one".into(), "another".into())
}
