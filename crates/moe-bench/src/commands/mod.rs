pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod inspect;
pub(crate) mod predict;

use std::fmt::Write;
use std::path::Path;

use moe_nn::{Baseline, RunDir, RunDirError, RunInfo, TrainState};
use moe_routers::{Registry, RouterInfo};

use crate::args::{Format, SharedArgs};
use crate::config::Config;
use crate::config::text::without_removed_keys;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::results::{Comparison, RunResult};
use crate::experiment::run_all::{RunObserver, run_all};
use crate::output::note;
use crate::report::card;
use crate::report::out_dir::{OutDir, to_json};
use crate::report::table;
use crate::report::table::Style;

/// `moe compare`
pub(crate) fn compare(
    config: &Config,
    registry: &Registry,
    args: &SharedArgs,
) -> Result<String, Error> {
    // What is wrong with the configuration is said before a directory is made.
    let experiment = Experiment::prepare(config, registry)?;
    let config = experiment.config();
    let dir = OutDir::create(args.out.as_deref(), &format!("compare-{}", config.dataset.name))?;
    dir.write("config.resolved.toml", &config.to_toml())?;
    // Finished runs are on disk, whatever becomes of the later ones.
    let mut keep = |runs: &[RunResult]| dir.write_lines("runs.jsonl", runs);
    let comparison = run_all(&experiment, &mut *args.progress.start(), &mut keep)?;
    dir.write_json("results.json", &comparison)?;
    dir.write("report.md", &report(&comparison))?;
    note(format_args!("results are in {}", dir.path().display()));
    Ok(match args.format {
        Format::Table => table::comparison(&comparison, Style::Text),
        Format::Md => table::comparison(&comparison, Style::Markdown),
        Format::Json => to_json(&comparison) + "\n",
    })
}

fn report(comparison: &Comparison) -> String {
    format!(
        "# {} compared on {}\n\n{}\n## Configuration\n\n```toml\n{}```\n",
        comparison.config.run.routers.join(", "),
        comparison.dataset.name,
        table::comparison(comparison, Style::Markdown),
        comparison.config.to_toml()
    )
}

/// `moe train`
pub(crate) fn train(
    config: &Config,
    registry: &Registry,
    args: &SharedArgs,
    resume: bool,
) -> Result<String, Error> {
    let experiment = Experiment::prepare(config, registry)?;
    let config = experiment.config();
    let (router, seed) = (&config.run.routers[0], config.run.first_seed);
    let (model, start) = experiment.start(router, seed)?;
    let description = experiment.description(router)?;
    let info = RunInfo {
        config: Some(config.to_toml()),
        features: experiment.data().schema().map(to_json),
        model: serde_json::to_value(&description).expect("text keys"),
        fold: description.fold(registry)?,
        seed,
    };
    let (mut dir, state) = match args.out.as_deref().filter(|_| resume) {
        Some(path) => continued(path, info, start)?,
        None => {
            let name = format!("train-{}-{router}", config.dataset.name);
            let out = OutDir::create(args.out.as_deref(), &name)?;
            let dir = RunDir::create(out.path(), info, &start)?;
            (dir, start)
        }
    };
    let mut progress = args.progress.start();
    progress.begin(1, experiment.steps_per_epoch() * config.train.epochs as u64);
    progress.begin_run(router, seed);
    let mut observer = (&mut dir, RunObserver(&mut *progress));
    let result = experiment.run(router, seed, model, state, &mut observer)?;
    progress.end_run(&result);
    progress.end();
    dir.set_card(&card::card(&experiment, &result)?)?;
    dir.finish()?;
    dir.set_result(&(to_json(&result) + "\n"))?;
    note(format_args!("the run is in {}", dir.path().display()));
    let style = match args.format {
        Format::Json => return Ok(to_json(&result) + "\n"),
        Format::Table => Style::Text,
        Format::Md => Style::Markdown,
    };
    let comparison = Comparison::new(config, experiment.data(), vec![result]);
    Ok(table::comparison(&comparison, style))
}

/// The run in `path` and where it was; from the start if it was stopped before anything was kept.
fn continued(path: &Path, info: RunInfo, start: TrainState) -> Result<(RunDir, TrainState), Error> {
    if path.is_dir() && !RunDir::is_run(path) {
        match RunDir::create(path, info, &start) {
            Ok(dir) => return Ok((dir, start)),
            // It holds something else than the beginnings of a run: what `open` says of it is the better sentence.
            Err(RunDirError::NotEmpty { .. }) => return Ok(RunDir::open(path)?),
            Err(error) => return Err(error.into()),
        }
    }
    let (dir, state) = RunDir::open(path)?;
    let found = without_removed_keys(&dir.config()?.unwrap_or_default());
    let given = info.config.unwrap_or_default();
    if found != given {
        let mut lines = found.lines().zip(given.lines());
        let (old, new) = lines.find(|(old, new)| old != new).unwrap_or_default();
        let problem = format!(
            "was begun with another configuration, which differs first in `{old}` where `{new}` is given; resume with \
             the same one, or start anew in another directory"
        );
        return Err(Error::OutDir { path: path.into(), problem });
    }
    Ok((dir, state))
}

/// `moe routers`
pub(crate) fn routers(registry: &Registry) -> String {
    let mut text: String = registry.entries().iter().map(|entry| described(entry.info())).collect();
    text += "\nBaselines without a mixture, to be named like routers:\n";
    text.extend(Baseline::ALL.map(|baseline| described(&baseline.info())));
    text
}

/// Id, what it is, where it comes from and its parameters.
fn described(info: &RouterInfo) -> String {
    let mut text = format!("{}\n    {}\n    {}\n", info.id, info.summary, info.citation);
    for spec in &info.parameters {
        let _ =
            writeln!(text, "    {} = {}    {} ({})", spec.name, spec.default, spec.doc, spec.range);
    }
    text
}
