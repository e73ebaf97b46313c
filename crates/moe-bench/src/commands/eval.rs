//! `moe eval`

use std::fmt::Write;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;
use moe_core::batch::BatchSource;
use moe_core::tape::Tape;
use moe_core::{Pass, kernel};
use moe_data::Split;
use moe_nn::{Model, ModelDescription, OverrideError, Overrides, Predictor, PredictorError};
use moe_routers::{Registry, Value};
use serde::Serialize;

use crate::args::Format;
use crate::error::Error;
use crate::experiment::kept_run::{About, KeptRun, RunArgs};
use crate::experiment::results::{RoutingResult, TestResult};
use crate::report::out_dir::to_json;
use crate::report::table::{Style, drawn};

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Also the same weights with other values of k or capacity, such as k=1,2,4
    #[arg(long, value_name = "KEY=VALUES")]
    sweep: Option<SweepRequest>,
}

/// What is tried instead of what the model was trained with.
#[derive(Clone, Debug, PartialEq)]
struct SweepRequest {
    key: SweepKey,
    values: Vec<(Value, Overrides)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum SweepKey {
    K,
    Capacity,
}

impl SweepKey {
    fn name(self) -> &'static str {
        match self {
            SweepKey::K => "k",
            SweepKey::Capacity => "capacity",
        }
    }
}

impl FromStr for SweepRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) = text.split_once('=').ok_or("write k=1,2,4 or capacity=1.0,1.25")?;
        let key = match key {
            "k" => SweepKey::K,
            "capacity" => SweepKey::Capacity,
            _ => return Err(format!("\"{key}\" cannot be swept; k and capacity can")),
        };
        let value = |text: &str| -> Result<_, String> {
            Ok(match key {
                SweepKey::K => {
                    let k = text.parse().ok().filter(|k| *k > 0);
                    let k = k.ok_or_else(|| not_allowed(text, "a whole number from 1"))?;
                    let overrides = Overrides { k: Some(k), ..Overrides::default() };
                    (Value::Int(k as i64), overrides)
                }
                SweepKey::Capacity => {
                    let factor = text.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0);
                    let allowed = "a number from 0, which is no limit";
                    let factor = factor.ok_or_else(|| not_allowed(text, allowed))?;
                    let overrides = Overrides {
                        inference_capacity_factor: Some(factor),
                        ..Overrides::default()
                    };
                    (Value::Real(factor), overrides)
                }
            })
        };
        let values = values.split(',').map(|text| value(text.trim()));
        Ok(SweepRequest { key, values: values.collect::<Result<_, _>>()? })
    }
}

fn not_allowed(text: &str, allowed: &str) -> String {
    format!("\"{text}\" is not allowed; it must be {allowed}")
}

/// What `--format json` prints: the object `test` of a run's result, and more.
#[derive(Debug, Serialize)]
struct EvalResult {
    /// `moe.eval/1`
    schema: &'static str,
    #[serde(flatten)]
    about: About,
    #[serde(flatten)]
    test: TestResult,
    routing: RoutingResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// Quality against cost.
#[derive(Debug, Serialize)]
struct Sweep {
    parameter: SweepKey,
    values: Vec<SweepLine>,
}

/// The model with one value.
#[derive(Debug, Serialize)]
struct SweepLine {
    value: Value,
    /// Whether the model was trained to be used with it.
    own: bool,
    #[serde(flatten)]
    test: TestResult,
    /// Mean over rows and gates.
    experts_per_row: f64,
    load_entropy: f64,
    dead_experts: usize,
    /// Share of the (row, expert) pairs that found no room, mean over the gates.
    dropped: f64,
    #[serde(flatten)]
    cost: Cost,
}

/// What it costs to use a model.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    /// Of the whole model.
    multiply_adds_per_row: f64,
    /// On this machine, with the threads of this call.
    seconds_per_thousand_rows: f64,
}

/// `moe eval`
pub(crate) fn eval(args: &EvalArgs, registry: &Registry) -> Result<String, Error> {
    let result = args.run.with_run(registry, |run| {
        // What cannot be swept is said before anything is computed.
        let models = args.sweep.as_ref().map(|request| models(run, request)).transpose()?;
        let part = run.part(args.run.part);
        let config = run.experiment.config();
        let evaluation = run.evaluate(&*run.model()?, part);
        let (k, planted) = (config.model.k, part.planted());
        Ok(EvalResult {
            schema: "moe.eval/1",
            about: run.about(args.run.part),
            test: TestResult::new(&evaluation, &run.experiment.data().tasks),
            routing: RoutingResult::new(run.state.history(), &evaluation, k, planted),
            sweep: models.map(|(key, models)| sweep(run, part, key, models)),
        })
    })?;
    Ok(match args.run.format {
        Format::Json => to_json(&result) + "\n",
        Format::Table => text(&result, Style::Text),
        Format::Md => text(&result, Style::Markdown),
    })
}

/// A value, whether it is the model's own, and the model with it.
type Variant = (Value, bool, Predictor);

/// The run's weights in a model for each value.
fn models(run: &KeptRun<'_>, request: &SweepRequest) -> Result<(SweepKey, Vec<Variant>), Error> {
    let models = request.values.iter().map(|(value, overrides)| {
        let (own, model) = with(run, overrides).map_err(|problem| {
            Error::Config(format!("--sweep {}={value}: {problem}", request.key.name()))
        })?;
        Ok((value.clone(), own, model))
    });
    Ok((request.key, models.collect::<Result<_, Error>>()?))
}

/// The model with one value, and whether that is its own.
fn with(run: &KeptRun<'_>, overrides: &Overrides) -> Result<(bool, Predictor), PredictorError> {
    let (own, registry) = (&run.description, run.registry);
    let predictor = Predictor::with_overrides(own, &run.weights, overrides, registry)?;
    let resolved = |model: &ModelDescription| -> Result<_, OverrideError> {
        let ModelDescription::Mixture(model) = model else { return Ok(None) };
        let info = registry.get(&model.router)?.info();
        Ok(Some((model.k, info.parameters(&model.router_parameters)?)))
    };
    let is_own = resolved(own)? == resolved(&own.with_overrides(overrides, registry)?)?;
    Ok((is_own, predictor))
}

fn sweep(run: &KeptRun<'_>, part: &Split, parameter: SweepKey, models: Vec<Variant>) -> Sweep {
    let line = |(value, own, predictor): Variant| {
        let model = predictor.model();
        let evaluation = run.evaluate(model, part);
        let gates = &evaluation.gates;
        let dropped = gates.iter().map(|gate| gate.dropped).sum::<f64>() / gates.len() as f64;
        let stats = evaluation.routing.as_ref().expect("a mixture has gates");
        SweepLine {
            value,
            own,
            test: TestResult::new(&evaluation, &run.experiment.data().tasks),
            experts_per_row: stats.experts_per_row(),
            load_entropy: stats.load_entropy(),
            dead_experts: stats.dead_experts(),
            dropped,
            cost: cost(run, model, part),
        }
    };
    Sweep { parameter, values: models.into_iter().map(line).collect() }
}

/// What the predictions for a part cost, without the making of batches and metrics.
fn cost(run: &KeptRun<'_>, model: &dyn Model, part: &Split) -> Cost {
    /// A small part is gone through again, so that the fastest time is nobody else's.
    const LEAST: Duration = Duration::from_millis(50);
    let once = || {
        let (mut time, mut work) = (Duration::ZERO, 0);
        for batch in run.batches(part) {
            let (start, before) = (Instant::now(), kernel::multiply_adds());
            model.forward(&Tape::inference(), &Pass::inference(&batch), &batch.inputs);
            work += kernel::multiply_adds() - before;
            time += start.elapsed();
        }
        (time, work)
    };
    let (mut fastest, work) = once();
    let mut all = fastest;
    while all < LEAST {
        let (time, _) = once();
        (fastest, all) = (fastest.min(time), all + time.max(Duration::from_micros(1)));
    }
    let rows = part.rows() as f64;
    Cost {
        multiply_adds_per_row: work as f64 / rows,
        seconds_per_thousand_rows: fastest.as_secs_f64() * 1000.0 / rows,
    }
}

fn text(result: &EvalResult, style: Style) -> String {
    let EvalResult { about, test, routing, .. } = result;
    let mut text = format!("{}\n\nLoss {:.4}\n\n", about.line(), test.loss);
    text += &drawn(style, &["task", "rows", "metric", "value", "95 % interval"], test.lines());
    if routing.gates.is_empty() {
        text += "\nThe model has no gates.\n";
    } else {
        text += "\n";
        text += &drawn(
            style,
            &[
                "gate",
                "experts/row",
                "load entropy",
                "max load",
                "dead",
                "confidence",
                "information",
                "dropped",
            ],
            routing.gates.iter().enumerate().map(|(i, gate)| {
                vec![
                    i.to_string(),
                    format!("{:.2}", gate.experts_per_row),
                    format!("{:.3}", gate.load_entropy),
                    format!("{:.3}", gate.max_load),
                    gate.dead_experts.to_string(),
                    format!("{:.3}", gate.confidence),
                    format!("{:.3}", gate.mutual_information),
                    format!("{:.3}", gate.dropped),
                ]
            }),
        );
        for alarm in &routing.alarms {
            let _ = write!(text, "\n- gate {}: {}", alarm.gate, alarm.text);
        }
        if !routing.alarms.is_empty() {
            text.push('\n');
        }
    }
    if let Some(sweep) = &result.sweep {
        text.push('\n');
        text += &sweep_table(sweep, style);
    }
    text
}

fn sweep_table(sweep: &Sweep, style: Style) -> String {
    let tasks = sweep.values.first().map_or(Vec::new(), |line| {
        line.test.lines().into_iter().filter(|cells| cells[2] != "loss").collect()
    });
    let metrics = tasks.iter().map(|cells| format!("{} {}", cells[0], cells[2]));
    let mut heads = vec![sweep.parameter.name().to_owned(), "loss".into()];
    heads.extend(metrics);
    heads.extend(
        ["experts/row", "dead", "dropped", "multiply-adds/row", "seconds/1000 rows"]
            .map(String::from),
    );
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows = sweep.values.iter().map(|line| {
        let own = if line.own { " (as trained)" } else { "" };
        let mut cells = vec![format!("{}{own}", line.value), format!("{:.4}", line.test.loss)];
        let metrics = line.test.lines().into_iter().filter(|cells| cells[2] != "loss");
        cells.extend(metrics.map(|mut cells| cells.swap_remove(3)));
        cells.extend([
            format!("{:.2}", line.experts_per_row),
            line.dead_experts.to_string(),
            format!("{:.3}", line.dropped),
            format!("{:.0}", line.cost.multiply_adds_per_row),
            format!("{:.5}", line.cost.seconds_per_thousand_rows),
        ]);
        cells
    });
    drawn(style, &heads, rows)
        + "\nThe same weights on every line; seconds are those of this machine.\n"
}
