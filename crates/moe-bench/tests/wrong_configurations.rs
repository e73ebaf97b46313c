//! Configurations that cannot be read or are wrong: the file, the place in it and what is allowed, with status 2.

mod common;

use common::{Place, TINY, people};

#[test]
fn configuration_files() {
    let place = Place::new();
    for (text, says) in [
        (
            "[train]\n\nepocs = 3\n",
            &["line 3, column 1", "unknown field `epocs`", "did you mean \"epochs\"?"][..],
        ),
        (
            "[dataset]\nname = 'synthetic'\n  sead = 3\n",
            &["line 3, column 3", "did you mean \"seed\"?"],
        ),
        (
            "[modl]\nexperts = 3\n",
            &["line 1, column 2", "unknown field `modl`", "did you mean \"model\"?"],
        ),
        (
            "[model]\nexperts = 'four'\n",
            &["line 2, column 11", "string \"four\", expected a whole number"],
        ),
        (
            "[dataset]\ntrain_rows = -4\n",
            &["line 2, column 14", "integer `-4`, expected a whole number"],
        ),
        ("[dataset]\nname = 4\n", &["line 2, column 8", "integer `4`, expected a string"]),
        ("dataset = 'optdigits'\n", &["line 1, column 11", "expected a table of keys"]),
        (
            "[routers.top-k]\nload-balance = [1]\n",
            &["line 2, column 16", "expected true or false, a number or a word"],
        ),
        ("[model\nexperts = 3\n", &["line 1, column 7", "unclosed table"]),
        ("experts: 3\n", &["line 1, column 10"]),
        ("[model]\nk = 1\nk = 2\n", &["line 3, column 1", "duplicate key"]),
        ("[train]\nbatch_rows = 0\n", &["train.batch_rows = 0 is not allowed"]),
        (
            "[run]\nfirst_seed = 18446744073709551615\n",
            &["run.first_seed = 18446744073709551615 is not allowed; it must be at most"],
        ),
        (
            "[dataset]\nseed = 18446744073709551615\n",
            &["dataset.seed = 18446744073709551615 is not allowed"],
        ),
        (
            "[dataset]\nname='table'\ntest_share=1.5\n[dataset.table]\nfile='x.csv'\nnumbers=['a']\n\
             targets=[{column='y', kind='binary'}]\n",
            &["test_share = 1.5 for the data set table; allowed: "],
        ),
        (
            "[dataset]\nname='table'\nval_share=-1\n[dataset.table]\nfile='x.csv'\nnumbers=['a']\n\
             targets=[{column='y', kind='binary'}]\n",
            &["val_share = -1 for the data set table; allowed: "],
        ),
        ("[run]\nrouters = ['topk']\n", &["unknown router \"topk\""]),
        // The parameters of a router that does not run are checked too.
        ("[routers.hash]\nfoo = 1\n", &["router hash has no parameter \"foo\""]),
    ] {
        place.write("mine.toml", text);
        for command in ["compare", "train"] {
            let ran = place.run(&[command, "--config", "mine.toml"]).failed(2, says);
            assert!(
                says.iter().all(|s| !s.starts_with("line")) || ran.stderr.contains("mine.toml: ")
            );
        }
    }
    place.write("latin.toml", b"# 1\n[dataset]\nname = \"caf\xe9\"\n");
    let says = ["latin.toml: line 3, column 12: not UTF-8"];
    place.run(&["compare", "--config", "latin.toml"]).failed(2, &says);
    assert!(place.list("runs").is_empty());
}

#[test]
fn configurations_that_cannot_be_read() {
    let place = Place::new();
    place.run(&["compare", "--config", "none.toml"]).failed(2, &["none.toml: cannot be read: "]);
    place.run(&["train", "--config", "none.toml"]).failed(2, &["none.toml: "]);
    place.run(&["compare", "--config", "."]).failed(2, &[".: cannot be read: "]);
    assert!(place.list("runs").is_empty());
}

#[test]
fn a_preset_and_a_configuration_exclude_each_other() {
    let place = Place::new();
    let ran = place.run(&["compare", "--preset", "smoke", "--config", "x.toml"]);
    let ran = ran.failed(2, &["'--preset <PRESET>' cannot be used with '--config <CONFIG>'"]);
    assert!(!ran.stderr.contains("Usage"), "one of them alone is not what was meant: {ran:?}");
}

#[test]
fn bias_is_for_ratings() {
    let place = people::untrained();
    let compare = ["compare", "--config", "table.toml", "--routers", "bias"];
    place.run(&compare).failed(2, &["data set table: bias is for rows of two ids"]);
}

#[test]
fn an_empty_one_has_all_defaults() {
    let place = Place::new();
    place.write("empty.toml", "");
    let sizes = ["train.epochs=1", "run.seeds=1", "dataset.train_rows=100", "dataset.val_rows=20"];
    let sizes = sizes.iter().flat_map(|key| ["--set", key]).collect::<Vec<_>>();
    let compare = ["compare", "--config", "empty.toml", "--progress", "none", "--format", "json"];
    let config = place.run(&[&compare[..], &sizes].concat()).succeeded().json()["config"].clone();
    assert_eq!(config["dataset"]["name"], "multi-optdigits");
    assert_eq!(config["model"]["experts"], 16);
}

/// The error does not repeat a line of a megabyte.
#[test]
fn long_lines_are_not_repeated() {
    let place = Place::new();
    let long = "x".repeat(1 << 20);
    for (text, says) in [
        (format!("a={}", "[".repeat(100_000)), "line 1, column 83\ncannot recurse further"),
        (format!("[model]\nk = \"{long}\"\n"), "line 2, column 5\ninvalid type: string \"xxx"),
        (format!("{long} = 1\n"), "line 1, column 1\nunknown field `xxx"),
    ] {
        place.write("long.toml", text);
        let ran = place.run(&["compare", "--config", "long.toml"]).failed(2, &[says]);
        assert!(ran.stderr.len() < 3000, "{}", ran.stderr.len());
    }
    let set = format!("train.epochs={long}");
    let mut all = TINY.to_vec();
    all.extend(["--set", &set[..100_000]]);
    assert!(place.run(&all).failed(2, &["--set train.epochs=xxx"]).stderr.len() < 3000);
}
