//! The trials of a journal as these tests read it, without the code that they test.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

/// A trial.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// 0 running, 1 complete, 2 pruned, 3 failed, 4 waiting.
    pub state: u64,
    /// Internal values.
    pub params: BTreeMap<String, f64>,
    pub value: Option<f64>,
    pub steps: BTreeMap<u64, f64>,
    pub attrs: Map<String, Value>,
    /// The workers whose lines began it.
    pub starts: Vec<String>,
}

impl Trial {
    /// Its parameters and its seed.
    pub fn identity(&self) -> String {
        format!("{:?} {}", self.params, self.attrs["moe.trial_seed"])
    }
}

/// The trials of a journal with one study, by number.
pub fn trials(path: &Path) -> Vec<Trial> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut trials: Vec<Trial> = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let worker = line["worker_id"].as_str().unwrap().to_owned();
        if line["op_code"] == 4 {
            let mut trial =
                Trial { state: line["state"].as_u64().unwrap_or(0), ..Trial::default() };
            for (name, value) in line["params"].as_object().into_iter().flatten() {
                trial.params.insert(name.clone(), value.as_f64().unwrap());
            }
            trial.attrs = line["user_attrs"].as_object().cloned().unwrap_or_default();
            trial.starts.extend((trial.state == 0).then_some(worker));
            trials.push(trial);
            continue;
        }
        let Some(id) = line["trial_id"].as_u64() else { continue };
        let trial = &mut trials[id as usize];
        assert!(matches!(trial.state, 0 | 4), "a line of a trial that has ended: {line}");
        match line["op_code"].as_u64().unwrap() {
            5 => {
                let name = line["param_name"].as_str().unwrap().to_owned();
                trial.params.insert(name, line["param_value_internal"].as_f64().unwrap());
            }
            6 => {
                trial.state = line["state"].as_u64().unwrap();
                trial.starts.extend((trial.state == 0).then_some(worker));
                trial.value = line["values"][0].as_f64();
            }
            7 => {
                let value = line["intermediate_value"].as_f64().unwrap();
                trial.steps.insert(line["step"].as_u64().unwrap(), value);
            }
            8 => trial.attrs.extend(line["user_attr"].as_object().unwrap().clone()),
            other => panic!("operation {other}"),
        }
    }
    trials
}

/// The identities and losses of the complete trials, sorted.
pub fn complete(trials: &[Trial]) -> Vec<String> {
    let complete = trials.iter().filter(|trial| trial.state == 1);
    let mut complete: Vec<String> =
        complete.map(|trial| format!("{} {:?}", trial.identity(), trial.value)).collect();
    complete.sort();
    complete
}
