//! Keys of the configuration on the command line: what is not known, of a wrong type, contradictory or without effect.

mod common;

use common::{Place, SMOKE, TINY, check_refused};

#[test]
fn keys_and_values_of_set() {
    let place = Place::new();
    check_refused(
        &place,
        &SMOKE,
        &[
            (
                "--set train.epocs=1",
                2,
                &[
                    "--set train.epocs=1: unknown field `epocs`",
                    "did you mean \"epochs\"?",
                    "`patience`",
                ],
            ),
            ("--set trian.epochs=1", 2, &["unknown field `trian`", "did you mean \"train\"?"]),
            (
                "--set dataset.trainrows=1",
                2,
                &["unknown field `trainrows`", "did you mean \"train_rows\"?", "`name`"],
            ),
            ("--set epochs=1", 2, &["unknown field `epochs`", "`train`"]),
            ("--set train..epochs=1", 2, &["--set train..epochs=1", "unknown field ``"]),
            ("--set =", 2, &["unknown field ``"]),
            ("--set train.epochs", 2, &["--set train.epochs: write --set KEY=VALUE"]),
            ("--set train.epochs.most=1", 2, &["\"epochs\" is a value, not a table of keys"]),
            (
                "--set train=1",
                2,
                &["--set train=1: invalid type: integer `1`, expected a table of keys"],
            ),
            (
                "--set train.learning_rate=fast",
                2,
                &[
                    "--set train.learning_rate=fast: invalid type: string \"fast\", expected a number",
                ],
            ),
            (
                "--set train.epochs=many",
                2,
                &["string \"many\", expected a whole number, 0 or more"],
            ),
            ("--set train.epochs=1.5", 2, &["floating point `1.5`, expected a whole number"]),
            ("--set train.epochs=-1", 2, &["integer `-1`, expected a whole number, 0 or more"]),
            ("--set train.beta1=[]", 2, &["--set train.beta1=[]: ", "expected a number"]),
            ("--set run.routers=top-k", 2, &["string \"top-k\", expected a list in brackets"]),
            (
                "--set routers.top-k.load-balance=[1]",
                2,
                &["expected true or false, a number or a word"],
            ),
            ("--set dataset.seed=1e3", 2, &["expected a whole number, 0 or more"]),
        ],
    );
}

#[test]
fn a_flag_and_a_key_must_not_contradict_each_other() {
    let place = Place::new();
    check_refused(
        &place,
        &[],
        &[
            (
                "compare --seeds 0 --set run.seeds=1",
                2,
                &["--seeds 0 and --set run.seeds=1 say different things about run.seeds"],
            ),
            (
                "compare --seeds 99999999999 --set run.seeds=1",
                2,
                &["--seeds 99999999999 and --set run.seeds=1 say different things"],
            ),
            (
                "train --epochs 3 --set train.epochs=2",
                2,
                &["--epochs 3 and --set train.epochs=2 say different things about train.epochs"],
            ),
            (
                "compare --dataset restaurant --set dataset.name=optdigits",
                2,
                &["--dataset restaurant and --set dataset.name=optdigits say different things"],
            ),
            (
                "data stats restaurant --set dataset.name=optdigits",
                2,
                &["restaurant and --set dataset.name=optdigits say different things"],
            ),
            (
                "compare --data-dir a --set dataset.data_dir=b",
                2,
                &["--data-dir a and --set dataset.data_dir=b say different things"],
            ),
            (
                "compare --routers top-k --set run.routers=['softmax']",
                2,
                &["--routers top-k and --set run.routers=['softmax'] say different things"],
            ),
            (
                "train --router top-k --set run={routers=['softmax']}",
                2,
                &["--router top-k and --set run={routers=['softmax']} say different things about"],
            ),
            (
                "compare --set model.k=1 --set model.k=2",
                2,
                &["--set model.k=1 and --set model.k=2 say different things about model.k"],
            ),
        ],
    );
    let same = ["--seeds", "1", "--set", "run.seeds=1", "--set", "run.seeds = 1"];
    let routers = ["--routers", "top-k, softmax", "--set", "run.routers=['top-k', 'softmax']"];
    let ran = place.run(&[&TINY[..], &same, &routers].concat()).succeeded().json();
    assert_eq!(ran["config"]["run"]["routers"], serde_json::json!(["top-k", "softmax"]));
}

#[test]
fn a_key_without_effect_is_refused() {
    let place = Place::new();
    let reads = "has no effect: moe data reads [dataset] only";
    let one = "has no effect: moe train trains one run";
    check_refused(
        &place,
        &[],
        &[
            ("data stats restaurant --set model.k=3", 2, &["--set model.k=3 ", reads]),
            ("data verify restaurant --set train={}", 2, &["--set train={} ", reads]),
            ("data stats restaurant --set model.kay=3", 2, &["unknown field `kay`"]),
            ("train --set run.seeds=3", 2, &["--set run.seeds=3 ", one]),
            ("train --set run.baseline=softmax", 2, &["--set run.baseline=softmax ", one]),
            (
                "train --set run.routers=['top-k','softmax']",
                2,
                &["has no effect: moe train trains one router; name it with --router"],
            ),
            (
                "compare --routers comet+ --set routers.comet.gamma=0.1",
                2,
                &["gamma=0.1 has no effect: comet is not among the routers that run: comet+"],
            ),
            (
                "train --router top-k --set routers.softmax.temperature=2",
                2,
                &["softmax is not among the routers that run: top-k"],
            ),
            (
                "compare --routers softmax,top-k --set run.baseline=comet",
                2,
                &["has no effect: comet is not among the routers that run: softmax, top-k"],
            ),
        ],
    );
    // Its own section, the others of a file, and a key in quotes.
    place.run(&["data", "stats", "restaurant", "--set", "dataset.seed=3"]).succeeded();
    place.write("all.toml", "[model]\nk = 3\n[routers.comet]\ngamma = 0.5\n[run]\nseeds = 9\n");
    place.run(&["data", "stats", "restaurant", "--config", "all.toml"]).succeeded();
    let quoted = ["--routers", "comet+", "--set", "routers.\"comet+\".gamma=0.125"];
    let ran = place.run(&[&TINY[..], &quoted].concat()).succeeded().json();
    assert_eq!(ran["config"]["routers"]["comet+"]["gamma"], 0.125);
}
