//! Weights that another program has trained.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moe_core::{Real, Shape, Tensor, did_you_mean, nearest_name};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::error::{OtherModule, WeightsError};
use crate::module::Module;
use crate::store::weights::read_tensor;

/// Maps the names of tensors in a module to the names of tensors in a file.
///
/// As JSON:
/// ```
/// let map: moe_nn::ImportMap = serde_json::from_str(
///     r#"{
///         "linear": {"layer.gates.0": "gates.0", "layer.experts": "experts.{}"},
///         "tensors": {"encoder.user.weight": "users.weight"}
///     }"#,
/// )?;
/// assert_eq!(map.linear["layer.experts"], "experts.{}");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportMap {
    /// Linear layers in the layout of `torch.nn.Linear`: for `A = "B"` the tensor `B.weight` `[O, D]`, transposed, becomes
    /// `A.weight` `[D, O]`, and `B.bias` `[O]` becomes `A.bias`. If the file has no `B.bias`, `A.bias` becomes zeros.
    ///
    /// If `A.weight` belongs to N experts, `[N, D, O]`, then `B.weight` is `[N, O, D]` and `B.bias` `[N, O]`. If B contains
    /// `{}`, which stands for the index of the expert, the file has a linear layer for each expert instead.
    pub linear: BTreeMap<String, String>,
    /// Tensors that are copied unchanged, such as the `weight` `[V, E]` of a `torch.nn.Embedding`.
    pub tensors: BTreeMap<String, String>,
}

/// Copies the tensors that `map` names from the safetensors file at `path` into `module`. All other tensors of the module
/// keep their values.
///
/// ```no_run
/// # fn example(model: &mut dyn moe_nn::Module) -> Result<(), moe_nn::WeightsError> {
/// let linear = [("layer.gates.0", "gate"), ("layer.experts", "experts.{}")];
/// let linear = linear.map(|(here, there)| (here.to_string(), there.to_string())).into();
/// let map = moe_nn::ImportMap { linear, ..Default::default() };
/// moe_nn::import_weights(model, std::path::Path::new("torch.safetensors"), &map)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the file cannot be read or is damaged; if one of the tensors is missing, has another shape, or has elements of a type
/// other than F32 and F64; if the module has no tensor with a mapped name, or the tensor is not that of a linear layer; if
/// a tensor of the module is mapped twice. The module is changed only on success.
pub fn import_weights(
    module: &mut dyn Module,
    path: &Path,
    map: &ImportMap,
) -> Result<(), WeightsError> {
    let file = fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
    let stored = SafeTensors::deserialize(&file)
        .map_err(|error| WeightsError::Format { path: path.into(), message: error.to_string() })?;
    let mut shapes = BTreeMap::new();
    module.visit(&mut |name, state| {
        shapes.insert(name.to_string(), *state.tensor().shape());
    });
    let found = Import { stored, shapes }.all(map);
    let mut found = found.map_err(|source| WeightsError::Tensor { path: path.into(), source })?;
    module.visit_mut(&mut |name, mut state| {
        if let Some(tensor) = found.remove(name) {
            *state.tensor_mut() = tensor;
        }
    });
    Ok(())
}

/// The tensors of a file, and the shapes of the tensors of a module.
struct Import<'f> {
    stored: SafeTensors<'f>,
    shapes: BTreeMap<String, Shape>,
}

impl Import<'_> {
    /// The new tensors of the module, by name.
    fn all(&self, map: &ImportMap) -> Result<BTreeMap<String, Tensor>, OtherModule> {
        let mut found = BTreeMap::new();
        for (here, there) in &map.linear {
            self.linear(here, there, &mut found)?;
        }
        for (here, there) in &map.tensors {
            let tensor = self.read(there, self.shape(here)?, here)?;
            if found.insert(here.clone(), tensor).is_some() {
                let problem = "is named twice, under `linear` and under `tensors`";
                return Err(OtherModule::new(here, problem));
            }
        }
        Ok(found)
    }

    fn linear(
        &self,
        here: &str,
        there: &str,
        found: &mut BTreeMap<String, Tensor>,
    ) -> Result<(), OtherModule> {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{here}.{part}"));
        let shape = self.shape(&weight)?;
        let (experts, inputs, outputs) = match shape[..] {
            [inputs, outputs] => (None, inputs, outputs),
            [experts, inputs, outputs] => (Some(experts), inputs, outputs),
            _ => {
                let problem = format!("has shape {shape:?}, which is not that of a linear layer");
                return Err(OtherModule::new(&weight, problem));
            }
        };
        // The names in the file, and the number of experts whose tensors are stacked under each name.
        let (parts, block) = match (experts, there.contains("{}")) {
            (None, true) => {
                let problem =
                    format!("is one linear layer, of shape {shape:?}, not one for each {{}}");
                return Err(OtherModule::new(&weight, problem));
            }
            (Some(experts), true) => {
                ((0..experts).map(|e| there.replace("{}", &e.to_string())).collect(), None)
            }
            (experts, false) => (vec![there.to_string()], experts),
        };
        let names = |part: &str| parts.iter().map(|name| format!("{name}.{part}")).collect();
        let (weights, biases): (Vec<String>, Vec<String>) = (names("weight"), names("bias"));
        let of_block = |dims: &[usize]| {
            Shape::new(&block.into_iter().chain(dims.iter().copied()).collect::<Vec<_>>())
        };
        let mut values = Vec::with_capacity(shape.size());
        for name in &weights {
            let tensor = self.read(name, of_block(&[outputs, inputs]), &weight)?;
            transpose_into(&mut values, tensor.as_slice(), outputs, inputs);
        }
        found.insert(weight, Tensor::new(shape, values));
        let has_bias = biases.iter().any(|name| self.stored.tensor(name).is_ok());
        let Some(&shape) = self.shapes.get(&bias) else {
            return if has_bias {
                Err(OtherModule::new(&bias, "is not part of the model, and the file has one"))
            } else {
                Ok(())
            };
        };
        let mut values = Vec::with_capacity(shape.size());
        if has_bias {
            for name in &biases {
                let tensor = self.read(name, of_block(&[outputs]), &bias)?;
                values.extend_from_slice(tensor.as_slice());
            }
        } else {
            values.resize(shape.size(), 0.0);
        }
        found.insert(bias, Tensor::new(shape, values));
        Ok(())
    }

    /// The shape of a tensor of the module.
    fn shape(&self, name: &str) -> Result<Shape, OtherModule> {
        self.shapes.get(name).copied().ok_or_else(|| {
            let nearest = nearest_name(name, self.shapes.keys().map(String::as_str));
            OtherModule::new(
                name,
                format!("is not part of the model{}", did_you_mean(", ", nearest, "")),
            )
        })
    }

    /// Reads a tensor of the file, which must have this shape to become `target`.
    fn read(&self, name: &str, shape: Shape, target: &str) -> Result<Tensor, OtherModule> {
        let wrong =
            |problem: String| OtherModule::new(name, format!("{problem} (for \"{target}\")"));
        let view = self.stored.tensor(name).map_err(|_| {
            let nearest = nearest_name(name, self.stored.names());
            wrong(format!("is missing{}", did_you_mean(", ", nearest, "")))
        })?;
        if *view.shape() != shape[..] {
            let problem = format!("has shape {:?}, but {shape:?} is needed", view.shape());
            return Err(wrong(problem));
        }
        read_tensor(&view).map_err(wrong)
    }
}

/// Appends the transpose of each matrix of a stack `[_, rows, cols]` to `out`.
fn transpose_into(out: &mut Vec<Real>, stack: &[Real], rows: usize, cols: usize) {
    for matrix in stack.chunks_exact((rows * cols).max(1)) {
        for col in 0..cols {
            out.extend((0..rows).map(|row| matrix[row * cols + col]));
        }
    }
}
