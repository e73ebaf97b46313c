//! The model card of a run, `model.md`: what somebody who finds the model has to know.
//!
//! It holds what the run itself has found, nothing of the machine or the day: an interrupted run ends with the same card.

use std::fmt::Write;
use std::path::PathBuf;

use moe_core::batch::{BatchSource, InputSpec, TaskKind};
use moe_core::{Real, kernel};
use moe_data::{Entry, Origin};
use moe_nn::intervals::Interval;
use moe_routers::RouterInfo;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::RunResult;

/// How a program loads the model and predicts with it, given a registry that has its router.
const LOAD: &str = "let predictor = Predictor::load(run, &registry)?;
let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
predictor.predict(&inputs, &keys, &mut out, &mut scratch)?;
";

/// The card of the run that gave `result`.
pub(crate) fn card(experiment: &Experiment<'_>, result: &RunResult) -> Result<String, Error> {
    let config = experiment.config();
    let info = experiment.info(&result.router)?;
    let entry = moe_data::find(&config.dataset.name)?;
    let mut text = format!("# {} on {}\n", result.router, config.dataset.name);
    data(&mut text, experiment, entry);
    model(&mut text, experiment, result, &info);
    metrics(&mut text, result);
    routing(&mut text, result);
    let _ = write!(
        text,
        "\n## Versions\n\n- moe {}\n- {} precision\n- instruction set: {}; another one may change the last bits\n",
        env!("CARGO_PKG_VERSION"),
        if size_of::<Real>() == 8 { "double" } else { "single" },
        kernel::instruction_set(),
    );
    let _ = write!(
        text,
        "\n## How to load it\n\nWith `moe-nn`, from this directory as `run`, a registry that has the router, and the \
         inputs and keys of some rows:\n\n```rust\n{LOAD}```\n\n`out` then has logits and values (`raw`), or \
         probabilities (`probabilities`). The weights are in safetensors files, which PyTorch \
         reads too; `docs/weights.md` of the sources says what their names mean.\n"
    );
    let _ = write!(
        text,
        "\n## Configuration\n\nFolders are left out; `config.resolved.toml` has them.\n\n```toml\n{}```\n",
        without_folders(config).to_toml()
    );
    Ok(text)
}

fn data(text: &mut String, experiment: &Experiment<'_>, entry: &Entry) {
    let data = experiment.data();
    let [train, val, test] = data.splits().map(|(_, split)| split.rows());
    let _ = write!(
        text,
        "\n## Data\n\n- {}: {}\n- {train} training, {val} validation, {test} test rows; split with seed {}\n",
        entry.id,
        entry.summary,
        experiment.config().dataset.options.seed
    );
    let columns = data.input.id_columns().iter();
    let mut inputs: Vec<String> =
        columns.map(|c| format!("ids {} ({} known)", plain(&c.name), c.vocabulary)).collect();
    if !matches!(data.input, InputSpec::Ids { .. }) {
        inputs.push(format!("{} numbers", data.input.dense_width()));
    }
    let _ = writeln!(text, "- a row has: {}", inputs.join(", "));
    let tasks = data.tasks.iter().map(|task| match task.kind {
        TaskKind::Multiclass { classes } => {
            format!("{} (multiclass, {classes} classes)", plain(&task.name))
        }
        kind => format!("{} ({})", plain(&task.name), kind.name()),
    });
    let _ = writeln!(text, "- tasks: {}", tasks.collect::<Vec<_>>().join(", "));
    let origin = match entry.origin {
        Origin::Embedded => "comes with the program".into(),
        Origin::Generated => "computed".into(),
        Origin::Files { files, get, .. } => format!("{files}, from {get}"),
        _ => "not known".into(),
    };
    let _ = writeln!(text, "- origin: {origin}");
    for file in entry.downloads() {
        let sum =
            file.sha256.map_or("changes from time to time".into(), |s| format!("SHA-256 {s}"));
        let _ = writeln!(text, "- published at <{}> ({sum})", file.url);
    }
    let _ = writeln!(text, "- licence or terms: {}", entry.terms);
}

fn model(text: &mut String, experiment: &Experiment<'_>, result: &RunResult, info: &RouterInfo) {
    let RunResult { router, seed, num_experts, k, parameters, .. } = result;
    let RunResult { epochs, best_epoch, steps, val_loss, routing, .. } = result;
    let _ = write!(
        text,
        "\n## Model\n\n- {router}: {}\n- source: {}\n- {parameters} learnable numbers\n",
        info.summary, info.citation
    );
    if !routing.gates.is_empty() {
        let gates = routing.gates.len();
        let _ = writeln!(text, "- {num_experts} experts, {gates} gates, K = {k}");
    }
    let weights = experiment.task_weights().into_iter().zip(&experiment.data().tasks);
    let loss = weights.map(|(weight, task)| format!("{weight} x {}", plain(&task.name)));
    let _ = write!(
        text,
        "- seed {seed}, {epochs} epochs, {steps} steps; the weights of epoch {best_epoch}, whose validation loss \
         {val_loss:.4} was the lowest\n- loss: {}\n",
        loss.collect::<Vec<_>>().join(" + ")
    );
}

fn metrics(text: &mut String, result: &RunResult) {
    let test = &result.test;
    let _ = write!(
        text,
        "\n## On the test part\n\nLoss {:.4}.\n\n| task | rows | metric | value | 95 % interval |\n\
         | --- | ---: | --- | ---: | --- |\n",
        test.loss
    );
    for (task, intervals) in &test.ci95 {
        let mut line = |name: &str, value: Option<f64>, interval: Option<Interval>| {
            let value = value.map_or("-".into(), |value| format!("{value:.4}"));
            let interval =
                interval.map_or("-".into(), |[low, high]| format!("{low:.4} to {high:.4}"));
            let (task, rows) = (plain(task), intervals.rows);
            let _ = writeln!(text, "| {task} | {rows} | {name} | {value} | {interval} |");
        };
        let metric = |name| test.metric(task, name);
        for (name, interval) in [
            ("loss", intervals.loss),
            ("auc", intervals.auc),
            ("accuracy", intervals.accuracy),
            ("mse", intervals.loss),
        ] {
            if test.tasks[task].get(name).is_some() {
                line(name, metric(name), interval);
            }
        }
    }
    *text += "\nThe intervals are of this one model, over the rows of the test part taken as independent: the normal \
              distribution for means, Wilson's for accuracies, Hanley and McNeil's for areas under the ROC curve. They \
              are too narrow where rows share a user or an item, and say nothing of other seeds.\n";
}

fn routing(text: &mut String, result: &RunResult) {
    let routing = &result.routing;
    *text += "\n## Routing\n\n";
    if routing.gates.is_empty() {
        *text += "The model has no gates.\n";
        return;
    }
    let _ = write!(
        text,
        "{:.2} experts per row and gate in training; on the test part:\n\n\
         | gate | experts per row | load entropy | dead experts | confidence | mutual information | dropped |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        routing.experts_per_row_train
    );
    for (i, gate) in routing.gates.iter().enumerate() {
        let _ = writeln!(
            text,
            "| {i} | {:.2} | {:.3} | {} | {:.3} | {:.3} | {:.3} |",
            gate.experts_per_row,
            gate.load_entropy,
            gate.dead_experts,
            gate.confidence,
            gate.mutual_information,
            gate.dropped
        );
    }
    *text += "\nEach expert's share of the (row, expert) pairs, in percent:\n\n";
    for (i, gate) in routing.gates.iter().enumerate() {
        let shares = gate.load_share.iter().map(|share| format!("{:.1}", 100.0 * share));
        let _ = writeln!(text, "- gate {i}: {}", shares.collect::<Vec<_>>().join(" "));
    }
    *text += "\nAlarms:";
    if routing.alarms.is_empty() {
        *text += " none.\n";
        return;
    }
    *text += "\n\n";
    for alarm in &routing.alarms {
        let _ = writeln!(text, "- gate {}: {}", alarm.gate, alarm.text);
    }
}

/// The configuration without places of this machine: of a file its name is kept.
fn without_folders(config: &Config) -> Config {
    let mut config = config.clone();
    let options = &mut config.dataset.options;
    (options.data_dir, options.cache_dir) = (None, None);
    let table = options.table.as_mut().map(|table| &mut table.file);
    let import = config.import.as_mut().map(|import| &mut import.file);
    let files = [options.test_file.as_mut(), options.ratings_file.as_mut(), table, import];
    for file in files.into_iter().flatten() {
        *file = file.file_name().map(PathBuf::from).unwrap_or_default();
    }
    config
}

/// A name of the data's own, on one line and in one cell.
fn plain(name: &str) -> String {
    name.replace(char::is_control, " ").replace('|', "\\|")
}
