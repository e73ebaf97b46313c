//! Wrong arguments: a sentence that says what, where and what is allowed, status 2, no results on stdout, no directory, and
//! never a panic. Wrong keys, configurations, runs and rows have suites of their own (`wrong_keys.rs`, `wrong_configurations.rs`, `wrong_runs.rs`,
//! `wrong_rows.rs`).

mod common;

use common::{Case, Place, SMOKE, TINY, check_refused};
use moe_core::Real;

#[test]
fn names_that_are_not_known() {
    let place = Place::new();
    check_refused(
        &place,
        &[],
        &[
            ("compar", 2, &["'compar'", "'compare'"]),
            (
                "compare --preset smoek",
                2,
                &["unknown preset \"smoek\"", "did you mean \"smoke\"?", "quick"],
            ),
            ("compare --formt json", 2, &["'--formt'", "'--format'"]),
            ("compare --format jsn", 2, &["'jsn'", "--format", "table, json, md"]),
            ("compare --progress loud", 2, &["'loud'", "auto, plain, none"]),
            (
                "compare --preset smoke --config x.toml",
                2,
                &["--preset", "--config", "cannot be used"],
            ),
            ("compare --epochs many", 2, &["'many'", "--epochs"]),
            ("compare --epochs -1", 2, &["--epochs -1: invalid value: integer `-1`", "0 or more"]),
            ("compare --seeds -1", 2, &["--seeds -1: invalid value: integer `-1`"]),
            ("compare --threads -1", 2, &["--threads -1 is not allowed; it must be from 1 to"]),
            ("predict run --input x.csv --batch-rows -1", 2, &["'-1'", "--batch-rows"]),
            ("data fetch usps --max-bytes -1", 2, &["'-1'", "--max-bytes"]),
            ("compare --resume", 2, &["--out"]),
            ("train --resume", 2, &["--out"]),
            ("train --routers top-k", 2, &["'--routers'", "'--router'"]),
        ],
    );
    check_refused(
        &place,
        &SMOKE,
        &[
            (
                "--routers top-k,sofmax",
                2,
                &["unknown router \"sofmax\"", "did you mean \"softmax\"?", "softmax, top-k"],
            ),
            ("--routers top-k,", 2, &["unknown router \"\"", "softmax, top-k"]),
            ("--routers tok-k", 2, &["unknown router \"tok-k\", did you mean \"top-k\"?"]),
            ("--routers tok-k+", 2, &["unknown router \"tok-k+\", did you mean \"top-k+\"?"]),
            ("--routers top-k++", 2, &["unknown router \"top-k++\", did you mean \"top-k+\"?"]),
            ("--routers shared-bottom+", 2, &["did you mean \"shared-bottom\"?"]),
            ("--routers=", 2, &["unknown router \"\""]),
            ("--routers top-k,top-k", 2, &["run.routers names \"top-k\" twice"]),
            (
                "--dataset optdigit",
                2,
                &["unknown data set \"optdigit\"", "did you mean \"optdigits\"?", "restaurant"],
            ),
            (
                "--dataset mnist",
                1,
                &["train-images-idx3-ubyte.gz, train-labels-idx1", "moe data fetch mnist"],
            ),
            ("--set dataset.name=mnits", 2, &["unknown data set \"mnits\"", "known are optdigits"]),
            (
                "--set run.baseline=topk",
                2,
                &["run.baseline: unknown router \"topk\"", "did you mean \"top-k\"?"],
            ),
            (
                "--set routers.topk.load-balance=1",
                2,
                &["unknown router \"topk\"", "did you mean \"top-k\"?"],
            ),
            (
                "--set routers.top-k.load-balnce=1",
                2,
                &[
                    "router top-k has no parameter \"load-balnce\"",
                    "did you mean \"load-balance\"?",
                ],
            ),
            (
                "--routers top-k --set routers.top-k.foo=1",
                2,
                &["router top-k has no parameter \"foo\"", "it has load-balance"],
            ),
            (
                "--set routers.softmax.temprature=1",
                2,
                &[
                    "router softmax has no parameter \"temprature\"",
                    "did you mean \"temperature\"?",
                ],
            ),
        ],
    );
}

#[test]
fn values_out_of_range() {
    let place = Place::new();
    check_refused(
        &place,
        &SMOKE,
        &[
            ("--epochs 0", 2, &["train.epochs = 0 is not allowed; it must be from 1 to"]),
            ("--seeds 0", 2, &["run.seeds = 0 is not allowed; it must be from 1 to"]),
            ("--seeds 99999999999", 2, &["run.seeds = 99999999999 is not allowed"]),
            ("--threads 0", 2, &["--threads 0 is not allowed; it must be from 1 to 1024"]),
            ("--threads 1025", 2, &["--threads 1025 is not allowed"]),
            (
                "--set train.batch_rows=0",
                2,
                &["train.batch_rows = 0 is not allowed; it must be from 1 to"],
            ),
            ("--set run.routers=[]", 2, &["number of run.routers = 0 is not allowed"]),
            (
                "--set model.k=0",
                2,
                &["router top-k: k = 0 is not allowed with 4 experts; k must be from 1 to 4"],
            ),
            (
                "--set model.k=5",
                2,
                &["router top-k: k = 5 is not allowed with 4 experts; k must be from 1 to 4"],
            ),
            ("--set model.experts=0", 2, &["model.experts = 0 is not allowed"]),
            ("--set model.experts=1000000000", 2, &["experts = 1000000000 is not allowed", "to 1"]),
            ("--set model.expert_width=1000000000", 2, &["expert_width = 1000000000 is not"]),
            ("--set train.batch_rows=1000000000000", 2, &["batch_rows = 1000000000000 is not"]),
            ("--set train.max_seconds=0", 2, &["max_seconds = 0.0 is not allowed", "positive"]),
            ("--set model.head_widths=[8,0]", 2, &["model.head_widths = 0 is not allowed"]),
            (
                "--set model.expert_hidden_widths=[0]",
                2,
                &["model.expert_hidden_widths = 0 is not allowed"],
            ),
            (
                "--set model.expert_dropout=1.0",
                2,
                &["model.expert_dropout = 1.0 is not allowed; it must be in [0, 1)"],
            ),
            (
                "--set train.learning_rate=0.0",
                2,
                &["train.learning_rate = 0.0 is not allowed; it must be positive"],
            ),
            (
                "--set model.expert_dropout=2",
                2,
                &["model.expert_dropout = 2.0 is not allowed; it must be in [0, 1)"],
            ),
            (
                "--set train.learning_rate=-1",
                2,
                &["train.learning_rate = -1.0 is not allowed; it must be positive and finite"],
            ),
            ("--set train.learning_rate=nan", 2, &["train.learning_rate = NaN is not allowed"]),
            (
                "--set train.beta2=-0.1",
                2,
                &["train.beta2 = -0.1 is not allowed; it must be in [0, 1)"],
            ),
            (
                "--set train.task_weights=[1]",
                2,
                &["train.task_weights has 1 numbers, but multi-optdigits has 2 tasks: left, right"],
            ),
            (
                "--set train.momentum=0.9",
                2,
                &["train.momentum does not apply to train.optimizer = \"adam\"; it is for sgd"],
            ),
            (
                "--set train.optimizer=sgd --set train.beta1=0.5",
                2,
                &["train.beta1 does not apply to train.optimizer = \"sgd\"; it is for adam and"],
            ),
            (
                "--set train.optimizer=sgd --set train.nesterov=true",
                2,
                &["train.nesterov = true needs a train.momentum above 0"],
            ),
            (
                "--set train.clip_norm=1 --set train.clip_value=1",
                2,
                &["train.clip_norm and train.clip_value cannot be used together"],
            ),
            ("--set train.clip_norm=0.0", 2, &["train.clip_norm = 0.0 is not allowed"]),
            (
                "--set train.schedule=cosin",
                2,
                &["unknown variant `cosin`", "`inverse-sqrt`", "did you mean \"cosine\"?"],
            ),
            ("--set train.task_weights=[1,2,3]", 2, &["train.task_weights has 3 numbers"]),
            ("--set train.task_weights=[1,-1]", 2, &["train.task_weights = -1.0 is not allowed"]),
            ("--set train.task_weights=[0,0]", 2, &["train.task_weights are all 0"]),
            (
                "--set run.first_seed=9223372036854775807",
                2,
                &["run.first_seed = 9223372036854775807 is not allowed; it must be at most"],
            ),
            (
                "--set routers.top-k.load-balance=-1",
                2,
                &["router top-k: load-balance = -1 is not allowed; it must be a number from 0 to"],
            ),
            (
                "--set routers.top-k.load-balance=much",
                2,
                &["load-balance = \"much\" is not allowed; it must be a number"],
            ),
            (
                "--set routers.top-k.load-balance=nan",
                2,
                &["router top-k: load-balance = NaN is not allowed"],
            ),
            (
                "--set dataset.train_rows=0",
                2,
                &["train_rows = 0 for the data set multi-optdigits; allowed: 1 to"],
            ),
            (
                "--set dataset.train_rows=1000000000000000",
                2,
                &["train_rows = 1000000000000000 for the data set multi-optdigits; allowed: 1 to"],
            ),
            (
                "--set dataset.val_rows=0",
                2,
                &["val_rows = 0 for the data set multi-optdigits; allowed: 1 to 1000000"],
            ),
            (
                "--routers comet --set routers.comet.gamma=0",
                2,
                &["router comet: gamma = 0 is not allowed; it must be a number from 0.000001"],
            ),
            (
                "--routers comet --set routers.comet.gama=1",
                2,
                &["router comet has no parameter \"gama\", did you mean \"gamma\"?"],
            ),
            (
                "--set dataset.width=9",
                2,
                &["`width` does not apply to the data set multi-optdigits; it takes", "train_rows"],
            ),
            (
                "--dataset restaurant --set dataset.test_file=x",
                2,
                &["`test_file` does not apply to the data set restaurant"],
            ),
            (
                "--set model.experts=16777216 --set model.expert_width=16777216",
                2,
                &["model would have 4.1e16 weights", "model.experts"],
            ),
            (
                "--set model.head_widths=[16777216,16777216]",
                2,
                &["model would have 5.6e14 weights", "head_widths"],
            ),
            (
                "--set model.experts=10 --set model.expert_hidden_widths=[16777216,16777216]",
                2,
                &["model would have 2.8e15 weights", "expert_hidden_widths"],
            ),
        ],
    );
}

#[test]
fn numbers_that_are_another_in_the_precision_of_the_build() {
    let place = Place::new();
    let cases: &[Case<'_>] = &[
        (
            "--set model.expert_dropout=0.9999999999",
            2,
            &["0.9999999999 is not allowed; it must be in [0, 1) in single"],
        ),
        ("--set train.beta1=0.9999999999", 2, &["train.beta1 = 0.9999999999 is not allowed"]),
        (
            "--set train.learning_rate=1e-60",
            2,
            &["train.learning_rate = 1e-60 is not allowed", "single precision"],
        ),
        ("--set train.epsilon=1e-60", 2, &["train.epsilon = 1e-60 is not allowed"]),
        (
            "--set train.learning_rate=1e39",
            2,
            &["train.learning_rate = 1e39 is not allowed; it must be positive and finite"],
        ),
        ("--set train.task_weights=[1e39,1]", 2, &["train.task_weights = 1e39 is not allowed"]),
    ];
    if size_of::<Real>() == 4 {
        check_refused(&place, &TINY, cases);
    } else {
        for (more, ..) in cases.iter().filter(|case| !case.0.contains("1e39")) {
            let args: Vec<&str> = TINY.into_iter().chain(more.split_whitespace()).collect();
            place.run(&args).succeeded();
        }
    }
}

/// Extremes that are allowed.
#[test]
fn heads_without_a_hidden_layer() {
    let place = Place::new();
    let ran = place.run(&[&TINY[..], &["--set", "model.head_widths=[]"]].concat());
    assert_eq!(ran.succeeded().json()["config"]["model"]["head_widths"], serde_json::json!([]));
}
