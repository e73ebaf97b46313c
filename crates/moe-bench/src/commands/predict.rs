//! `moe predict`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use moe_data::{DataError, EncodedRows, RowEncoder, RowFormat, RowReader};
use moe_nn::Models;
use moe_nn::{ModelScratch, Overrides, Predictions, Predictor, SavedModel};

use crate::args::Threads;
use crate::commands::command::Command;
use crate::error::Error;
use crate::experiment::saved_run::{check_run_path, features};
use crate::output::note;
use crate::report::predictions::columns::Columns;
use crate::report::predictions::out::{NotFinite, PredictionsOut};
use crate::report::progress::{Meter, ProgressKind};

/// Largest number of rows per batch.
const MOST_BATCH_ROWS: u64 = 1 << 16;
/// The name of stdin in errors.
const STDIN: &str = "standard input";
/// Number of bad rows that are reported in full.
const REPORTED: u64 = 20;

/// The end of `--help`.
const COLUMNS: &str = "\
Input: the columns that the model was trained on, found by name; other columns are ignored. If the data set of the
run has no feature schema, ids are the whole numbers that the model was trained on, and the other inputs are the
columns x0, x1, and so on; token ids are in the column tokens, separated by spaces.

Output: one line per valid row, in the order of the input. It starts with the line number of the row (line), or with
--keep with these columns unchanged; then come the predictions for each task TASK:
  binary      TASK.probability (with --raw TASK.logit)
  multiclass  TASK.class, the most probable class, and TASK.probability.CLASS (or TASK.logit.CLASS) for each class
  regression  TASK.value
Numbers are written with the fewest digits that identify them; a number that is not finite, and a class by such numbers, is
an empty field, or null. A file has another name, which ends in .partial, until all rows are written, and keeps that name if
the command stops early or refuses predictions.";

/// Predict the rows of a file with a trained model
#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub(crate) struct Predict {
    /// Directory of the run
    run: PathBuf,
    /// File with the rows: CSV with a header, or one JSON object per line; may be gzipped; - is stdin
    #[arg(long)]
    input: PathBuf,
    /// File for the predictions, replaced when all are written; gzipped if it ends in .gz [default: stdout, also -]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Format of the rows [default: by the file name: .csv, .jsonl or .ndjson, also with .gz]
    #[arg(long, value_name = "FORMAT", value_parser = row_format())]
    input_format: Option<RowFormat>,
    /// Format of the predictions [default: by the file name, else that of the rows]
    #[arg(long, value_name = "FORMAT", value_parser = row_format())]
    output_format: Option<RowFormat>,
    /// Columns of the input to copy to the output, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    keep: Vec<String>,
    /// Write logits instead of probabilities
    #[arg(long)]
    raw: bool,
    /// Number of experts per row, instead of that of training; `moe eval --sweep` shows quality and cost
    #[arg(long)]
    k: Option<usize>,
    /// Limit each expert to this multiple of its even share of a batch; 0 is no limit [default: as trained]
    #[arg(long, value_name = "FACTOR")]
    capacity: Option<f64>,
    /// How to handle unreadable rows
    #[arg(long, value_enum, default_value_t = BadRows::Stop)]
    bad_rows: BadRows,
    /// How to handle predictions that are not finite numbers, which come from weights or inputs that are too large
    #[arg(long, value_enum, default_value_t = NonFinite::Refuse)]
    non_finite: NonFinite,
    /// Number of rows per batch; affects predictions only with expert-choice or a capacity
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=MOST_BATCH_ROWS))]
    batch_rows: u64,
    #[command(flatten)]
    threads: Threads,
    /// How to show progress on stderr
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    progress: ProgressKind,
}

/// Handling of unreadable rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BadRows {
    /// Stop with exit status 1; the rows before the unreadable one are predicted
    Stop,
    /// Report the row (only the first 20 in full) and continue
    Skip,
}

/// Handling of predictions that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NonFinite {
    /// Stop with exit status 1 after the last row; their fields are empty, and a file does not get its name
    Refuse,
    /// Leave their fields empty (null in JSON), and count them on stderr
    Null,
}

fn row_format() -> impl TypedValueParser<Value = RowFormat> {
    let csv = PossibleValue::new("csv").help("A header, then fields separated by commas");
    let jsonl = PossibleValue::new("jsonl").alias("ndjson").help("One JSON object per line");
    PossibleValuesParser::new([csv, jsonl])
        .map(|name| if name == "csv" { RowFormat::Csv } else { RowFormat::JsonLines })
}

impl Command for Predict {
    const NAME: &'static str = "predict";

    fn run(&self, models: &Models) -> Result<String, Error> {
        let formats = self.formats()?;
        self.threads.pool()?.install(|| self.predict(formats, models))?;
        Ok(String::new())
    }
}

impl Predict {
    /// The formats of the input and of the output.
    fn formats(&self) -> Result<[RowFormat; 2], Error> {
        let input = self.input_format.or_else(|| RowFormat::of_path(&self.input));
        let input = input.ok_or_else(|| {
            let (name, allowed) = (self.input_name().display(), "use .csv, .jsonl or .ndjson");
            Error::Config(format!(
                "cannot infer the format of {name}: {allowed}, or pass --input-format"
            ))
        })?;
        let output = self.output_format.or_else(|| RowFormat::of_path(self.output.as_deref()?));
        Ok([input, output.unwrap_or(input)])
    }

    /// What the input is called.
    fn input_name(&self) -> &Path {
        if is_standard(&self.input) { Path::new(STDIN) } else { &self.input }
    }

    /// Says how many of `all` rows have predictions that are not finite, if any.
    fn note_not_finite(&self, found: &NotFinite, all: u64) {
        let (NotFinite { rows, line, task }, input) = (found, self.input_name().display());
        if *rows > 0 {
            note(format_args!(
                "warning: {input}: {rows} of {all} rows have predictions that are not finite, left empty; the first in \
                 line {line}, task {task}"
            ));
        }
    }

    /// Reads, predicts and writes all rows, batch by batch.
    fn predict(&self, formats: [RowFormat; 2], models: &Models) -> Result<(), Error> {
        let start = Instant::now();
        let overrides = Overrides { k: self.k, inference_capacity_factor: self.capacity };
        check_run_path(&self.run)?;
        let saved = SavedModel::open(&self.run)?;
        let predictor = Predictor::of_saved(&saved, &overrides, models)?;
        let schema = features(&saved)?;
        if schema.as_ref().is_some_and(|schema| !predictor.input().takes(&schema.input())) {
            let problem = "is not the schema of the model: the inputs differ";
            return Err(Error::out_dir(self.run.join("features.json"), problem));
        }
        let encoder = match &schema {
            Some(schema) => schema.encoder(),
            None => RowEncoder::of_input(predictor.input()),
        };
        let columns = Columns::new(predictor.tasks(), schema.as_ref(), &self.keep, self.raw)?;
        let mut input = Input::open(self, formats[0], &encoder)?;
        let path = self.output.as_deref().filter(|path| !is_standard(path));
        if path.is_some_and(|path| is_same_file(path, &self.input)) {
            let file = self.input.display();
            return Err(Error::Config(format!(
                "--output {file} is the input, which the predictions would replace; name another file"
            )));
        }
        let mut out = PredictionsOut::create(path, formats[1], columns)?;
        let mut meter = Meter::start(self.progress, "{spinner} {pos} rows {elapsed} {per_sec}");

        let mut batch = encoder.rows();
        let (mut predictions, mut scratch) = (Predictions::default(), ModelScratch::default());
        let (mut done, mut end) = (0, None);
        while end.is_none() {
            while end.is_none() && (batch.len() as u64) < self.batch_rows {
                end = match input.read_row(&mut batch, &mut out) {
                    Ok(true) => None,
                    Ok(false) => Some(Ok(())),
                    Err(error @ DataError::Malformed { .. }) if self.bad_rows == BadRows::Skip => {
                        input.skip(&error);
                        None
                    }
                    Err(error) => Some(Err(error)),
                };
            }
            if batch.is_empty() {
                continue;
            }
            let (inputs, keys) = batch.batch();
            predictor
                .predict(inputs, keys, &mut predictions, &mut scratch)
                .expect("the encoder makes inputs of the model");
            if !out.write(&predictions)? {
                // The reader of stdout has seen what it wanted.
                return Ok(());
            }
            done += batch.len() as u64;
            batch.clear();
            meter.bar.set_position(done);
            let seconds = start.elapsed().as_secs_f64();
            meter.line_now_and_then(format_args!("{done} rows, {seconds:.0} s"));
        }
        meter.bar.finish_and_clear();
        if let Some(Err(source)) = end {
            self.note_not_finite(&out.not_finite, done);
            let place = out.leave()?;
            return Err(Error::Stopped { source: source.into(), rows: done, place });
        }
        let NotFinite { rows, line, task } = out.not_finite.clone();
        if rows > 0 && self.non_finite == NonFinite::Refuse {
            let (input, place) = (self.input_name().into(), out.leave()?);
            return Err(Error::NotFinite { input, rows, all: done, line, task, place });
        }
        self.note_not_finite(&out.not_finite, done);
        out.finish()?;
        let (skipped, seconds) = (input.skipped, start.elapsed().as_secs_f64());
        let rate = done as f64 / seconds;
        note(format_args!(
            "{done} rows predicted, {skipped} skipped, {seconds:.2} s, {rate:.0} rows/s"
        ));
        Ok(())
    }
}

/// Returns whether both paths are those of one existing file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// The rows of the input.
struct Input<'a> {
    encoder: &'a RowEncoder<'a>,
    reader: RowReader,
    /// Number of columns that the model needs. They come first.
    needed: usize,
    /// Indices of the columns to copy.
    kept: Vec<usize>,
    /// Number of bad rows so far.
    skipped: u64,
}

impl<'a> Input<'a> {
    fn open(
        args: &Predict,
        format: RowFormat,
        encoder: &'a RowEncoder<'a>,
    ) -> Result<Self, DataError> {
        let mut columns: Vec<String> = encoder.columns().map(str::to_owned).collect();
        let needed = columns.len();
        let mut kept = Vec::new();
        for name in &args.keep {
            let index = columns.iter().position(|column| column == name);
            kept.push(index.unwrap_or(columns.len()));
            if index.is_none() {
                columns.push(name.clone());
            }
        }
        let reader = if is_standard(&args.input) {
            RowReader::new(Box::new(io::stdin()), Path::new(STDIN), format, columns)?
        } else {
            RowReader::open(&args.input, format, columns)?
        };
        Ok(Input { encoder, reader, needed, kept, skipped: 0 })
    }

    /// Adds the next row to the batch. Returns false if there is none.
    fn read_row(
        &mut self,
        batch: &mut EncodedRows,
        out: &mut PredictionsOut,
    ) -> Result<bool, DataError> {
        if !self.reader.read()? {
            return Ok(false);
        }
        let (reader, fields) = (&self.reader, self.reader.fields());
        let pushed = self.encoder.push(&fields[..self.needed], reader.number(), batch);
        pushed.map_err(|error| reader.located(error))?;
        out.note_row(reader.line(), self.kept.iter().map(|&index| &fields[index]));
        Ok(true)
    }

    /// Counts a bad row and reports it.
    fn skip(&mut self, error: &DataError) {
        self.skipped += 1;
        if self.skipped <= REPORTED {
            note(format_args!("skipped: {error}"));
        }
        if self.skipped == REPORTED {
            note("further skipped rows are only counted");
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}
