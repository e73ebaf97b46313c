//! Whatever is done to a good file of pictures, packed or not, in its header or elsewhere: rows, or an error with a
//! message; never a panic.

mod common;

use common::{Stored, check_splits, folder, gzip, idx, mat, seeded};
use moe_data::{LoadOptions, load};
use proptest::prelude::*;

const ROWS: u32 = 40;

/// Folder, id, and the files of each format; the first one is changed.
fn files(format: usize) -> (&'static str, Vec<(&'static str, Vec<u8>)>) {
    let labels: Vec<u8> = (0..ROWS as u8).map(|i| i % 10).collect();
    let shifted: Vec<u8> = labels.iter().map(|label| label + 1).collect();
    let doubles: Vec<f64> = shifted.iter().map(|&label| label.into()).collect();
    let pixels: Vec<u8> = (0..ROWS * 3072).map(|i| (i % 251) as u8).collect();
    let images = idx(&[ROWS, 28, 28], &pixels[..ROWS as usize * 784]);
    let idx_labels = idx(&[ROWS], &labels);
    let svhn = |packed| {
        let x = ("X", &[32, 32, 3, ROWS][..], Stored::Bytes(&pixels));
        mat(&[x, ("y", &[ROWS, 1], Stored::Doubles(&doubles))], packed)
    };
    let usps = |packed| {
        let fea = ("fea", &[ROWS, 256][..], Stored::Bytes(&pixels[..ROWS as usize * 256]));
        mat(&[fea, ("gnd", &[ROWS, 1], Stored::Bytes(&shifted))], packed)
    };
    const IMAGES: &str = "t10k-images-idx3-ubyte";
    const LABELS: &str = "t10k-labels-idx1-ubyte";
    match format {
        0 => ("mnist", vec![(IMAGES, images), (LABELS, idx_labels)]),
        1 => ("mnist", vec![(LABELS, idx_labels), (IMAGES, images)]),
        2 => ("svhn", vec![("train_32x32.mat", svhn(true))]),
        3 => ("svhn", vec![("train_32x32.mat", svhn(false))]),
        4 => ("usps", vec![("USPS.mat", usps(true))]),
        _ => ("usps", vec![("USPS.mat", usps(false))]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_changed_file_never_panics(
        format in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..4),
        in_header in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let (id, mut files) = files(format);
        let bytes = &mut files[0].1;
        let untouched = changes.is_empty();
        if packed && id == "mnist" {
            *bytes = gzip(bytes);
        }
        // Of a MAT file the first 124 bytes are text; then come the heads of the first variable.
        let header = if id == "mnist" { 0..20 } else { 120..220 };
        for (place, byte, kind) in changes {
            if bytes.len() <= header.start {
                break;
            }
            let most = if in_header { bytes.len().min(header.end) } else { bytes.len() };
            let place = match in_header {
                true => header.start + place.index(most - header.start),
                false => place.index(most),
            };
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        let named: Vec<(&str, &[u8])> = files.iter().map(|(name, b)| (*name, &b[..])).collect();
        let dir = folder(id, &named);
        let options = LoadOptions { data_dir: Some(dir.path().into()), ..seeded(1) };
        match load(id, &options) {
            Ok(data) => check_splits(&data),
            Err(error) => {
                prop_assert!(!untouched, "{}", error);
                prop_assert!(error.to_string().len() < 2000);
            }
        }
    }
}
