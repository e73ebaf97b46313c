//! Weights as safetensors files: a format that other tools read.

use std::fs;
use std::path::Path;

use moe_core::files::replace_file;
use moe_core::{Real, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Module, WeightsError};

/// Writes every parameter and buffer of `module` under its name, in the precision of this build.
///
/// An interrupted save leaves the old file whole (see [`replace_file`]).
///
/// # Errors
/// If the file cannot be written.
pub fn save_weights(module: &dyn Module, path: &Path) -> Result<(), WeightsError> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    module.visit(&mut |name, state| {
        let tensor = state.tensor();
        let bytes = tensor.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push((name.to_string(), tensor.shape().to_vec(), bytes));
    });
    let dtype = if size_of::<Real>() == 8 { Dtype::F64 } else { Dtype::F32 };
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(dtype, shape.clone(), bytes).expect("as many bytes as elements");
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None)
        .map_err(|error| WeightsError::Format { path: path.into(), message: error.to_string() })?;
    replace_file(path, &file).map_err(|source| WeightsError::Io { path: path.into(), source })
}

/// Reads the parameters and buffers of `module` from a file of [`save_weights`], from either precision.
///
/// # Errors
/// If the file cannot be read, is damaged, or its tensors are not exactly those of the module. The module is
/// changed only if all is well.
pub fn load_weights(module: &mut dyn Module, path: &Path) -> Result<(), WeightsError> {
    let file = fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
    let tensors = SafeTensors::deserialize(&file)
        .map_err(|error| WeightsError::Format { path: path.into(), message: error.to_string() })?;
    let wrong = |name: &str, problem: String| WeightsError::Tensor {
        path: path.into(),
        name: name.into(),
        problem,
    };
    let mut loaded: Vec<Tensor> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut first_error = None;
    module.visit(&mut |name, state| {
        names.push(name.to_string());
        let read = || {
            let view = tensors.tensor(name).map_err(|_| "is missing".to_string())?;
            read_tensor(&view, state.tensor())
        };
        match read() {
            Ok(tensor) => loaded.push(tensor),
            Err(problem) => {
                first_error.get_or_insert_with(|| wrong(name, problem));
            }
        }
    });
    if let Some(error) = first_error {
        return Err(error);
    }
    if let Some(extra) = tensors.names().into_iter().find(|name| !names.iter().any(|n| n == name)) {
        return Err(wrong(extra, "is not part of the model".into()));
    }
    module.restore(&loaded);
    Ok(())
}

fn read_tensor(view: &TensorView<'_>, expected: &Tensor) -> Result<Tensor, String> {
    let shape = &expected.shape()[..];
    if view.shape() != shape {
        return Err(format!("has shape {:?}, the model needs {shape:?}", view.shape()));
    }
    let bytes = view.data();
    let values: Vec<Real> = match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b) as Real).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as Real).collect(),
        other => return Err(format!("has elements of type {other:?}, not F32 or F64")),
    };
    Ok(Tensor::new(shape, values))
}
