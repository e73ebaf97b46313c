use moe_core::Real;
use moe_core::random::chacha;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layers::mlp::MlpOptions;
use crate::layers::stage::Activation;
use crate::models::description::{check_dropout, check_width, dense_weights};
use crate::moe::expert_bank::ExpertBank;
use crate::moe::experts::Experts;

/// The kind of the experts of a mixture, and their sizes. All experts of a layer are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExpertKind {
    /// Perceptrons with a ReLU after every layer, in an [`ExpertBank`].
    Mlp(MlpExperts),
}

/// Sizes of experts that are perceptrons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpExperts {
    /// Widths of the hidden layers of each expert; empty for experts of one layer, as in the papers.
    #[serde(default)]
    pub hidden_widths: Vec<usize>,
    /// Width of an expert's output (O).
    pub width: usize,
    /// Dropout probability for the outputs of an expert.
    pub dropout: Real,
}

impl ExpertKind {
    /// Width of an expert's output (O).
    pub fn outputs(&self) -> usize {
        match self {
            ExpertKind::Mlp(mlp) => mlp.width,
        }
    }

    /// Number of weights of an expert for rows of `inputs` numbers.
    pub(crate) fn weights(&self, inputs: usize) -> f64 {
        match self {
            ExpertKind::Mlp(mlp) => dense_weights(inputs, &mlp.hidden_widths, mlp.width),
        }
    }

    /// Checks the sizes.
    pub(crate) fn validate(&self) -> Result<(), ModelError> {
        match self {
            ExpertKind::Mlp(MlpExperts { hidden_widths, width, dropout }) => {
                hidden_widths
                    .iter()
                    .try_for_each(|&width| check_width("a hidden layer of an expert", width))?;
                check_width("an expert", *width)?;
                check_dropout("experts", *dropout)
            }
        }
    }

    /// N experts with the initial weights of `seed`.
    pub(crate) fn build(&self, experts: usize, inputs: usize, seed: u64) -> Box<dyn Experts> {
        match self {
            ExpertKind::Mlp(mlp) => {
                let options = MlpOptions {
                    hidden: mlp.hidden_widths.clone(),
                    output_activation: Activation::Relu,
                    output_dropout: mlp.dropout,
                    name: "experts".into(),
                    ..MlpOptions::default()
                };
                let mut rng = chacha(seed, "init.experts", 0);
                Box::new(ExpertBank::new(experts, inputs, mlp.width, &options, &mut rng))
            }
        }
    }
}
