//! Layers, models and training for sparse mixtures of experts.
//!
//! # Map
//! * [`Mixture`], built from a [`MixtureDescription`]: the papers' models, an [`Encoder`], a [`MoeLayer`] whose G
//!   gates share an [`ExpertBank`], and an [`Mlp`] per task. [`Module`] and [`Model`] are the traits of other models.
//! * [`SharedBottom`] and [`Bias`], without a mixture: the [`Baseline`]s. A [`ModelDescription`] builds any of these.
//! * [`Layer`]: rows to rows ([`Linear`], [`Mlp`], [`LayerNorm`], [`Dropout`], one after the other in a `Vec`). [`Experts`]: what a
//!   [`MoeLayer`] mixes, an [`ExpertBank`] of stacked perceptrons or [`LayerExperts`] of any layers.
//! * [`train`] with an [`Optimizer`] (Adam, AdamW, SGD), or [`train_step`] in a loop of one's own; [`evaluate`];
//!   [`metrics`] and their [`intervals`].
//! * [`RunDir`]: a directory that keeps a run, to be continued after any interruption. [`save_weights`] and
//!   [`load_weights`]: safetensors files; [`import_weights`]: those of another program.
//! * [`Predictor`]: a trained model for use, without a tape.
//!
//! Axis letters are those of [`moe_core`].
//!
//! # Example
//! Two experts for two lines, told apart by the gate:
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
//!             row_ids,
//!             targets: vec![Target::Regression {
//!                 values: x.iter().map(|x| x.abs()).collect(),
//!                 present: vec![true; x.len()],
//!             }],
//!             inputs: Inputs::Dense(Tensor::new([x.len(), 1], x)),
//!         }
//!     }
//! }
//! let task = TaskSpec { name: "y".into(), kind: TaskKind::Regression };
//! let data = Grid(InputSpec::Dense { width: 1 }, vec![task]);
//!
//! let description = MixtureDescription {
//!     input: data.input().clone(),
//!     tasks: data.tasks().to_vec(),
//!     embedding_width: 0,
//!     experts: 2,
//!     k: 2,
//!     expert_hidden_widths: vec![],
//!     expert_width: 8,
//!     expert_dropout: 0.0,
//!     head_widths: vec![],
//!     router: "top-k".into(),
//!     router_parameters: Default::default(),
//!     relabelled: None,
//! };
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

mod baseline;
mod bias;
mod dropout;
mod embedding;
mod encoder;
mod error;
mod evaluate;
mod expert_bank;
mod experts;
mod gate_health;
mod gradient_health;
mod history;
mod import;
pub mod intervals;
mod layer;
mod layer_experts;
mod layer_norm;
mod linear;
pub mod metrics;
mod mixture;
mod mlp;
mod model;
mod model_description;
mod module;
mod moe_layer;
mod one_ahead;
mod optimizer;
mod overrides;
mod predictions;
mod predictor;
mod run_dir;
mod run_manifest;
mod scratch;
mod shared_bottom;
mod step;
mod task_loss;
mod train_state;
mod trainer;
mod weights;

pub use baseline::Baseline;
pub use bias::{Bias, BiasDescription};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use encoder::Encoder;
pub use error::{InputError, ModelError, OverrideError, PredictorError, RunDirError, WeightsError};
pub use evaluate::{Evaluation, TaskMetrics, evaluate};
pub use expert_bank::ExpertBank;
pub use experts::Experts;
pub use history::{EpochRecord, History, StopReason};
pub use import::{ImportMap, import_weights};
pub use layer::Layer;
pub use layer_experts::LayerExperts;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mixture::{Mixture, MixtureDescription};
pub use mlp::{Activation, Mlp, MlpOptions};
pub use model::{Model, Output};
pub use model_description::{Fold, ModelDescription};
pub use module::Module;
pub use moe_layer::MoeLayer;
pub use optimizer::{
    Clipping, Decay, GradientNorms, Optimizer, OptimizerError, OptimizerOptions, ParameterGroup,
    Rule, Schedule,
};
pub use overrides::Overrides;
pub use predictions::Predictions;
pub use predictor::Predictor;
pub use run_dir::{RunDir, RunInfo};
pub use scratch::{ExpertScratch, LayerOutputs, ModelScratch};
pub use shared_bottom::{SharedBottom, SharedBottomDescription};
pub use step::{Decision, StepContext, StepError, StepReport, train_step};
pub use task_loss::task_loss;
pub use train_state::TrainState;
pub use trainer::{Observer, TrainError, TrainOptions, continue_training, train};
pub use weights::{OtherModule, Weights, load_weights, save_weights};
