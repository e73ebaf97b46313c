//! Labels of tables of the user's own: which fields are missing, and targets that teach nothing.

mod common;

use common::own_table::{HEADER, first, good, read, rows, table};
use common::warnings;
use moe_data::Stats;
use serde_json::{Value, json};

#[test]
fn labels_that_are_neither_yes_nor_no_name_the_keys() {
    for label in ["2", "yes", "maybe"] {
        let error = read(&first(&format!("20,c0,{label}")), json!({})).unwrap_err().to_string();
        for says in [
            &format!("line 2, column 3 (bought): {label:?} is neither yes nor no; allowed: 1 or 0"),
            "the key positive of the target",
            "missing = [\"NA\", \"null\"]",
        ] {
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}

/// A missing label is absent whatever the kind and the marker, never a label.
#[test]
fn missing_labels_are_absent() {
    for marker in ["", "NA", "null", "?"] {
        for (kind, labels) in [
            (json!({ "kind": "binary" }), ["1", "0"]),
            (json!({ "kind": "binary", "positive": "yes" }), ["yes", "no"]),
            (json!({ "kind": "multiclass" }), ["red", "green"]),
            (json!({ "kind": "regression" }), ["1.5", "2"]),
        ] {
            let bytes = rows(HEADER, |i| {
                format!("{i},c0,{}", [labels[i % 2], marker][usize::from(i % 3 == 0)])
            });
            let mut target = kind.clone();
            target["column"] = "bought".into();
            let mut changes = json!({ "targets": [target] });
            if marker == "?" {
                changes["missing"] = json!(["?"]);
            }
            let data = read(&bytes, changes).unwrap();
            let stats = &Stats::of(&data).tasks[0];
            assert_eq!((stats.rows, stats.missing), (40, 20), "{marker:?} {kind}");
            let counts: Vec<usize> = stats.counts.iter().map(|(_, count)| *count).collect();
            assert_eq!(counts, [20, 20], "{marker:?} {kind}");
        }
    }
    // Only what is said to be missing is.
    let bytes = rows(HEADER, |i| format!("{i},c0,{}", ["NA", "EU", ""][i % 3]));
    let targets = json!([{ "column": "bought", "kind": "multiclass" }]);
    let data = read(&bytes, json!({ "missing": [""], "targets": targets })).unwrap();
    let stats = &Stats::of(&data).tasks[0];
    assert_eq!((stats.rows, stats.missing, stats.counts[0].0.as_str()), (40, 20, "NA"));
}

/// One meaning of the key: a field with a marker is an empty field in every column, also for new rows.
#[test]
fn a_missing_field_is_an_empty_one_everywhere() {
    let with = |marker: &str| {
        rows(HEADER, |i| if i % 3 == 0 { format!("{marker},{marker},{}", i % 2) } else { good(i) })
    };
    let data = read(&with(""), json!({})).unwrap();
    for marker in ["NA", "null"] {
        let other = read(&with(marker), json!({})).unwrap();
        assert!(common::same_data(&data, &other));
        let schema = other.schema().unwrap();
        let written = serde_json::to_string(schema).unwrap();
        let read: moe_data::FeatureSchema = serde_json::from_str(&written).unwrap();
        assert_eq!(&read, schema);
        let encoder = read.encoder();
        assert_eq!(
            encoder.encode(&[[marker, marker]]).unwrap(),
            encoder.encode(&[["", ""]]).unwrap()
        );
    }
    let error = read(&with("?"), json!({})).unwrap_err().to_string();
    assert!(error.contains("\"?\" is not a number"), "{error}");
    let ids = json!({ "numbers": [], "categories": [], "ids": ["city"] });
    for (marker, is) in [("NA", "\"NA\" means missing"), ("", "\"\" is empty")] {
        let error = read(&with(marker), ids.clone()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line 2, column 2 (city): {is}; allowed: an id")),
            "{error}"
        );
    }
}

/// A target that teaches nothing is refused with the column, what was found and what is allowed.
#[test]
fn a_target_without_different_labels_is_refused() {
    let of = |keys: Value| {
        let mut target = keys;
        target["column"] = "bought".into();
        json!({ "targets": [target] })
    };
    for (label, keys, says) in [
        (
            "",
            json!({ "kind": "binary" }),
            "no row has a label (60 rows); allowed: labels in some rows; missing are \"\" and",
        ),
        ("NA", json!({ "kind": "binary", "positive": "yes" }), "no row has a label (60 rows)"),
        ("null", json!({ "kind": "multiclass" }), "no row has a label (60 rows)"),
        ("", json!({ "kind": "regression" }), "no row has a label (60 rows)"),
        (
            "1",
            json!({ "kind": "binary" }),
            "all labels are \"yes\" (60 rows); allowed: labels of two values or more",
        ),
        ("red", json!({ "kind": "multiclass" }), "all labels are \"red\" (60 rows)"),
        ("2.5", json!({ "kind": "regression" }), "all labels are \"2.5\" (60 rows)"),
        (
            "Yes",
            json!({ "kind": "binary", "positive": "yes" }),
            "\"yes\", the text of positive, never occurs; allowed: one of the texts that occur, such as \"Yes\"",
        ),
        ("yes", json!({ "kind": "binary", "positive": "yes" }), "all labels are \"yes\" (60 rows)"),
    ] {
        let error = read(&rows(HEADER, |i| format!("{i},c0,{label}")), of(keys)).unwrap_err();
        assert!(!error.is_configuration());
        let error = error.to_string();
        assert!(
            error.contains("t.csv, column bought: ") && error.contains(says),
            "{says}: {error}"
        );
    }
}

/// Where a target has no labels, or all the same, in one split only, the data are read with a warning.
#[test]
fn a_split_without_different_labels_is_warned_of() {
    let targets = json!([{ "column": "age", "kind": "regression" }, { "column": "bought", "kind": "binary" }]);
    let changes = || json!({ "numbers": [], "targets": targets });
    let mut of_split = std::collections::BTreeMap::new();
    for at in 0..60 {
        // One label; that it is alone somewhere shows that its row went elsewhere.
        let bytes = rows(HEADER, |i| format!("{i},c0,{}", i32::from(i == at)));
        let (data, warned) = warnings(|| read(&bytes, changes()).unwrap());
        let has =
            data.splits().iter().position(|(_, split)| split.row_ids().contains(&(at as u32)));
        for (place, (split, _)) in data.splits().into_iter().enumerate() {
            let says = format!("target bought: all labels of the {split} split are \"no\" (");
            assert_eq!(warned.contains(&says), has != Some(place), "{warned}");
        }
        *of_split.entry(has).or_insert(0) += 1;
    }
    assert_eq!(of_split.len(), 3);
    // No label but in the train split, and three rows, of which each split has one.
    let data = read(&table(), changes()).unwrap();
    let train = data.train.row_ids();
    let bytes =
        rows(HEADER, |i| if train.contains(&(i as u32)) { good(i) } else { format!("{i},c0,") });
    let (_, warned) = warnings(|| read(&bytes, changes()).unwrap());
    for split in ["val", "test"] {
        let says = format!("target bought: no row of the {split} split has a label (");
        assert!(warned.contains(&says), "{warned}");
    }
    let (_, warned) =
        warnings(|| read(b"age,city,bought\n1,a,1\n2,b,0\n3,c,1\n", json!({})).unwrap());
    assert!(
        warned.contains("all labels of the test split are ") && warned.contains("(1 rows)"),
        "{warned}"
    );
    // Nothing is said of good data.
    assert_eq!(warnings(|| read(&table(), json!({})).unwrap()).1, "");
}

/// What an earlier version has saved had no markers; apart from them the schema is the same.
#[test]
fn a_schema_without_markers_is_read() {
    let data = read(&table(), json!({})).unwrap();
    let schema = data.schema().unwrap();
    let mut written = serde_json::to_value(schema).unwrap();
    assert_eq!(written["missing"], json!(["", "NA", "null"]));
    written.as_object_mut().unwrap().remove("missing");
    let read: moe_data::FeatureSchema = serde_json::from_value(written).unwrap();
    assert!(read.missing.is_empty() && read != *schema && read.same_columns(schema));
    let other = moe_data::FeatureSchema { numbers: vec![], ..read };
    assert!(!other.same_columns(schema));
}
