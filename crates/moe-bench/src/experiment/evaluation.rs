//! A saved run tested on a split of its data, also with other values of K or of the capacity.

use std::str::FromStr;
use std::time::{Duration, Instant};

use moe_core::batch::BatchSource;
use moe_core::kernel;
use moe_data::Split;
use moe_nn::{ModelScratch, Overrides, Predictions, Predictor, PredictorError};
use moe_routers::Value;
use serde::Serialize;

use crate::error::Error;
use crate::experiment::routing_result::RoutingResult;
use crate::experiment::saved_run::{About, SavedRun, SplitName};
use crate::experiment::test_result::TestResult;

/// A key, `k` or `capacity`, and the values that replace the one of training.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SweepRequest {
    key: &'static str,
    values: Vec<(Value, Overrides)>,
}

impl FromStr for SweepRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) = text.split_once('=').ok_or("write k=1,2,4 or capacity=1.0,1.25")?;
        let values = values.split(',').map(str::trim);
        let (key, values) = match key {
            "k" => ("k", values.map(k).collect::<Result<_, _>>()?),
            "capacity" => ("capacity", values.map(capacity).collect::<Result<_, _>>()?),
            _ => return Err(format!("\"{key}\" cannot be swept; k and capacity can")),
        };
        Ok(SweepRequest { key, values })
    }
}

fn k(text: &str) -> Result<(Value, Overrides), String> {
    let k = text.parse().ok().filter(|k| *k > 0);
    let k: usize = k.ok_or_else(|| not_allowed(text, "a whole number from 1"))?;
    Ok((Value::Int(k as i64), Overrides { k: Some(k), ..Overrides::default() }))
}

fn capacity(text: &str) -> Result<(Value, Overrides), String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 0.0);
    let factor = factor.ok_or_else(|| not_allowed(text, "a number from 0, which is no limit"))?;
    let overrides = Overrides { inference_capacity_factor: Some(factor), ..Overrides::default() };
    Ok((Value::Real(factor), overrides))
}

fn not_allowed(text: &str, allowed: &str) -> String {
    format!("\"{text}\" is not allowed; it must be {allowed}")
}

/// What `moe eval --format json` prints: the fields of `test` of a run's result, and more.
#[derive(Debug, Serialize)]
pub(crate) struct EvalResult {
    /// `moe.eval/1`
    pub(crate) schema: &'static str,
    #[serde(flatten)]
    pub(crate) about: About,
    #[serde(flatten)]
    pub(crate) test: TestResult,
    pub(crate) routing: RoutingResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<Sweep>,
}

/// Quality and cost by value.
#[derive(Debug, Serialize)]
pub(crate) struct Sweep {
    /// `k` or `capacity`
    pub(crate) parameter: &'static str,
    pub(crate) values: Vec<SweepLine>,
}

/// The model with one value.
#[derive(Debug, Serialize)]
pub(crate) struct SweepLine {
    pub(crate) value: Value,
    /// Whether the model was trained with this value.
    pub(crate) own: bool,
    #[serde(flatten)]
    pub(crate) test: TestResult,
    /// Mean over rows and gates.
    pub(crate) experts_per_row: f64,
    pub(crate) load_entropy: f64,
    pub(crate) dead_experts: usize,
    /// Share of the (row, expert) pairs dropped for lack of capacity, mean over the gates.
    pub(crate) dropped: f64,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// The cost of predictions.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    /// Multiply-adds of the whole model.
    pub(crate) multiply_adds_per_row: f64,
    /// Time on this machine, with the threads of this call.
    pub(crate) seconds_per_thousand_rows: f64,
}

/// Tests the run on a split, and each value of `request` if there is one, with these metrics beside the default ones.
///
/// # Errors
/// If a value of the request does not apply to the model, a metric is unknown, a model cannot be built, or predictions are
/// not finite.
pub(crate) fn evaluate(
    run: &SavedRun<'_>,
    split: SplitName,
    request: Option<&SweepRequest>,
    metrics: &[String],
) -> Result<EvalResult, Error> {
    // A value that does not apply is reported before anything is computed.
    let models = request.map(|request| models(run, request)).transpose()?;
    let rows = run.split(split);
    let evaluation = run.evaluate(&*run.model()?, rows, metrics);
    let evaluation = evaluation.map_err(|error| Error::Config(format!("--metrics: {error}")))?;
    run.check_finite(&evaluation, split, "")?;
    let k = run.experiment.config.model.k;
    let sweep = match request.zip(models) {
        Some((request, models)) => {
            let lines = models.into_iter().map(|model| {
                let what = format!("with {}={} ", request.key, model.0);
                sweep_line(run, split, &what, model, metrics)
            });
            Some(Sweep { parameter: request.key, values: lines.collect::<Result<_, _>>()? })
        }
        None => None,
    };
    Ok(EvalResult {
        schema: "moe.eval/1",
        about: run.about(split),
        test: TestResult::new(&evaluation, &run.experiment.data.tasks),
        routing: RoutingResult::new(&run.history, &evaluation, k, rows.groups()),
        sweep,
    })
}

/// A value, whether the model was trained with it, and the model with it.
type Variant = (Value, bool, Predictor);

/// A model with the run's weights for each value.
fn models(run: &SavedRun<'_>, request: &SweepRequest) -> Result<Vec<Variant>, Error> {
    let models = request.values.iter().map(|(value, overrides)| {
        let (own, model) = with(run, overrides).map_err(|problem| {
            Error::Config(format!("--sweep {}={value}: {problem}", request.key))
        })?;
        Ok((value.clone(), own, model))
    });
    models.collect()
}

/// The model with one value, and whether it was trained with it.
fn with(run: &SavedRun<'_>, overrides: &Overrides) -> Result<(bool, Predictor), PredictorError> {
    let (own, models) = (&*run.description, run.experiment.models);
    let predictor = Predictor::with_overrides(own, run.saved.weights(), overrides, models)?;
    Ok((own.with_overrides(overrides, models.routers())?.is_none(), predictor))
}

fn sweep_line(
    run: &SavedRun<'_>,
    split: SplitName,
    what: &str,
    (value, own, model): Variant,
    metrics: &[String],
) -> Result<SweepLine, Error> {
    let rows = run.split(split);
    let evaluation = run.evaluate(model.model(), rows, metrics).expect("checked by `evaluate`");
    run.check_finite(&evaluation, split, what)?;
    let gates = &evaluation.gates;
    let stats = evaluation.routing.as_ref().expect("a mixture has gates");
    Ok(SweepLine {
        value,
        own,
        test: TestResult::new(&evaluation, &run.experiment.data.tasks),
        experts_per_row: stats.experts_per_row(),
        load_entropy: stats.load_entropy(),
        dead_experts: stats.dead_experts(),
        dropped: gates.iter().map(|gate| gate.dropped).sum::<f64>() / gates.len() as f64,
        cost: cost(run, &model, rows),
    })
}

/// The cost of predicting a split, without making batches and computing metrics.
fn cost(run: &SavedRun<'_>, model: &Predictor, split: &Split) -> Cost {
    /// A small split is predicted repeatedly for so long, and the fastest time counts.
    const LEAST: Duration = Duration::from_millis(50);
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    let mut once = || {
        let (mut time, mut work) = (Duration::ZERO, 0);
        for batch in run.batches(split) {
            let (start, before) = (Instant::now(), kernel::multiply_adds());
            let predicted = model.predict(&batch.inputs, &batch.keys, &mut out, &mut scratch);
            predicted.expect("the data have the inputs of the model");
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
    let rows = split.rows() as f64;
    Cost {
        multiply_adds_per_row: work as f64 / rows,
        seconds_per_thousand_rows: fastest.as_secs_f64() * 1000.0 / rows,
    }
}
