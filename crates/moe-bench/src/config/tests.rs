use moe_nn::{Clipping, Decay, OptimizerOptions, Rule, Schedule};

use crate::config::Config;
use crate::config::train::TrainConfig;

#[test]
fn values_out_of_range_of_all_sections_are_named() {
    for bad in [
        "model.experts=0",
        "model.expert_dropout=1.0",
        "model.head_widths=[3, 0]",
        "model.expert_hidden_widths=[0]",
        "train.learning_rate=0.0",
        "train.learning_rate=nan",
        "train.batch_rows=0",
        "train.task_weights=[-1.0]",
        "train.task_weights=[0.0, 0.0]",
        "run.seeds=0",
        "run.routers=[]",
        "run.first_seed=9223372036854775807",
        "train.learning_rate=1e-400",
        "train.epsilon=inf",
        "train.max_seconds=0.0",
        "train.micro_batch_rows=0",
        "train.max_seconds=nan",
        "train.beta1=0.99999999999999999999",
    ] {
        let error = refused(&[bad]);
        let key = bad.split('=').next().unwrap();
        assert!(error.contains(key), "{bad}: {error}");
    }
}

fn with(assignments: &[&str]) -> Config {
    let default = Config::default();
    assignments.iter().fold(default, |config, assignment| config.with(assignment).unwrap())
}

fn refused(assignments: &[&str]) -> String {
    with(assignments).validate().unwrap_err().to_string()
}

#[test]
fn a_key_of_another_optimiser_names_both() {
    let values =
        ["beta1=0.5", "beta2=0.5", "epsilon=1e-3", "lazy_embeddings=true", "weight_decay=0.1"];
    let values = values.into_iter().chain(["momentum=0.5", "nesterov=false"]);
    let foreign = |optimizer: &str, key: &str| match optimizer {
        "adam" => ["weight_decay", "momentum", "nesterov"].contains(&key),
        "adamw" => ["lazy_embeddings", "momentum", "nesterov"].contains(&key),
        _ => ["beta1", "beta2", "epsilon", "lazy_embeddings"].contains(&key),
    };
    for assignment in values {
        let key = assignment.split('=').next().unwrap();
        for optimizer in ["adam", "adamw", "sgd"] {
            let chosen = format!("train.optimizer={optimizer}");
            let config = with(&[&chosen, &format!("train.{assignment}")]);
            let result = config.validate().map_err(|error| error.to_string());
            if foreign(optimizer, key) {
                let error = result.unwrap_err();
                let both = format!(
                    "train.{key} does not apply to train.optimizer = \"{optimizer}\"; it is for "
                );
                assert!(error.starts_with(&both), "{error}");
            } else {
                result.unwrap();
            }
        }
    }
}

#[test]
fn values_out_of_range_are_named() {
    for (optimizer, bad) in [
        ("adamw", "train.weight_decay=-0.1"),
        ("sgd", "train.weight_decay=inf"),
        ("sgd", "train.momentum=1.0"),
        ("sgd", "train.momentum=nan"),
        ("adam", "train.clip_norm=0.0"),
        ("adam", "train.clip_value=-1.0"),
        ("adamw", "train.beta1=1.0"),
        ("sgd", "train.learning_rate=0.0"),
    ] {
        let error = refused(&[&format!("train.optimizer={optimizer}"), bad]);
        let key = bad.split('=').next().unwrap();
        assert!(error.starts_with(key) && error.contains("is not allowed; it must be"));
    }
    let nesterov = refused(&["train.optimizer=sgd", "train.nesterov=true"]);
    assert_eq!(nesterov, "train.nesterov = true needs a train.momentum above 0");
    let both = refused(&["train.clip_norm=1.0", "train.clip_value=1.0"]);
    assert!(both.starts_with("train.clip_norm and train.clip_value cannot be used together"));
    let unknown = Config::default().with("train.optimizer=adagrad").unwrap_err().to_string();
    assert!(unknown.contains("`adam`, `adamw`, `sgd`"), "{unknown}");
}

#[test]
fn keys_become_options() {
    let config = with(&[
        "train.optimizer=sgd",
        "train.momentum=0.5",
        "train.nesterov=true",
        "train.schedule=cosine",
        "train.warmup_steps=7",
        "train.epochs=3",
        "train.clip_value=2.0",
        "train.learning_rate=0.25",
    ]);
    let options = config.train.optimizer_options(11);
    let rule = Rule::Sgd { momentum: 0.5, nesterov: true, weight_decay: 0.0 };
    let decay = Decay::Cosine { total_steps: 33, final_factor: 0.0 };
    let schedule = Schedule { warmup_steps: 7, decay };
    let clipping = Clipping::Value(2.0);
    let groups = Vec::new();
    let expected = OptimizerOptions { rule, learning_rate: 0.25, schedule, clipping, groups };
    assert_eq!(options, expected);
    assert_eq!(TrainConfig::default().optimizer_options(11), OptimizerOptions::default());
}

#[test]
fn a_complete_configuration_has_the_keys_of_its_optimiser() {
    for optimizer in ["adam", "adamw", "sgd"] {
        let mut config = with(&[&format!("train.optimizer={optimizer}")]);
        let options = config.train.optimizer_options(1);
        config.train = config.train.completed();
        config.validate().unwrap();
        assert_eq!(config.train.optimizer_options(1), options);
        let text = config.to_toml();
        assert_eq!(text.contains("beta1 = 0.9"), optimizer != "sgd", "{text}");
        assert_eq!(text.contains("weight_decay"), optimizer != "adam", "{text}");
        assert_eq!(text.contains("nesterov = false"), optimizer == "sgd", "{text}");
    }
}
