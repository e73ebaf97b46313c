//! Tables of the user's own: what their columns mean, and what a schema makes of raw rows.

mod common;

use common::{all, check_splits, folder, gzip, same_data};
use moe_core::Tensor;
use moe_core::batch::{BatchSource, InputSpec, TaskKind};
use moe_data::{
    DataError, Dataset, FeatureSchema, LoadOptions, Scaling, Separator, Stats, TableOptions,
    TargetColumn, TargetKind, Unknown, load,
};
use proptest::prelude::*;
use tempfile::TempDir;

const HEADER: &str = "user,age,job,city,bought,stars,colour,note";
const NAMES: [&str; 4] = ["user", "city", "age", "job"];

/// Row i: user i / 4, an age that is missing in every seventh, three jobs, a city, and three targets.
fn fields(i: usize) -> [String; 8] {
    let age = if i % 7 == 3 { String::new() } else { (20 + i % 50).to_string() };
    let stars = if i.is_multiple_of(2) { String::new() } else { format!("{}.5", i % 5) };
    [
        format!("u{}", i / 4),
        age,
        ["\"cook, head\"", "smith", "é"][i % 3].into(),
        format!("c{}", i % 9),
        ["yes", "no", "no"][i % 3].into(),
        stars,
        ["red", "green"][i % 2].into(),
        "-".into(),
    ]
}

fn text(rows: usize) -> String {
    let lines = (0..rows).map(|i| fields(i).join(",") + "\n");
    format!("{HEADER}\n{}", lines.collect::<String>())
}

fn target(column: &str, kind: TargetKind) -> TargetColumn {
    TargetColumn { column: column.into(), kind, positive: None }
}

fn described() -> TableOptions {
    TableOptions {
        file: "people.csv".into(),
        separator: Separator::Comma,
        missing: vec!["".into(), "NA".into(), "null".into()],
        ids: vec!["user".into(), "city".into()],
        unknown: Unknown::Shared,
        min_count: 1,
        numbers: vec!["age".into()],
        scaling: Scaling::Standard,
        categories: vec!["job".into()],
        targets: vec![
            TargetColumn { positive: Some("yes".into()), ..target("bought", TargetKind::Binary) },
            target("stars", TargetKind::Regression),
            target("colour", TargetKind::Multiclass),
        ],
    }
}

fn options(dir: &TempDir, table: TableOptions) -> LoadOptions {
    LoadOptions { data_dir: Some(dir.path().into()), table: Some(table), ..common::seeded(1) }
}

fn loaded(text: &[u8], table: TableOptions) -> Result<Dataset, DataError> {
    let dir = folder("table", &[("people.csv", text)]);
    load("table", &options(&dir, table))
}

#[test]
fn columns_become_what_they_are_said_to_be() {
    let data = loaded(text(200).as_bytes(), described()).unwrap();
    check_splits(&data);
    assert_eq!(data.splits().map(|(_, split)| split.rows()), [157, 23, 20]);
    let kinds: Vec<_> =
        data.tasks.iter().map(|task| (task.name.as_str(), task.kind.clone())).collect();
    let classes = TaskKind::multiclass(2);
    assert_eq!(
        kinds,
        [("bought", TaskKind::binary()), ("stars", TaskKind::regression()), ("colour", classes)]
    );
    let schema = data.schema().unwrap();
    assert_eq!(schema.columns().collect::<Vec<_>>(), NAMES);
    assert_eq!(schema.input(), data.input);
    let InputSpec { columns, dense, .. } = &data.input;
    assert_eq!(dense, &[4]);
    assert_eq!((columns[1].name.as_str(), columns[1].vocabulary), ("city", 10));
    assert_eq!(columns[0].vocabulary, data.vocabulary(0).unwrap().len() + 1);

    // As many of each class in every split.
    for (_, split) in data.splits() {
        let batch = all(split);
        let bought = &batch.targets[0].values;
        let share = bought.iter().sum::<moe_core::Real>() / bought.len() as moe_core::Real;
        assert!((share - 1.0 / 3.0).abs() < 0.03, "{share}");
        for (row, &id) in batch.row_ids.iter().enumerate() {
            let fields = fields(id as usize);
            assert_eq!(bought[row] == 1.0, fields[4] == "yes");
            let stars = &batch.targets[1];
            assert_eq!(stars.present[row], !fields[5].is_empty());
            assert!(
                !stars.present[row] || stars.values[row].to_string() == fields[5].replace(".0", "")
            );
            let name = schema.classes["colour"].name(common::classes(&batch, 2)[row]);
            assert_eq!(name, Some(fields[6].as_str()));
        }
    }
    // Numbers of the train split have mean 0 and variance 1 where they are there; missing ones are 0.
    let batch = all(&data.train);
    let dense = batch.inputs.dense.as_ref().expect("numbers");
    let known = (0..batch.rows()).filter(|&row| batch.row_ids[row] % 7 != 3);
    let ages: Vec<f64> = known.map(|row| f64::from(dense.row(row)[0])).collect();
    let mean = ages.iter().sum::<f64>() / ages.len() as f64;
    let variance = ages.iter().map(|age| age * age).sum::<f64>() / ages.len() as f64;
    assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
}

/// What a trained model sees of a raw row is what training saw of it, also after the schema was written down.
#[test]
fn a_schema_encodes_raw_rows_as_training_did() {
    let data = loaded(text(200).as_bytes(), described()).unwrap();
    let written = serde_json::to_string(data.schema().unwrap()).unwrap();
    let schema: FeatureSchema = serde_json::from_str(&written).unwrap();
    assert_eq!(&schema, data.schema().unwrap());
    let encoder = schema.encoder();
    for (_, split) in data.splits() {
        let batch = all(split);
        let rows = batch.row_ids.iter().map(|&id| {
            let [user, age, job, city, ..] = fields(id as usize);
            [user, city, age, job.replace('"', "")]
        });
        let rows: Vec<[String; 4]> = rows.collect();
        assert_eq!(encoder.encode(&rows).unwrap(), batch.inputs);
    }
    let inputs = encoder.encode(&[["new", "c1", "", "judge"]]).unwrap();
    assert_eq!(inputs.ids[0], [schema.ids[0].vocabulary.len() as u32]);
    assert_eq!(inputs.dense, Some(Tensor::zeros([1, 4])));
    for (row, says) in [
        (vec!["u1", "c1", "old", "smith"], "row 0, column age: \"old\" is not a number; allowed:"),
        (vec!["u1", "c1", "inf", "smith"], "\"inf\" is not a number"),
        (vec!["u1"], "row 0: 1 fields; allowed: user, city, age, job"),
    ] {
        let error = encoder.encode(&[row]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn unknown_ids_share_one_or_are_refused() {
    let shared = loaded(text(200).as_bytes(), described()).unwrap();
    let refused = TableOptions { unknown: Unknown::Refuse, ..described() };
    let refused = loaded(text(200).as_bytes(), refused).unwrap();
    assert_eq!(refused.input.columns[0].vocabulary, 50);
    let encoder = refused.schema().unwrap().encoder();
    let error = encoder.encode(&[["new", "c1", "3", "smith"]]).unwrap_err().to_string();
    assert!(error.contains("column user: \"new\" is unknown; allowed: a name that was"), "{error}");
    // Users with fewer than 4 of their 4 rows in the train split are unknown.
    let rare = TableOptions { min_count: 4, ..described() };
    let rare = loaded(text(200).as_bytes(), rare).unwrap();
    let ids = |data: &Dataset| data.input.columns[0].vocabulary;
    assert!(ids(&rare) < ids(&shared) && ids(&rare) > 1);
    let last = ids(&rare) as u32 - 1;
    let ids = all(&rare.train).inputs.ids;
    assert!(ids[0].contains(&last));
}

#[test]
fn inputs_are_dense_without_ids_and_ids_without_the_rest() {
    let dense = TableOptions { ids: Vec::new(), scaling: Scaling::MinMax, ..described() };
    let dense = loaded(text(200).as_bytes(), dense).unwrap();
    assert_eq!(dense.input, InputSpec::dense(4));
    check_splits(&dense);
    let train = all(&dense.train);
    let ages: Vec<_> = (0..train.rows()).map(|row| common::dense(&train).row(row)[0]).collect();
    assert!(ages.iter().all(|age| (0.0..=1.0).contains(age)));
    let ids = TableOptions { numbers: Vec::new(), categories: Vec::new(), ..described() };
    let ids = loaded(text(200).as_bytes(), ids).unwrap();
    assert!(!ids.input.columns.is_empty() && ids.input.dense.is_empty());
    check_splits(&ids);
    let plain = TableOptions {
        ids: Vec::new(),
        categories: Vec::new(),
        scaling: Scaling::None,
        ..described()
    };
    let plain = loaded(text(200).as_bytes(), plain).unwrap();
    let batch = plain.train.batch(&[0]);
    assert_eq!(common::dense(&batch).row(0)[0], (20 + batch.row_ids[0] % 50) as moe_core::Real);
}

#[test]
fn separators_line_ends_and_packing_do_not_matter() {
    let data = loaded(text(60).as_bytes(), described()).unwrap();
    let windows = text(60).replace('\n', "\r\n");
    assert!(same_data(&data, &loaded(windows.as_bytes(), described()).unwrap()));
    assert!(same_data(&data, &loaded(&gzip(text(60).as_bytes()), described()).unwrap()));
    for (separator, sign) in [(Separator::Semicolon, ";"), (Separator::Tab, "\t")] {
        let lines = (0..60).map(|i| fields(i).join(sign) + "\n");
        let text = format!("{}\n{}", HEADER.replace(',', sign), lines.collect::<String>());
        let table = TableOptions { separator, ..described() };
        assert!(same_data(&data, &loaded(text.as_bytes(), table).unwrap()));
    }
}

/// A row without a class or an answer has no target, whatever the kind, and is drawn into a split like the others.
#[test]
fn an_empty_target_is_absent() {
    let lines = (0..800).map(|i| {
        let answer = ["1", "0", ""][i % 3];
        let class = if i % 5 == 0 { String::new() } else { format!("class {}", i % 400) };
        format!("{i},{class},{answer}\n")
    });
    let text = format!("x,class,answer\n{}", lines.collect::<String>());
    let table = |targets: [TargetColumn; 2]| TableOptions {
        ids: vec![],
        numbers: vec!["x".into()],
        categories: vec![],
        targets: targets.into(),
        ..described()
    };
    let class = || target("class", TargetKind::Multiclass);
    let answer = || target("answer", TargetKind::Binary);
    for (targets, [class_at, answer_at]) in
        [([class(), answer()], [0, 1]), ([answer(), class()], [1, 0])]
    {
        let data = loaded(text.as_bytes(), table(targets)).unwrap();
        check_splits(&data);
        // More than a byte holds.
        assert_eq!(data.tasks[class_at].kind, TaskKind::multiclass(320));
        for (_, split) in data.splits() {
            let batch = all(split);
            let (classes, answers) = (&batch.targets[class_at], &batch.targets[answer_at]);
            for (row, &id) in batch.row_ids.iter().enumerate() {
                assert_eq!(classes.present[row], id % 5 != 0);
                assert_eq!(answers.present[row], id % 3 != 2);
                let name = data.schema().unwrap().classes["class"].name(classes.classes[row]);
                assert_eq!(
                    name.map(str::to_owned),
                    (id % 5 != 0).then(|| format!("class {}", id % 400))
                );
                assert!(!answers.present[row] || (answers.values[row] == 1.0) == (id % 3 == 0));
            }
        }
        let stats = Stats::of(&data);
        assert_eq!((stats.tasks[class_at].rows, stats.tasks[answer_at].rows), (640, 534));
    }
}

#[test]
fn what_is_wrong_is_said_with_line_and_column() {
    let good = text(30);
    let with = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let column = |change: fn(&mut TableOptions)| {
        let mut table = described();
        change(&mut table);
        table
    };
    for (text, table, says) in [
        (
            with("u0,20", "u0,NaN"),
            described(),
            "people.csv, line 2, column 2 (age): \"NaN\" is not",
        ),
        (
            with("u0,20", ",20"),
            described(),
            "line 2, column 1 (user): \"\" is empty; allowed: an id",
        ),
        (
            with(",1.5,", ",1e99,"),
            described(),
            "line 3, column 6 (stars): \"1e99\" is beyond single precision",
        ),
        (with("c0,yes", "c0"), described(), "line 2: 7 fields; allowed: 8 fields"),
        (with("u0,20", "u\u{0},20"), column(|t| t.ids = vec!["name".into()]), "no column \"name\""),
        (
            good.clone().into_bytes(),
            column(|t| t.targets[0].positive = None),
            "line 2, column 5 (bought): \"yes\" is neither yes nor no; allowed: 1 or 0",
        ),
        (
            good.clone().into_bytes(),
            column(|t| t.numbers.push("user".into())),
            "table = the column user twice for the data set table",
        ),
        (good.clone().into_bytes(), column(|t| t.targets.clear()), "table.targets = []"),
        (format!("{HEADER}\n").into_bytes(), described(), "the train split of the data set table"),
        (Vec::new(), described(), "line 1: the file holds no rows"),
        (b"user\xff,b\n".to_vec(), described(), "no column \"user\""),
        (good.replace("u3,", "u\u{1},").into_bytes(), column(|t| t.file = "x.csv".into()), "x.csv"),
    ] {
        let error = loaded(&text, table).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let bytes = [&b"user,age,job,city,bought,stars,colour,note\n\xff,"[..], b"1,a,b,yes,1,red,-\n"];
    let error = loaded(&bytes.concat(), described()).unwrap_err().to_string();
    assert!(error.contains("line 2, column 1 (user)") && error.contains("is not UTF-8"), "{error}");
    let many: String = (0..300).map(|i| format!("{i},{}\n", i % 2)).collect();
    let table = TableOptions {
        ids: Vec::new(),
        numbers: Vec::new(),
        categories: vec!["a".into()],
        targets: vec![target("b", TargetKind::Binary)],
        ..described()
    };
    let error = loaded(format!("a,b\n{many}").as_bytes(), table).unwrap_err().to_string();
    assert!(error.contains("line 258, column 1 (a): \"256\" is one category too many"), "{error}");
    let table = TableOptions {
        ids: Vec::new(),
        numbers: Vec::new(),
        categories: vec!["a".into()],
        targets: vec![target("b", TargetKind::Binary)],
        ..described()
    };
    let error = loaded(b"a,b\nx,1\n", table).unwrap_err().to_string();
    assert!(error.contains("the train split of the data set table is empty (1 rows"), "{error}");
    let none = LoadOptions { data_dir: Some("nowhere".into()), ..common::seeded(1) };
    let error = load("table", &none).unwrap_err();
    assert!(error.is_configuration() && error.to_string().contains("[dataset.table]"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_changed_file_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..5),
        in_header in any::<bool>(),
    ) {
        let mut bytes = text(40).into_bytes();
        let untouched = changes.is_empty();
        for (place, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(if in_header { bytes.len().min(60) } else { bytes.len() });
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        match loaded(&bytes, described()) {
            Ok(data) => check_splits(&data),
            Err(error) => {
                prop_assert!(!untouched, "{}", error);
                prop_assert!(error.to_string().len() < 1000);
            }
        }
    }
}

#[test]
fn parquet_reads_the_same_table_or_says_that_it_cannot() {
    let dir = folder("table", &[("people.csv", text(60).as_bytes()), ("bad.parquet", b"PAR1x")]);
    let table = |file: &str| options(&dir, TableOptions { file: file.into(), ..described() });
    let error = load("table", &table("bad.parquet")).unwrap_err().to_string();
    assert!(error.contains("bad.parquet: cannot be read"), "{error}");
    #[cfg(feature = "parquet")]
    {
        parquet_file::write(&dir.path().join("table/people.parquet"));
        let same = load("table", &table("people.parquet")).unwrap();
        assert!(same_data(&same, &load("table", &table("people.csv")).unwrap()));
        let mut bytes = std::fs::read(dir.path().join("table/people.parquet")).unwrap();
        let middle = bytes.len() / 2;
        for place in [4, middle, bytes.len() - 20] {
            bytes[place] ^= 0x55;
            std::fs::write(dir.path().join("table/changed.parquet"), &bytes).unwrap();
            // Rows or an error.
            let _ = load("table", &table("changed.parquet"));
        }
        let mut other = table("people.parquet");
        other.table.as_mut().unwrap().ids = vec!["name".into()];
        let error = load("table", &other).unwrap_err().to_string();
        assert!(error.contains("no column \"name\" among user, age"), "{error}");
    }
}

#[cfg(feature = "parquet")]
mod parquet_file {
    use std::path::Path;
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::fields;

    /// The table of 60 rows, with ages as whole numbers and stars as fractions, both absent where they are missing.
    pub(super) fn write(path: &Path) {
        let schema = "message table { required binary user (UTF8); optional int32 age; \
             required binary job (UTF8); required binary city (UTF8); required binary bought (UTF8); \
             optional double stars; required binary colour (UTF8); required binary note (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = std::fs::File::create(path).unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for column in 0..8 {
            let texts: Vec<String> = (0..60).map(|i| fields(i)[column].replace('"', "")).collect();
            let present: Vec<i16> = texts.iter().map(|text| i16::from(!text.is_empty())).collect();
            let known = texts.iter().filter(|text| !text.is_empty());
            let mut out = group.next_column().unwrap().unwrap();
            match column {
                1 => {
                    let values: Vec<i32> = known.map(|text| text.parse().unwrap()).collect();
                    out.typed::<Int32Type>().write_batch(&values, Some(&present), None).unwrap();
                }
                5 => {
                    let values: Vec<f64> = known.map(|text| text.parse().unwrap()).collect();
                    out.typed::<DoubleType>().write_batch(&values, Some(&present), None).unwrap();
                }
                _ => {
                    let values: Vec<ByteArray> =
                        texts.iter().map(|text| text.as_str().into()).collect();
                    out.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
                }
            }
            out.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
    }
}
