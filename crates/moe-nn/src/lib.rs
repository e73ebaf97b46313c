//! Layers, models and training for sparse mixtures of experts.
//!
//! # Map
//! * [`Mixture`], built from a [`MixtureDescription`]: the model of the papers, an [`Encoder`], a [`MoeLayer`] whose G gates
//!   share an [`ExpertBank`], and an [`Mlp`] per task. [`Module`] and [`Model`] are the traits to implement for your own
//!   models.
//! * [`SharedBottom`] and [`Bias`]: the baselines, models without a mixture. [`Models`] is the registry of all models, which
//!   builds any [`ModelDescription`]; a [`ModelEntry`] adds your own.
//! * [`Layer`]: maps rows to rows ([`Linear`], [`Mlp`], [`LayerNorm`], [`Dropout`]; a `Vec` applies layers one after the
//!   other). [`Experts`]: the experts of a [`MoeLayer`], either an [`ExpertBank`] of stacked perceptrons or [`LayerExperts`]
//!   of arbitrary layers.
//! * [`train`] with an [`Optimizer`] (Adam, AdamW, SGD), or [`train_step`] in your own loop; [`evaluate`]; [`metrics`] and
//!   their [`intervals`].
//! * [`RunDir`]: a directory with a saved run, which can be continued after any interruption; [`SavedModel`]: its model, read
//!   for inference. [`save_weights`] and [`load_weights`]: safetensors files; [`import_weights`]: safetensors files of other
//!   programs.
//! * [`Predictor`]: inference with a trained model.
//!
//! Axis letters are those of [`moe_core`].
//!
//! # Example
//! The gate learns to use a different expert for each of two lines:
//! ```
//! use moe_core::batch::{Batch, BatchSource, InputSpec, Inputs, Target, TaskKind, TaskSpec};
//! use moe_core::{Real, Tensor};
//! use moe_nn::{MixtureDescription, OptimizerOptions, TrainOptions, evaluate, train};
//! use moe_routers::Registry;
//!
//! /// y = |x|, on a grid.
//! struct Grid(InputSpec, Vec<TaskSpec>);
//! impl BatchSource for Grid {
//!     fn rows(&self) -> usize { 200 }
//!     fn input(&self) -> &InputSpec { &self.0 }
//!     fn tasks(&self) -> &[TaskSpec] { &self.1 }
//!     fn batch(&self, rows: &[u32]) -> Batch {
//!         let x: Vec<Real> = rows.iter().map(|&r| r as Real / 100.0 - 1.0).collect();
//!         let row_ids: Vec<u64> = rows.iter().map(|&r| r.into()).collect();
//!         Batch {
//!             keys: row_ids.clone(),
//!             groups: None,
//!             row_ids,
//!             targets: vec![Target::values(x.iter().map(|x| x.abs()).collect(), 1)],
//!             inputs: Inputs::dense(Tensor::new([x.len(), 1], x)),
//!         }
//!     }
//! }
//! let task = TaskSpec { name: "y".into(), kind: TaskKind::regression() };
//! let data = Grid(InputSpec::dense(1), vec![task]);
//!
//! let description = MixtureDescription::new(data.input().clone(), data.tasks().to_vec())
//!     .with_experts(2)
//!     .with_k(2)
//!     .with_expert_width(8)
//!     .with_expert_dropout(0.0)
//!     .with_head_widths(&[]);
//! let mut model = description.build(&Registry::standard(), 1)?;
//! let options = TrainOptions {
//!     seed: 1,
//!     batch_rows: 20,
//!     epochs: 20,
//!     patience: 20,
//!     task_weights: vec![1.0],
//!     optimizer: OptimizerOptions { learning_rate: 0.01, ..OptimizerOptions::default() },
//!     ..TrainOptions::default()
//! };
//! let history = train(&mut model, &data, &data, &options, &mut ())?;
//! assert!(history.best_val_loss < 0.01);
//! assert_eq!(evaluate(&model, &data, &[1.0], 64).loss, history.best_val_loss);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod eval;
mod layers;
mod models;
mod module;
mod moe;
mod optimizer;
mod predict;
mod store;
mod train;

pub use error::{
    InputError, ModelError, OtherModule, OverrideError, PredictorError, RunDirError, WeightsError,
};
pub use eval::evaluate::{Evaluation, evaluate, evaluate_with};
pub use layers::dropout::Dropout;
pub use layers::embedding::Embedding;
pub use layers::forward::{Forward, LayerRoutings, RoutingRecord};
pub use layers::layer::Layer;
pub use layers::layer_norm::LayerNorm;
pub use layers::linear::Linear;
pub use layers::mlp::{Mlp, MlpOptions};
pub use layers::stage::Activation;
pub use models::bias::{Bias, BiasDescription};
pub use models::column_encoder::ColumnEncoder;
pub use models::description::{Fold, ModelDescription};
pub use models::encoder::Encoder;
pub use models::entry::ModelEntry;
pub use models::expert_kind::{ExpertKind, MlpExperts};
pub use models::mixture::Mixture;
pub use models::mixture_description::MixtureDescription;
pub use models::model::{Model, ModelScratch, Output};
pub use models::overrides::Overrides;
pub use models::registry::Models;
pub use models::shared_bottom::{SharedBottom, SharedBottomDescription};
pub use module::{LayerGates, Module};
pub use moe::expert_bank::ExpertBank;
pub use moe::experts::Experts;
pub use moe::layer_experts::LayerExperts;
pub use moe::moe_layer::MoeLayer;
pub use moe_core::task::{TaskMetrics, intervals, metrics};
pub use optimizer::clipping::Clipping;
pub use optimizer::error::OptimizerError;
pub use optimizer::groups::ParameterGroup;
pub use optimizer::optimizer::{GradientNorms, Optimizer};
pub use optimizer::options::{OptimizerOptions, Rule};
pub use optimizer::schedule::{Decay, Schedule};
pub use predict::predictions::Predictions;
pub use predict::predictor::Predictor;
pub use store::import::{ImportMap, import_weights};
pub use store::run_dir::{RunDir, RunInfo};
pub use store::saved_model::SavedModel;
pub use store::weights::{Weights, load_weights, save_weights};
pub use train::contribution::{Contribution, Decision, LayerObserved};
pub use train::control::TrainControl;
pub use train::error::{StepError, TrainError};
pub use train::history::{EpochRecord, History, StopReason};
pub use train::not_finite_cause::{DataNumber, DataOrigin, NotFiniteCause};
pub use train::observer::Observer;
pub use train::options::TrainOptions;
pub use train::step::{StepContext, StepReport, train_step};
pub use train::step_hook::{StepCounts, StepHook};
pub use train::train_state::TrainState;
pub use train::trainer::{continue_training, train, train_with_hook};
