//! Names and options that do not fit, and the table of sets.

mod common;

use common::seeded;
use moe_data::{DataError, LoadOptions, Origin, catalog, find, load};

#[test]
fn an_unknown_set_names_the_nearest_and_all() {
    let error = load("multi-optdigit", &seeded(0)).unwrap_err().to_string();
    assert!(error.contains("unknown data set \"multi-optdigit\""), "{error}");
    assert!(error.contains("did you mean \"multi-optdigits\"?"), "{error}");
    for entry in catalog() {
        assert!(error.contains(entry.id), "{error}");
    }
}

#[test]
fn an_option_that_does_not_apply_is_named() {
    let none = LoadOptions::default();
    for (id, option, options) in [
        ("optdigits", "train_rows", LoadOptions { train_rows: Some(5), ..none.clone() }),
        ("multi-optdigits", "width", LoadOptions { width: Some(5), ..none.clone() }),
        ("restaurant", "noise", LoadOptions { noise: Some(0.0), ..none.clone() }),
        ("synthetic", "test_file", LoadOptions { test_file: Some("x".into()), ..none.clone() }),
        ("movielens-1m-mtl", "experts", LoadOptions { experts: Some(5), ..none.clone() }),
        ("optdigits", "separation", LoadOptions { separation: Some(1.0), ..none.clone() }),
    ] {
        let error = load(id, &options).unwrap_err();
        assert!(matches!(error, DataError::OptionDoesNotApply { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(&format!("`{option}`")) && error.contains(id), "{error}");
    }
}

#[test]
fn every_set_takes_the_common_options() {
    for entry in catalog() {
        let options = LoadOptions { data_dir: Some("nowhere".into()), ..seeded(3) };
        assert_eq!(entry.resolve(&options).unwrap().seed, 3);
        assert!(entry.options().starts_with(&["seed", "data_dir"]));
        match entry.origin {
            Origin::Files { .. } => assert!(entry.load(&options).is_err()),
            _ => assert!(entry.load(&options).is_ok()),
        }
    }
}

#[test]
fn resolved_options_show_the_defaults_and_load_the_same() {
    let entry = find("synthetic").unwrap();
    let resolved = entry.resolve(&seeded(2)).unwrap();
    assert_eq!(
        serde_json::to_string(&resolved).unwrap(),
        r#"{"seed":2,"train_rows":8000,"val_rows":2000,"test_rows":2000,"width":16,"experts":8,"noise":0.1,"separation":3.0}"#
    );
    assert_eq!(entry.resolve(&resolved).unwrap(), resolved);
}

#[test]
fn options_are_read_strictly() {
    let read = serde_json::from_str::<LoadOptions>;
    assert_eq!(read("{}").unwrap(), LoadOptions::default());
    assert_eq!(read(r#"{"width": 3}"#).unwrap().width, Some(3));
    assert!(read(r#"{"widht": 3}"#).unwrap_err().to_string().contains("widht"));
}

#[test]
fn an_empty_split_is_an_error() {
    for (id, options) in [
        ("multi-optdigits", LoadOptions { val_rows: Some(0), ..seeded(0) }),
        ("synthetic", LoadOptions { val_rows: Some(0), ..seeded(0) }),
    ] {
        let error = load(id, &options).unwrap_err().to_string();
        assert!(error.contains("val_rows = 0") && error.contains("allowed: 1 to"), "{error}");
    }
}
