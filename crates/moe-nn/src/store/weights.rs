//! Weights as safetensors files: a format that other tools read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moe_core::files::replace_file;
use moe_core::{Real, Shape, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::WeightsError;
use crate::module::Module;

/// The parameters and buffers of a module, by name. The tensors are shared with it until one of them is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

/// A tensor that a module has and its [`Weights`] have not, or the other way round, or in another shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor \"{name}\" {problem}")]
pub struct OtherModule {
    /// The tensor.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Weights {
    /// Those of `module`.
    pub fn of(module: &dyn Module) -> Self {
        let mut tensors = BTreeMap::new();
        module.visit(&mut |name, state| {
            tensors.insert(name.to_string(), state.tensor().clone());
        });
        Weights { tensors }
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Takes out the tensors of these names.
    pub(crate) fn split_off(&mut self, names: &[String]) -> Self {
        let taken = names.iter().filter_map(|name| self.tensors.remove_entry(name));
        Weights { tensors: taken.collect() }
    }

    /// Puts in those of `others`.
    pub(crate) fn extend(&mut self, others: Weights) {
        self.tensors.extend(others.tensors);
    }

    /// Whether they are those of a module like this one.
    ///
    /// # Errors
    /// The first tensor that is not, by the module's order.
    pub fn check(&self, module: &dyn Module) -> Result<(), OtherModule> {
        let mut names = Vec::new();
        let mut wrong = None;
        module.visit(&mut |name, state| {
            names.push(name.to_string());
            let needed = state.tensor().shape();
            let problem = match self.tensors.get(name) {
                None => "is missing".to_string(),
                Some(tensor) if tensor.shape() != needed => {
                    format!("has shape {:?}, the model needs {needed:?}", tensor.shape())
                }
                Some(_) => return,
            };
            wrong.get_or_insert(OtherModule { name: name.into(), problem });
        });
        let extra = self.tensors.keys().find(|name| !names.contains(name));
        match wrong.or(extra.map(|name| OtherModule {
            name: name.clone(),
            problem: "is not part of the model".into(),
        })) {
            None => Ok(()),
            Some(wrong) => Err(wrong),
        }
    }

    /// Puts them into `module`, which is changed only if all fit.
    ///
    /// # Errors
    /// As [`Weights::check`].
    pub fn put_into(&self, module: &mut dyn Module) -> Result<(), OtherModule> {
        self.check(module)?;
        module.visit_mut(&mut |name, mut state| *state.tensor_mut() = self.tensors[name].clone());
        Ok(())
    }

    /// A safetensors file, in the precision of this build.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let dtype = if size_of::<Real>() == 8 { Dtype::F64 } else { Dtype::F32 };
        let bytes = |tensor: &Tensor| -> Vec<u8> {
            tensor.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect()
        };
        let stored: Vec<_> = self.iter().map(|(n, t)| (n, t.shape().to_vec(), bytes(t))).collect();
        let views = stored.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes);
            (*name, view.expect("as many bytes as elements"))
        });
        safetensors::serialize(views, None).expect("names are text")
    }

    /// Reads a safetensors file of either precision.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds anything but numbers of 4 or 8 bytes.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let file =
            fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
        Self::from_file(path, &file)
    }

    /// The content of the safetensors file at `path`.
    pub(crate) fn from_file(path: &Path, file: &[u8]) -> Result<Self, WeightsError> {
        let format = |message: String| WeightsError::Format { path: path.into(), message };
        let stored = SafeTensors::deserialize(file).map_err(|error| format(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in stored.iter() {
            let tensor = read_tensor(&view).map_err(|problem| WeightsError::Tensor {
                path: path.into(),
                source: OtherModule { name: name.into(), problem },
            })?;
            tensors.insert(name.to_string(), tensor);
        }
        Ok(Weights { tensors })
    }

    /// Writes a safetensors file, in the precision of this build. An interrupted save leaves the old file whole (see
    /// [`replace_file`]).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        replace_file(path, &self.to_file())
            .map_err(|source| WeightsError::Io { path: path.into(), source })
    }
}

/// Writes every parameter and buffer of `module` under its name: [`Weights::save`].
///
/// # Errors
/// If the file cannot be written.
pub fn save_weights(module: &dyn Module, path: &Path) -> Result<(), WeightsError> {
    Weights::of(module).save(path)
}

/// Reads the parameters and buffers of `module` from a file of [`save_weights`], from either precision.
///
/// # Errors
/// If the file cannot be read, is damaged, or its tensors are not exactly those of the module. The module is
/// changed only if all is well.
pub fn load_weights(module: &mut dyn Module, path: &Path) -> Result<(), WeightsError> {
    let weights = Weights::load(path)?;
    weights.put_into(module).map_err(|source| WeightsError::Tensor { path: path.into(), source })
}

/// The tensor of a file, in the precision of this build.
pub(crate) fn read_tensor(view: &TensorView<'_>) -> Result<Tensor, String> {
    let shape = view.shape();
    if shape.len() > Shape::MAX_RANK {
        return Err(format!("has {} axes, more than {}", shape.len(), Shape::MAX_RANK));
    }
    let bytes = view.data();
    let values: Vec<Real> = match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b) as Real).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(rounded).collect::<Result<_, _>>()?,
        other => return Err(format!("has elements of type {other:?}, not F32 or F64")),
    };
    Ok(Tensor::new(shape, values))
}

/// A stored double in the precision of this build.
fn rounded(bytes: &[u8; 8]) -> Result<Real, String> {
    let value = f64::from_le_bytes(*bytes);
    let rounded = value as Real;
    if value.is_finite() && !rounded.is_finite() {
        return Err(format!("holds {value:e}, which is beyond single precision"));
    }
    Ok(rounded)
}
