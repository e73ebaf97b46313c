use std::fmt::Write;

use moe_routers::Registry;

use crate::args::{Format, SharedArgs};
use crate::compare::{RunObserver, run_all};
use crate::output::note;
use crate::run_dir::{Checkpoints, RunDir, to_json};
use crate::table::{self, Style};
use crate::{Comparison, Config, Error, Experiment, RunResult};

/// `moe compare`
pub(crate) fn compare(
    config: &Config,
    registry: &Registry,
    args: &SharedArgs,
) -> Result<String, Error> {
    // What is wrong with the configuration is said before a directory is made.
    let experiment = Experiment::prepare(config, registry)?;
    let config = experiment.config();
    let dir = RunDir::create(args.out.as_deref(), &format!("compare-{}", config.dataset.name))?;
    dir.write_config(&config.to_toml())?;
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
    let (dir, state) = match args.out.as_deref().filter(|_| resume) {
        Some(path) => {
            let (dir, state) = RunDir::resume(path, &config.to_toml())?;
            (dir, Some(state))
        }
        None => {
            let name = format!("train-{}-{router}", config.dataset.name);
            let dir = RunDir::create(args.out.as_deref(), &name)?;
            dir.write_config(&config.to_toml())?;
            (dir, None)
        }
    };
    let mut progress = args.progress.start();
    progress.begin(1, experiment.steps_per_epoch() * config.train.epochs as u64);
    progress.begin_run(router, seed);
    let mut observer = Checkpoints { dir: &dir, shown: RunObserver(&mut *progress) };
    let (mut model, result) = experiment.run(router, seed, state, &mut observer)?;
    progress.end_run(&result);
    progress.end();
    dir.finish(&mut model, experiment.description(router), seed)?;
    dir.write_json("result.json", &result)?;
    note(format_args!("the run is in {}", dir.path().display()));
    let style = match args.format {
        Format::Json => return Ok(to_json(&result) + "\n"),
        Format::Table => Style::Text,
        Format::Md => Style::Markdown,
    };
    let comparison = Comparison::new(config, experiment.data(), vec![result]);
    Ok(table::comparison(&comparison, style))
}

/// `moe routers`
pub(crate) fn routers(registry: &Registry) -> String {
    let mut text = String::new();
    for entry in registry.entries() {
        let info = entry.info();
        let _ = writeln!(text, "{}\n    {}\n    {}", info.id, info.summary, info.citation);
        for spec in &info.parameters {
            let _ = writeln!(
                text,
                "    {} = {}    {} ({})",
                spec.name, spec.default, spec.doc, spec.range
            );
        }
    }
    text
}

/// `moe data list`
pub(crate) fn data_list() -> String {
    let mut text = String::new();
    for entry in moe_data::catalog() {
        let origin = match entry.origin {
            moe_data::Origin::Embedded => "embedded".into(),
            moe_data::Origin::Generated => "generated".into(),
            moe_data::Origin::Files { folder, files, .. } => format!("folder {folder}: {files}"),
            _ => String::new(),
        };
        let _ = writeln!(text, "{}\n    {}\n    {origin}", entry.id, entry.summary);
        let _ = writeln!(text, "    options: {}\n    {}", entry.options().join(", "), entry.terms);
    }
    text
}
