//! Weights in the layout of PyTorch are imported exactly or not at all.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{DOUBLE, bits, build, description};
use moe_core::{Real, Tensor};
use moe_nn::{ImportMap, Mixture, Weights, WeightsError, import_weights};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// Tensors for a file: shape and elements by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

fn write(tensors: &Tensors, dtype: Dtype) -> (TempDir, PathBuf) {
    let bytes = |values: &[f64]| -> Vec<u8> {
        match dtype {
            Dtype::F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            // The content does not matter.
            Dtype::BF16 => vec![0; 2 * values.len()],
            other => panic!("no values of type {other:?}"),
        }
    };
    let stored: Vec<_> =
        tensors.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    (folder, path)
}

fn tensors(model: &Mixture) -> BTreeMap<String, Tensor> {
    Weights::of(model).iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.as_slice().iter().map(|&value| f64::from(value)).collect()
}

/// `[rows, cols]` → `[cols, rows]`, element by element.
fn transposed(values: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..cols).flat_map(|col| (0..rows).map(move |row| values[row * cols + col])).collect()
}

/// Gates, experts and heads of `model` in the layout of PyTorch, and the import map.
fn torch(model: &Mixture, is_stacked: bool) -> (Tensors, ImportMap) {
    let own = tensors(model);
    let (mut stored, mut map) = (Tensors::new(), ImportMap::default());
    for (name, tensor) in own.iter().filter(|(name, _)| name.ends_with(".weight")) {
        let here = name.strip_suffix(".weight").unwrap();
        let there = here.replace("layer.", "moe.");
        let all = values(tensor);
        match tensor.shape()[..] {
            _ if here.starts_with("encoder") => {
                map.tensors.insert(name.clone(), format!("{there}.weight"));
                stored.insert(format!("{there}.weight"), (tensor.shape().to_vec(), all));
            }
            [inputs, outputs] => {
                map.linear.insert(here.into(), there.clone());
                let transposed = transposed(&all, inputs, outputs);
                stored.insert(format!("{there}.weight"), (vec![outputs, inputs], transposed));
                let bias = values(&own[&format!("{here}.bias")]);
                stored.insert(format!("{there}.bias"), (vec![outputs], bias));
            }
            [experts, inputs, outputs] => {
                let weights: Vec<Vec<f64>> = all
                    .chunks_exact(inputs * outputs)
                    .map(|weight| transposed(weight, inputs, outputs))
                    .collect();
                let biases = values(&own[&format!("{here}.bias")]);
                if is_stacked {
                    map.linear.insert(here.into(), there.clone());
                    let shape = vec![experts, outputs, inputs];
                    stored.insert(format!("{there}.weight"), (shape, weights.concat()));
                    stored.insert(format!("{there}.bias"), (vec![experts, outputs], biases));
                    continue;
                }
                map.linear.insert(here.into(), format!("{there}.{{}}.fc"));
                for (e, weight) in weights.into_iter().enumerate() {
                    let bias = biases[e * outputs..][..outputs].to_vec();
                    stored
                        .insert(format!("{there}.{e}.fc.weight"), (vec![outputs, inputs], weight));
                    stored.insert(format!("{there}.{e}.fc.bias"), (vec![outputs], bias));
                }
            }
            _ => unreachable!("matrices"),
        }
    }
    (stored, map)
}

/// A mixture with square matrices too, whose transposes fit as well.
fn model(widths: [usize; 2], seed: u64) -> Mixture {
    let [hidden, width] = widths;
    let description = description(&common::ids(1, 1), "top-k");
    let mut model = build(
        &description
            .with_expert_hidden_widths(&[hidden])
            .with_expert_width(width)
            .with_head_widths(&[width]),
        seed,
    );
    // Biases that are not all zero.
    moe_nn::Module::visit_mut(&mut model, &mut |name, mut state| {
        if name.ends_with("bias") {
            let shape = *state.tensor_mut().shape();
            *state.tensor_mut() = Tensor::from_fn(shape, |i| (seed as Real + i as Real) / 8.0);
        }
    });
    model
}

proptest! {
    #![proptest_config(common::cases(24))]

    #[test]
    fn a_model_is_the_same_after_the_way_through_torch(
        widths in [1usize..12, 1usize..12],
        is_stacked in any::<bool>(),
        is_double in any::<bool>(),
    ) {
        let source = model(widths, 1);
        let (stored, map) = torch(&source, is_stacked);
        let (_folder, path) = write(&stored, if is_double { Dtype::F64 } else { Dtype::F32 });
        let mut imported = model(widths, 2);
        prop_assert!(bits(&imported) != bits(&source));
        import_weights(&mut imported, &path, &map).unwrap();
        let expected = tensors(&source);
        for (name, tensor) in tensors(&imported) {
            // A file of singles does not hold all of a double.
            let kept = |&v: &Real| if is_double { v } else { f64::from(v) as f32 as Real };
            let elements: Vec<Real> = expected[&name].as_slice().iter().map(kept).collect();
            prop_assert_eq!(tensor, Tensor::new(*expected[&name].shape(), elements), "{}", name);
        }
    }
}

#[test]
fn what_is_not_named_stays() {
    let source = model([6, 6], 1);
    let (mut stored, map) = torch(&source, false);
    // The type of other tensors in the file does not matter either.
    stored.insert("other".into(), (vec![1, 1, 1, 1, 1, 1], vec![0.0]));
    let (_folder, path) = write(&stored, Dtype::F64);
    let gate = ("layer.gates.1".to_string(), map.linear["layer.gates.1"].clone());
    let map = ImportMap { linear: [gate].into(), ..ImportMap::default() };
    let mut imported = model([6, 6], 2);
    let before = tensors(&imported);
    import_weights(&mut imported, &path, &map).unwrap();
    for (name, tensor) in tensors(&imported) {
        let expected = if name.starts_with("layer.gates.1.") { &tensors(&source) } else { &before };
        assert_eq!(tensor, expected[&name], "{name}");
    }
}

#[test]
fn no_bias_is_a_bias_of_zeros() {
    let (mut stored, map) = torch(&model([5, 4], 1), false);
    stored.retain(|name, _| !name.ends_with("bias"));
    let (_folder, path) = write(&stored, Dtype::F64);
    let mut imported = model([5, 4], 2);
    import_weights(&mut imported, &path, &map).unwrap();
    for (name, tensor) in tensors(&imported) {
        let is_zero = tensor.as_slice().iter().all(|&value| value == 0.0);
        assert_eq!(is_zero, name.ends_with("bias"), "{name}");
    }
}

/// Importing fails with a message that has all these parts, and changes nothing.
fn is_refused(path: &Path, map: &ImportMap, parts: &[&str]) {
    let mut model = model([5, 4], 2);
    let before = bits(&model);
    let error = import_weights(&mut model, path, map).unwrap_err();
    let text = error.to_string();
    let file = path.display().to_string();
    for part in parts.iter().copied().chain([&file[..]]) {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
    assert!(bits(&model) == before, "{text}");
}

#[test]
fn what_is_wrong_is_named() {
    let (whole, right) = torch(&model([5, 4], 1), false);
    let refused = |change: &dyn Fn(&mut Tensors, &mut ImportMap), parts: &[&str]| {
        let (mut stored, mut map) = (whole.clone(), right.clone());
        change(&mut stored, &mut map);
        let (_folder, path) = write(&stored, Dtype::F64);
        is_refused(&path, &map, parts);
    };
    refused(
        &|stored, _| {
            let gate = stored.remove("moe.gates.2.weight").unwrap();
            stored.insert("moe.gate.2.weight".into(), gate);
        },
        &[
            "tensor \"moe.gates.2.weight\" is missing, did you mean \"moe.gate",
            "(for \"layer.gates.2.weight\")",
        ],
    );
    refused(
        &|stored, _| {
            stored.remove("moe.experts.3.fc.bias");
        },
        &["tensor \"moe.experts.3.fc.bias\" is missing", "(for \"layer.experts.bias\")"],
    );
    refused(
        &|stored, _| stored.get_mut("moe.gates.0.weight").unwrap().0.reverse(),
        &["tensor \"moe.gates.0.weight\" has shape [10, 4], but [4, 10] is needed"],
    );
    refused(
        &|stored, _| {
            stored.insert("moe.experts.1.fc.weight".into(), (vec![4, 1, 5], vec![0.0; 20]));
        },
        &["tensor \"moe.experts.1.fc.weight\" has shape [4, 1, 5], but [4, 5] is needed"],
    );
    refused(
        &|stored, _| {
            stored.insert("moe.gates.0.bias".into(), (vec![4], vec![0.0, 1e300, 0.0, 0.0]));
            if DOUBLE {
                stored.insert("moe.gates.0.bias".into(), (vec![3], vec![0.0; 3]));
            }
        },
        &[
            "tensor \"moe.gates.0.bias\" ",
            if DOUBLE { "shape [3], but [4]" } else { "out of range in single" },
        ],
    );
    let add = |map: &mut ImportMap, here: &str, there: &str| {
        map.linear.insert(here.into(), there.into());
    };
    refused(
        &|_, map| add(map, "layer.gate.0", "moe.gates.0"),
        &["tensor \"layer.gate.0.weight\" is not part of the model, did you mean \"layer.gates.0"],
    );
    refused(
        &|_, map| add(map, "layer.gates.0", "moe.gates.{}"),
        &["tensor \"layer.gates.0.weight\" is one linear layer", "not one for each {}"],
    );
    refused(
        &|_, map| add(map, "encoder.user", "moe.gates.0"),
        &["tensor \"moe.gates.0.weight\" has shape [4, 10], but [5, 12] is needed"],
    );
    refused(
        &|_, map| {
            let _ = map.tensors.insert("heads.0.0.bias".into(), "heads.0.0.bias".into());
        },
        &["tensor \"heads.0.0.bias\" is named twice"],
    );
    refused(
        &|_, map| {
            let _ = map.tensors.insert("heads.0".into(), "heads.0.0.bias".into());
        },
        &["tensor \"heads.0\" is not part of the model"],
    );
}

#[test]
fn a_bias_without_a_place_is_refused() {
    // An embedding is a matrix, and has no bias.
    let stored = [("a.weight", vec![5, 12]), ("a.bias", vec![5])];
    let stored = stored.map(|(name, shape)| {
        let elements = shape.iter().product();
        (name.to_string(), (shape, vec![0.5; elements]))
    });
    let (_folder, path) = write(&stored.into(), Dtype::F32);
    let linear = [("encoder.user".to_string(), "a".to_string())].into();
    let map = ImportMap { linear, ..ImportMap::default() };
    is_refused(&path, &map, &["tensor \"encoder.user.bias\" is not part of the model"]);
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let (stored, map) = torch(&model([5, 4], 1), true);
    let (_folder, path) = write(&stored, Dtype::BF16);
    is_refused(&path, &map, &["has elements of type BF16, not F32 or F64"]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    is_refused(&path, &map, &["not a complete safetensors file"]);
    fs::remove_file(&path).unwrap();
    let error = import_weights(&mut model([5, 4], 1), &path, &map).unwrap_err();
    assert!(matches!(error, WeightsError::Io { .. }), "{error}");
}

#[test]
fn a_map_with_an_unknown_key_is_refused() {
    let error = serde_json::from_str::<ImportMap>(r#"{"linears": {}}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `linears`"), "{error}");
}
