//! CelebA's layout, with pictures made here.
#![cfg(feature = "celeba")]

mod common;

use std::fs;

use common::{all, check_splits, dense, folder, seeded};
use moe_core::batch::{BatchSource, TaskKind};
use moe_data::{Dataset, LoadOptions, load};
use tempfile::TempDir;

const NAMES: [&str; 12] = [
    "5_o_Clock_Shadow",
    "Attractive",
    "Big_Lips",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Smiling",
    "Wavy_Hair",
    "Wearing_Lipstick",
    "Young",
    "Other",
];

/// Picture i is one colour, red i * 10; attribute a is there if a divides i.
fn place(pictures: usize) -> TempDir {
    let mut list = format!("{pictures}\n{} \n", NAMES.join(" "));
    let mut partition = String::new();
    for i in 1..=pictures {
        let marks = (1..=12).map(|a| if i.is_multiple_of(a) { " 1" } else { "-1" });
        list += &format!("{i:06}.jpg {}\n", marks.collect::<Vec<_>>().join(" "));
        partition += &format!("{i:06}.jpg {}\n", i % 3);
    }
    let files = [("list_attr_celeba.txt", &list), ("list_eval_partition.txt", &partition)];
    let dir = folder("celeba", &files.map(|(name, text)| (name, text.as_bytes())));
    let pictures_dir = dir.path().join("celeba/img_align_celeba");
    fs::create_dir(&pictures_dir).unwrap();
    for i in 1..=pictures {
        let colour = image::Rgb([i as u8 * 10, 100, 200]);
        let picture = image::RgbImage::from_pixel(178, 218, colour);
        picture.save(pictures_dir.join(format!("{i:06}.jpg"))).unwrap();
    }
    dir
}

fn loaded(dir: &TempDir) -> Result<Dataset, String> {
    let options = LoadOptions { data_dir: Some(dir.path().into()), ..seeded(1) };
    load("celeba", &options).map_err(|error| error.to_string())
}

#[test]
fn pictures_and_attributes() {
    let dir = place(20);
    let data = loaded(&dir).unwrap();
    check_splits(&data);
    assert_eq!(data.splits().map(|(_, split)| split.rows()), [6, 7, 7]);
    assert_eq!(data.tasks.len(), 10);
    assert_eq!(
        (data.tasks[3].name.as_str(), data.tasks[3].kind.clone()),
        ("High_Cheekbones", TaskKind::binary())
    );
    let batch = all(&data.test);
    for (row, &id) in batch.row_ids.iter().enumerate() {
        let i = id as usize + 1;
        for (task, attribute) in (2..=11).enumerate() {
            assert_eq!(batch.targets[task].values[row] == 1.0, i.is_multiple_of(attribute));
        }
        for (plane, colour) in [i * 10, 100, 200].into_iter().enumerate() {
            let value = dense(&batch).row(row)[plane * 1024 + 500] * 255.0;
            assert!((value - colour as moe_core::Real).abs() < 4.0, "{value} {colour}");
        }
    }
    // Without the official splits.
    fs::remove_file(dir.path().join("celeba/list_eval_partition.txt")).unwrap();
    assert_eq!(loaded(&dir).unwrap().splits().map(|(_, split)| split.rows()), [16, 2, 2]);
}

#[test]
fn what_is_wrong_is_said() {
    let dir = place(9);
    let path = |name: &str| dir.path().join("celeba").join(name);
    let with = |name: &str, from: &str, to: &str, says: &str| {
        let good = fs::read(path(name)).unwrap();
        let text = String::from_utf8(good.clone()).unwrap();
        fs::write(path(name), text.replacen(from, to, 1)).unwrap();
        let error = loaded(&dir).unwrap_err();
        assert!(error.contains(says), "{says}: {error}");
        fs::write(path(name), good).unwrap();
    };
    let list = "list_attr_celeba.txt";
    with(list, "9\n", "99\n", "line 1: 9 pictures are listed; allowed: 99");
    with(list, "9\n", "nine\n", "line 1: \"nine\" is not a number of pictures");
    with(list, "Male", "Mail", "line 2: no attribute Male");
    with(
        list,
        "000003.jpg ",
        "000003.jpg 1 ",
        "line 5: 14 fields; allowed: a file and 12 attributes",
    );
    with(list, " 1 -1", " 1 0", "line 3: an attribute \"0\"; allowed: 1 or -1");
    with(list, "000001.jpg", "../1.jpg", "line 3: the file \"../1.jpg\"");
    with("list_eval_partition.txt", "000002.jpg 2", "000001.jpg 2", "line 2: \"000001.jpg 2\"");
    with("list_eval_partition.txt", "000002.jpg 2\n", "", "no line for 000002.jpg");
    fs::write(path("img_align_celeba/000004.jpg"), b"no picture").unwrap();
    assert!(loaded(&dir).unwrap_err().contains("000004.jpg: cannot be read"));
    fs::remove_file(path("img_align_celeba/000004.jpg")).unwrap();
    assert!(loaded(&dir).unwrap_err().contains("000004.jpg: cannot be read"));
    fs::remove_file(path(list)).unwrap();
    assert!(loaded(&dir).unwrap_err().contains("needs list_attr_celeba.txt in"));
}
