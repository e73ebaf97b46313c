//! Weights as safetensors files, a format that other tools can read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moe_core::files::replace_file;
use moe_core::{Real, Shape, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{OtherModule, WeightsError};
use crate::module::Module;

/// The parameters and buffers of a module, by name. The tensors are shared with the module until one side is modified.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// The weights of `module`.
    pub fn of(module: &dyn Module) -> Self {
        let mut tensors = BTreeMap::new();
        module.visit(&mut |name, state| {
            tensors.insert(name.to_string(), state.tensor().clone());
        });
        Weights { tensors }
    }

    /// The tensors with their names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of elements of all tensors.
    pub(crate) fn count(&self) -> usize {
        self.tensors.values().map(Tensor::len).sum()
    }

    /// Removes and returns the tensors with these names.
    pub(crate) fn split_off(&mut self, names: &[String]) -> Self {
        let taken = names.iter().filter_map(|name| self.tensors.remove_entry(name));
        Weights { tensors: taken.collect() }
    }

    /// Adds the tensors of `others`.
    ///
    /// # Errors
    /// The first tensor that is there already.
    pub(crate) fn extend(&mut self, others: Weights) -> Result<(), OtherModule> {
        let mut names = others.tensors.keys();
        if let Some(name) = names.find(|name| self.tensors.contains_key(*name)) {
            return Err(OtherModule::new(name, "is in two files"));
        }
        self.tensors.extend(others.tensors);
        Ok(())
    }

    /// The tensors by their names.
    pub(crate) fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }

    /// Checks that the weights fit `module`.
    ///
    /// # Errors
    /// The first tensor that does not fit, in the order of the module's visit.
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
            wrong.get_or_insert(OtherModule::new(name, problem));
        });
        let extra = self.tensors.keys().find(|name| !names.contains(name));
        let extra = extra.map(|name| OtherModule::new(name, "is not part of the model"));
        wrong.or(extra).map_or(Ok(()), Err)
    }

    /// Puts the weights into `module`, which is changed only if all of them fit.
    ///
    /// # Errors
    /// As [`Weights::check`].
    pub fn put_into(&self, module: &mut dyn Module) -> Result<(), OtherModule> {
        self.check(module)?;
        module.visit_mut(&mut |name, mut state| *state.tensor_mut() = self.tensors[name].clone());
        Ok(())
    }

    /// The content of a safetensors file, in the precision of this build.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let dtype = if size_of::<Real>() == 8 { Dtype::F64 } else { Dtype::F32 };
        let bytes = |tensor: &Tensor| -> Vec<u8> {
            tensor.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect()
        };
        let stored: Vec<_> = self.iter().map(|(n, t)| (n, t.shape().to_vec(), bytes(t))).collect();
        let views = stored.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes);
            (*name, view.expect("the bytes are those of the elements"))
        });
        safetensors::serialize(views, None).expect("names are text")
    }

    /// Reads a safetensors file of either precision.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or has elements of a type other than F32 and F64.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let file =
            fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
        Self::from_file(path, &file)
    }

    /// Reads the content of the safetensors file at `path`.
    pub(crate) fn from_file(path: &Path, file: &[u8]) -> Result<Self, WeightsError> {
        let format = |message: String| WeightsError::Format { path: path.into(), message };
        let stored = SafeTensors::deserialize(file).map_err(|error| format(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in stored.iter() {
            let tensor = read_tensor(&view).map_err(|problem| WeightsError::Tensor {
                path: path.into(),
                source: OtherModule::new(name, problem),
            })?;
            tensors.insert(name.to_string(), tensor);
        }
        Ok(Weights { tensors })
    }

    /// Writes a safetensors file, in the precision of this build. An interrupted save leaves the old file intact (see
    /// [`replace_file`]).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        replace_file(path, &self.to_file())
            .map_err(|source| WeightsError::Io { path: path.into(), source })
    }
}

impl FromIterator<(String, Tensor)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Weights { tensors: tensors.into_iter().collect() }
    }
}

/// Writes every parameter and buffer of `module` under its name; see [`Weights::save`].
///
/// # Errors
/// If the file cannot be written.
pub fn save_weights(module: &dyn Module, path: &Path) -> Result<(), WeightsError> {
    Weights::of(module).save(path)
}

/// Reads the parameters and buffers of `module` from a file of [`save_weights`], in either precision.
///
/// # Errors
/// If the file cannot be read, is damaged, or its tensors are not exactly those of the module. The module is
/// changed only on success.
pub fn load_weights(module: &mut dyn Module, path: &Path) -> Result<(), WeightsError> {
    let weights = Weights::load(path)?;
    weights.put_into(module).map_err(|source| WeightsError::Tensor { path: path.into(), source })
}

/// Converts a tensor of a file to the precision of this build.
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

/// Converts a double to the precision of this build.
fn rounded(bytes: &[u8; 8]) -> Result<Real, String> {
    let value = f64::from_le_bytes(*bytes);
    let rounded = value as Real;
    if value.is_finite() && !rounded.is_finite() {
        return Err(format!("holds {value:e}, which is out of range in single precision"));
    }
    Ok(rounded)
}
