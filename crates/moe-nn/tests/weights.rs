//! Weights in safetensors files are loaded to the bit, from either precision, completely or not at all.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use common::{DOUBLE, build};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_nn::{Mixture, Module, WeightsError, load_weights, save_weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::TempDir;

/// A parameter, a buffer of another shape and one without elements.
struct Small {
    weight: Parameter,
    buffer: Tensor,
    empty: Parameter,
}

impl Small {
    fn new(values: [Real; 4], buffer: Real) -> Self {
        Small {
            weight: Parameter::new(Tensor::new([2, 2], values.to_vec())),
            buffer: Tensor::scalar(buffer),
            empty: Parameter::new(Tensor::zeros([0, 3])),
        }
    }
}

impl Module for Small {
    fn visit(&self, f: &mut Visit<'_>) {
        f("layer.weight", StateRef::Parameter(&self.weight));
        f("layer.count", StateRef::Buffer(&self.buffer));
        f("layer.empty", StateRef::Parameter(&self.empty));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("layer.weight", StateMut::Parameter(&mut self.weight));
        f("layer.count", StateMut::Buffer(&mut self.buffer));
        f("layer.empty", StateMut::Parameter(&mut self.empty));
    }
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    (folder, path)
}

fn model(seed: u64) -> Mixture {
    build(&common::description(&common::ids(1, 1), "top-k"), seed)
}

/// A tensor of a file made by hand.
struct Stored {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn stored(name: &'static str, dtype: Dtype, shape: &[usize], values: &[f64]) -> Stored {
    let bytes: Vec<u8> = match dtype {
        Dtype::F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        Dtype::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        // The content does not matter.
        Dtype::BF16 | Dtype::F16 => vec![0; 2 * values.len()],
        Dtype::I32 => vec![0; 4 * values.len()],
        other => panic!("no values of type {other:?}"),
    };
    Stored { name, dtype, shape: shape.to_vec(), bytes }
}

/// The tensors of [`Small`].
fn small(dtype: Dtype, weight: [f64; 4]) -> Vec<Stored> {
    vec![
        stored("layer.weight", dtype, &[2, 2], &weight),
        stored("layer.count", dtype, &[], &[5.0]),
        stored("layer.empty", dtype, &[0, 3], &[]),
    ]
}

fn write(path: &Path, tensors: &[Stored]) {
    let views = tensors
        .iter()
        .map(|t| (t.name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn what_is_saved_is_loaded_to_the_bit() {
    let (_folder, path) = folder();
    let saved = model(1);
    save_weights(&saved, &path).unwrap();
    let mut loaded = model(2);
    assert_ne!(common::bits(&loaded), common::bits(&saved));
    load_weights(&mut loaded, &path).unwrap();
    assert_eq!(common::bits(&loaded), common::bits(&saved));

    // Special values, buffers and empty tensors too.
    let special =
        Small::new([-0.0, Real::MIN_POSITIVE / 4.0, Real::MAX, -1.0 / 3.0], Real::INFINITY);
    save_weights(&special, &path).unwrap();
    let mut loaded = Small::new([1.0; 4], 1.0);
    load_weights(&mut loaded, &path).unwrap();
    assert_eq!(common::bits(&loaded), common::bits(&special));
}

#[test]
fn other_tools_find_names_shapes_and_values() {
    let (_folder, path) = folder();
    let saved = model(1);
    save_weights(&saved, &path).unwrap();
    let file = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut names = common::names(&saved);
    let mut found: Vec<String> = tensors.names().into_iter().map(Into::into).collect();
    names.sort();
    found.sort();
    assert_eq!(found, names);
    saved.visit(&mut |name, state| {
        let (view, tensor) = (tensors.tensor(name).unwrap(), state.tensor());
        assert_eq!(view.shape(), &tensor.shape()[..], "{name}");
        assert_eq!(view.dtype(), if DOUBLE { Dtype::F64 } else { Dtype::F32 });
        let size = size_of::<Real>();
        for (bytes, value) in view.data().chunks_exact(size).zip(tensor.as_slice()) {
            assert_eq!(bytes, value.to_le_bytes(), "{name}");
        }
    });
    assert_eq!(fs::read(&path).unwrap(), {
        save_weights(&saved, &path).unwrap();
        fs::read(&path).unwrap()
    });
}

#[test]
fn both_precisions_are_loaded() {
    let (_folder, path) = folder();
    let values = [0.1, -2.0 / 3.0, 1e-30, 12_345.678_9];
    for dtype in [Dtype::F32, Dtype::F64] {
        write(&path, &small(dtype, values));
        let mut module = Small::new([0.0; 4], 0.0);
        load_weights(&mut module, &path).unwrap();
        for (&loaded, value) in module.weight.value().as_slice().iter().zip(values) {
            // The values of the file, as this build represents them.
            let kept = if dtype == Dtype::F32 { f64::from(value as f32) } else { value };
            assert_eq!(loaded, kept as Real, "{value} as {dtype:?}");
            assert_relative_eq!(f64::from(loaded), value, max_relative = 1e-7);
        }
        assert_eq!(module.buffer.item(), 5.0);
    }
}

/// Loading `path` fails with a message that has all these parts, and changes nothing.
fn is_refused(path: &Path, parts: &[&str]) -> WeightsError {
    let mut module = Small::new([1.0, 2.0, 3.0, 4.0], 9.0);
    let before = common::bits(&module);
    let error = load_weights(&mut module, path).unwrap_err();
    let text = error.to_string();
    let file = path.display().to_string();
    for part in parts.iter().copied().chain([&file[..]]) {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
    assert_eq!(common::bits(&module), before, "{text}");
    error
}

#[test]
fn a_missing_file_is_named() {
    let (folder, path) = folder();
    assert!(matches!(is_refused(&path, &[]), WeightsError::Io { .. }));
    // A directory is not a file.
    assert!(matches!(is_refused(folder.path(), &[]), WeightsError::Io { .. }));
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let (_folder, path) = folder();
    write(&path, &small(Dtype::F32, [0.5; 4]));
    let whole = fs::read(&path).unwrap();
    load_weights(&mut Small::new([0.0; 4], 0.0), &path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = is_refused(&path, &["not a complete safetensors file"]);
        assert!(matches!(error, WeightsError::Format { .. }), "{length} bytes: {error}");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    is_refused(&path, &["not a complete safetensors file"]);
}

#[test]
fn a_header_that_asks_for_the_moon_is_refused() {
    let (_folder, path) = folder();
    let header = br#"{"layer.weight":{"dtype":"F32","shape":[18446744073709551615,4],"data_offsets":[0,16]}}"#;
    let size = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&size[..], header, &[0; 16]].concat()).unwrap();
    is_refused(&path, &["not a complete safetensors file"]);
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], header].concat()).unwrap();
    is_refused(&path, &["not a complete safetensors file"]);
}

#[test]
fn tensors_must_be_those_of_the_model() {
    let (_folder, path) = folder();
    let refused = |change: &dyn Fn(&mut Vec<Stored>), parts: &[&str]| {
        let mut tensors = small(Dtype::F32, [0.5; 4]);
        change(&mut tensors);
        write(&path, &tensors);
        let error = is_refused(&path, parts);
        assert!(matches!(error, WeightsError::Tensor { .. }), "{error}");
    };
    // Only the last tensor of the module does not fit: those before it must not be loaded either.
    refused(&|t| t.retain(|t| t.name != "layer.empty"), &["\"layer.empty\" is missing"]);
    refused(&|t| t.retain(|t| t.name != "layer.count"), &["\"layer.count\" is missing"]);
    refused(
        &|t| t.push(stored("layer.bias", Dtype::F32, &[2], &[1.0, 2.0])),
        &["\"layer.bias\" is not part of the model"],
    );
    refused(
        &|t| t[0] = stored("layer.weight", Dtype::F32, &[4], &[0.5; 4]),
        &["\"layer.weight\" has shape [4], the model needs [2, 2]"],
    );
    refused(
        &|t| t[0] = stored("layer.weight", Dtype::F32, &[3, 2], &[0.5; 6]),
        &["\"layer.weight\" has shape [3, 2], the model needs [2, 2]"],
    );
    refused(
        &|t| t[1] = stored("layer.count", Dtype::F32, &[1], &[5.0]),
        &["\"layer.count\" has shape [1], the model needs []"],
    );
    for (dtype, name) in [(Dtype::F16, "F16"), (Dtype::BF16, "BF16"), (Dtype::I32, "I32")] {
        refused(
            &|t| t[1] = stored("layer.count", dtype, &[], &[5.0]),
            &["\"layer.count\" has elements of type", name, "F32 or F64"],
        );
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let (_folder, path) = folder();
    let source = common::ids(1, 1);
    let wider = common::description(&source, "top-k").with_expert_width(9);
    save_weights(&build(&wider, 1), &path).unwrap();
    let mut model = model(2);
    let before = common::bits(&model);
    let error = load_weights(&mut model, &path).unwrap_err().to_string();
    assert!(error.contains("\"layer.experts.weight\" has shape [4, 10, 9]"), "{error}");
    assert_eq!(common::bits(&model), before);
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let (folder, path) = folder();
    save_weights(&model(1), &path).unwrap();
    let old = fs::read(&path).unwrap();

    // Its place is taken by a folder.
    let taken = folder.path().join("taken.safetensors");
    fs::create_dir(&taken).unwrap();
    let error = save_weights(&model(2), &taken).unwrap_err();
    assert!(error.to_string().contains(&taken.display().to_string()), "{error}");
    assert!(matches!(error, WeightsError::Io { .. }));
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing unfinished stays");

    // The remains of an interrupted save are not read and do not get in the way.
    let partial = folder.path().join("weights.safetensors.1-0.partial");
    fs::write(&partial, &old[..old.len() / 2]).unwrap();
    let mut loaded = model(3);
    load_weights(&mut loaded, &path).unwrap();
    assert_eq!(common::bits(&loaded), common::bits(&model(1)));
    save_weights(&model(2), &path).unwrap();
    load_weights(&mut loaded, &path).unwrap();
    assert_eq!(common::bits(&loaded), common::bits(&model(2)));
    assert!(partial.exists(), "what another process has left is not touched");
}

#[test]
fn a_save_that_cannot_be_is_an_error() {
    let (folder, _) = folder();
    for path in [folder.path().join("no/such/folder.safetensors"), folder.path().to_path_buf()] {
        let error = save_weights(&model(1), &path).unwrap_err();
        assert!(matches!(error, WeightsError::Io { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
