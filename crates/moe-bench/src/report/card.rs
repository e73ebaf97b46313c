//! The model card of a run, `model.md`: what someone who finds the model needs to know.
//!
//! It holds only what follows from the run, nothing of the machine or the day, so a resumed run has the same card.

use std::path::PathBuf;

use moe_core::batch::BatchSource;
use moe_core::{Real, kernel};
use moe_data::{Entry, Origin};
use moe_routers::RouterInfo;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::RunResult;
use crate::report::document::{Block, one_line};
use crate::report::evaluation::{alarms, gates, metrics};
use crate::report::format::markdown;

/// How a program loads the model and predicts with it, given a registry that has it.
const LOAD: &str = "let predictor = Predictor::load(run, &models)?;
let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
predictor.predict(&inputs, &keys, &mut out, &mut scratch)?;
";

/// The card of the run with this result.
pub(crate) fn card(experiment: &Experiment<'_>, result: &RunResult) -> Result<String, Error> {
    let config = &experiment.config;
    let info = experiment.models.info(&result.router)?;
    let entry = moe_data::find(&config.dataset.name)?;
    let paragraph = |text: &str| Block::Paragraph(text.into());
    let heading = |text: &str| Block::Heading(2, text.into());
    let mut blocks = vec![
        Block::Heading(1, format!("{} on {}", result.router, config.dataset.name)),
        heading("Data"),
        Block::List(data(experiment, entry)),
        heading("Model"),
        Block::List(model(experiment, result, info)),
        heading("Test split"),
        Block::Paragraph(format!("Loss {:.4}.", result.test.loss)),
        metrics(&result.test),
        paragraph(
            "The intervals are those of this one model, with the rows of the test split taken as independent: the \
             normal distribution for means, Wilson's for accuracies, Hanley and McNeil's for areas under the ROC \
             curve. They are too narrow where rows share a user or an item, and do not cover other seeds.",
        ),
        heading("Routing"),
    ];
    routing(&mut blocks, result);
    let precision = if size_of::<Real>() == 8 { "double" } else { "single" };
    blocks.extend([
        heading("Versions"),
        Block::List(vec![
            format!("moe {}", env!("CARGO_PKG_VERSION")),
            format!("{precision} precision"),
            format!(
                "instruction set: {}; another one may change the last bits",
                kernel::instruction_set()
            ),
        ]),
        heading("How to load it"),
        paragraph(
            "With `moe-nn`, where `run` is this directory, `models` has the router or model, and `inputs` and `keys` are \
             those of some rows:",
        ),
        Block::Code("rust", LOAD.into()),
        paragraph(
            "`out` then has logits and values (`raw`), or probabilities (`probabilities`). The weights are in \
             safetensors files, which PyTorch reads too; `docs/weights.md` of the sources explains their names.",
        ),
        heading("Configuration"),
        paragraph("Directories are left out; `config.resolved.toml` has them."),
        Block::Code("toml", without_directories(config).to_toml()),
    ]);
    Ok(markdown::text(&blocks))
}

fn data(experiment: &Experiment<'_>, entry: &Entry) -> Vec<String> {
    let data = &experiment.data;
    let [train, val, test] = [&data.train, &data.val, &data.test].map(|split| split.rows());
    let seed = experiment.config.dataset.options.seed;
    let mut inputs = Vec::new();
    for column in &data.input.columns {
        inputs.push(format!("ids {} ({} known)", one_line(&column.name), column.vocabulary));
    }
    if !data.input.dense.is_empty() {
        inputs.push(format!("{} numbers", data.input.dense_width()));
    }
    inputs.extend(data.input.tokens.map(|tokens| format!("up to {} tokens", tokens.longest)));
    let tasks = data.tasks.iter();
    let tasks = tasks.map(|task| format!("{} ({})", one_line(&task.name), task.kind.summary()));
    let origin = match entry.origin {
        Origin::Embedded => "comes with the program".into(),
        Origin::Generated => "computed".into(),
        Origin::Files { files, get, .. } => format!("{files}, from {get}"),
        _ => "unknown".into(),
    };
    let mut lines = vec![
        format!("{}: {}", entry.id, entry.summary),
        format!("{train} training, {val} validation, {test} test rows; split with seed {seed}"),
        format!("inputs of a row: {}", inputs.join(", ")),
        format!("tasks: {}", tasks.collect::<Vec<_>>().join(", ")),
        format!("origin: {origin}"),
    ];
    for file in entry.downloads() {
        let sum =
            file.sha256.map_or("changes from time to time".into(), |sum| format!("SHA-256 {sum}"));
        lines.push(format!("published at <{}> ({sum})", file.url));
    }
    lines.push(format!("licence or terms: {}", entry.terms));
    lines
}

fn model(experiment: &Experiment<'_>, result: &RunResult, info: &RouterInfo) -> Vec<String> {
    let RunResult { router, seed, num_experts, k, parameters, .. } = result;
    let RunResult { epochs, best_epoch, steps, val_loss, routing, .. } = result;
    let mut lines = vec![
        format!("{router}: {}", info.summary),
        format!("source: {}", info.citation),
        format!("{parameters} parameters"),
    ];
    if !routing.gates.is_empty() {
        lines.push(format!("{num_experts} experts, {} gates, K = {k}", routing.gates.len()));
    }
    lines.push(format!(
        "seed {seed}, {epochs} epochs, {steps} steps; the weights of epoch {best_epoch}, which had the lowest \
         validation loss, {val_loss:.4}"
    ));
    let weights = experiment.task_weights().into_iter().zip(&experiment.data.tasks);
    let loss = weights.map(|(weight, task)| format!("{weight} x {}", one_line(&task.name)));
    lines.push(format!("loss: {}", loss.collect::<Vec<_>>().join(" + ")));
    lines
}

fn routing(blocks: &mut Vec<Block>, result: &RunResult) {
    let routing = &result.routing;
    if routing.gates.is_empty() {
        blocks.push(Block::Paragraph("The model has no gates.".into()));
        return;
    }
    let train = routing.experts_per_row_train;
    let mut load = Vec::new();
    for gate in &routing.gates {
        let shares = gate.load_share.iter().map(|share| format!("{:.1}", 100.0 * share));
        load.push(format!("{}: {}", gate.label(), shares.collect::<Vec<_>>().join(" ")));
    }
    blocks.extend([
        Block::Paragraph(format!(
            "{train:.2} experts per row and gate in training; on the test split:"
        )),
        gates(routing),
        Block::Paragraph("Share of each expert in the (row, expert) pairs, in percent:".into()),
        Block::List(load),
    ]);
    if routing.alarms.is_empty() {
        blocks.push(Block::Paragraph("Alarms: none.".into()));
    } else {
        blocks.extend([Block::Paragraph("Alarms:".into()), Block::List(alarms(routing))]);
    }
}

/// The configuration without directories of this machine; only the names of files remain.
fn without_directories(config: &Config) -> Config {
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
