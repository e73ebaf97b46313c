//! CelebA: pictures of faces with yes-or-no attributes (Liu and others 2015); ten of the attributes are a task each.
//!
//! The folder holds `list_attr_celeba.txt` (number of pictures; names of the attributes; then a line for each picture:
//! its file and 1 or -1 for each attribute), `list_eval_partition.txt` (a line for each picture: its file and 0, 1 or 2
//! for train, validation and test) and the pictures in `img_align_celeba`. Without the second file, a tenth of the
//! pictures is drawn for testing and a ninth of the rest for validation. Row ids follow the first list.
//!
//! COMET's supplement (S1) takes ten attributes of the forty without naming them, so these are our own choice. The middle
//! square of a picture is scaled to 32 x 32 pixels; its values are three planes (red, green, blue).

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::thread;

use image::imageops::FilterType;
use moe_core::batch::{InputSpec, TaskKind};

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Dense, Features, Table};
use crate::error::DataError;
use crate::formats::unpack::{open_unpacked, unreadable};
use crate::options::LoadOptions;
use crate::source_folder::SourceFolder;

const ID: &str = "celeba";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "faces with ten attributes, a task for each",
    origin: SOURCE.origin(),
    terms: "non-commercial research only, no redistribution; Ziwei Liu and others, Chinese University of Hong Kong",
    load,
    ..Entry::NEW
};
const SOURCE: SourceFolder = SourceFolder {
    name: "celeba",
    files: "list_attr_celeba.txt, list_eval_partition.txt (optional) and the folder img_align_celeba",
    get: "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
};

const ATTRIBUTES: [&str; 10] = [
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
];
const LIST: &str = "list_attr_celeba.txt";
const PARTITION: &str = "list_eval_partition.txt";
const PICTURES: &str = "img_align_celeba";
/// Height and width that pictures are scaled to.
const SIDE: u32 = 32;
const NUMBERS: usize = 3 * (SIDE * SIDE) as usize;
/// The most bytes of a list: ten times the original.
const MOST_BYTES: u64 = 256 << 20;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = SOURCE.path(ID, options)?;
    let list = folder.join(LIST);
    if !list.exists() {
        return Err(SOURCE.missing(ID, &folder, LIST));
    }
    let (names, targets) = attributes(&list)?;
    let rows = names.len() as u32;
    let partition_file = folder.join(PARTITION);
    let splits = if partition_file.exists() {
        partition(&partition_file, &names)?
    } else {
        let [rest, test] = split::cut((0..rows).collect(), 10, options.seed, "celeba test");
        let [train, val] = split::cut(rest, 11, options.seed, "celeba val");
        [train, val, test]
    };
    let values = pictures(&folder.join(PICTURES), &names)?;
    let features = Features::dense(Dense::Bytes { divisor: u8::MAX, values });
    let tasks = ATTRIBUTES.into_iter().zip(targets.map(Column::Flags));
    let tasks = tasks.map(|(name, targets)| (name, TaskKind::binary(), targets));
    let input = InputSpec::default().with_dense([3, SIDE as usize, SIDE as usize]);
    Dataset::new(ID, Table::new(input, features, tasks), splits)
}

/// The files of all pictures, and 0 or 1 for each of [`ATTRIBUTES`].
fn attributes(path: &Path) -> Result<(Vec<String>, [Vec<u8>; 10]), DataError> {
    let text = text(path)?;
    let mut lines = (1..).zip(text.lines());
    let wrong = |line, problem: String, allowed: &str| malformed(path, line, problem, allowed);
    let (_, count) = lines.next().unwrap_or((1, ""));
    let Ok(count) = count.trim().parse::<usize>() else {
        return Err(wrong(1, format!("{count:?} is not a number of pictures"), "a whole number"));
    };
    let columns: Vec<&str> = lines.next().unwrap_or((2, "")).1.split_ascii_whitespace().collect();
    let mut places = [0; 10];
    for (place, attribute) in places.iter_mut().zip(ATTRIBUTES) {
        let found = columns.iter().position(|column| *column == attribute);
        let missing = || wrong(2, format!("no attribute {attribute}"), &ATTRIBUTES.join(", "));
        *place = 1 + found.ok_or_else(missing)?;
    }
    let (mut names, mut targets) = (Vec::new(), [const { Vec::new() }; 10]);
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() != 1 + columns.len() {
            let allowed = format!("a file and {} attributes", columns.len());
            return Err(wrong(line, format!("{} fields", fields.len()), &allowed));
        }
        for (targets, place) in targets.iter_mut().zip(places) {
            targets.push(match fields[place] {
                "1" => 1,
                "-1" => 0,
                other => return Err(wrong(line, format!("an attribute {other:?}"), "1 or -1")),
            });
        }
        // A path could lead out of the folder.
        if fields[0].contains(['/', '\\']) {
            let problem = format!("the file {:?}", fields[0]);
            return Err(wrong(line, problem, "a name without a folder"));
        }
        names.push(fields[0].to_owned());
    }
    if names.len() != count || u32::try_from(count).is_err() {
        let problem = format!("{} pictures are listed", names.len());
        return Err(wrong(1, problem, &format!("{count}, as the first line says")));
    }
    Ok((names, targets))
}

/// The rows of the splits.
fn partition(path: &Path, names: &[String]) -> Result<[Vec<u32>; 3], DataError> {
    let rows: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    let mut split_of = vec![None; names.len()];
    for (line, text) in (1..).zip(text(path)?.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let found = match fields[..] {
            [name, split] => rows.get(name).zip(["0", "1", "2"].iter().position(|s| *s == split)),
            _ => None,
        };
        let Some((&row, split)) = found.filter(|(row, _)| split_of[**row as usize].is_none())
        else {
            let allowed = format!("a file of {LIST}, each once, and 0, 1 or 2");
            return Err(malformed(path, line, format!("{text:?}"), &allowed));
        };
        split_of[row as usize] = Some(split);
    }
    let mut splits = [const { Vec::new() }; 3];
    for (row, split) in (0..).zip(split_of) {
        let none =
            || malformed(path, 1, format!("no line for {}", names[row as usize]), "one each");
        splits[split.ok_or_else(none)?].push(row);
    }
    Ok(splits)
}

/// The pictures, `[rows, NUMBERS]`, decoded in parallel, each row on its own.
fn pictures(folder: &Path, names: &[String]) -> Result<Vec<u8>, DataError> {
    let mut values = vec![0; names.len() * NUMBERS];
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let rows = names.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let blocks = values.chunks_mut(rows * NUMBERS).zip(names.chunks(rows));
        let workers = blocks.map(|(values, names)| {
            scope.spawn(move || {
                let mut rows = values.chunks_exact_mut(NUMBERS).zip(names);
                rows.try_for_each(|(row, name)| decode(&folder.join(name), row))
            })
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(values)
}

fn decode(path: &Path, row: &mut [u8]) -> Result<(), DataError> {
    let picture = image::ImageReader::open(path).map_err(unreadable(path))?;
    let picture = picture.decode().map_err(|error| {
        unreadable(path)(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    })?;
    let side = picture.width().min(picture.height());
    let [left, top] = [picture.width(), picture.height()].map(|length| (length - side) / 2);
    let square = picture.crop_imm(left, top, side, side);
    let small = square.resize_exact(SIDE, SIDE, FilterType::Triangle).to_rgb8();
    for (place, pixel) in small.pixels().enumerate() {
        for (plane, value) in pixel.0.into_iter().enumerate() {
            row[plane * (SIDE * SIDE) as usize + place] = value;
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, DataError> {
    let mut text = String::new();
    let length = fs::metadata(path).map_err(unreadable(path))?.len();
    if length > MOST_BYTES {
        let problem = format!("{length} bytes");
        return Err(malformed(path, 1, problem, &format!("at most {MOST_BYTES} bytes")));
    }
    let read = open_unpacked(path)?.take(MOST_BYTES).read_to_string(&mut text);
    read.map_err(unreadable(path))?;
    Ok(text)
}

fn malformed(path: &Path, line: u64, problem: String, allowed: &str) -> DataError {
    DataError::malformed(path, line, None, problem, allowed)
}
