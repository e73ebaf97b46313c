//! `moe predict`

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use moe_data::{DataError, FeatureSchema, RowEncoder, RowFormat, RowReader};
use moe_nn::{ModelScratch, Overrides, Predictions, Predictor, RunDir};
use moe_routers::Registry;

use crate::args::pool;
use crate::error::Error;
use crate::output::note;
use crate::report::predictions_out::{Outputs, PredictionsOut, Target};
use crate::report::progress::ProgressKind;

/// The most rows of a batch.
const MOST_BATCH_ROWS: u64 = 1 << 16;
/// Bad rows that are reported in full.
const REPORTED: u64 = 20;
/// Between two lines about how far it is.
const BETWEEN: Duration = Duration::from_secs(10);

/// What `--help` ends with.
const COLUMNS: &str = "\
Input: the columns that the model was trained on, found by name; others are passed over. Where the data of the
run have no feature schema, ids are the whole numbers that the model was given, and its other inputs are the
columns x0, x1, and so on.

Output: a line for each good row, in the order of the input. First the number of the row's line (line), or with
--keep these columns as they are; then for each task TASK:
  yes or no   TASK.probability (with --raw TASK.logit)
  classes     TASK.class, the most probable one, and for each class TASK.probability.CLASS (or TASK.logit.CLASS)
  a number    TASK.value
Numbers have the fewest digits that tell them from all others. A file gets its name when all rows are there; until
then, and if the call ends early, it is named with .partial at the end.";

#[derive(Debug, Args)]
#[command(after_help = COLUMNS)]
pub(crate) struct PredictArgs {
    /// Directory of the run
    run: PathBuf,
    /// The rows: CSV with a header, or a JSON object a line; may be packed with gzip; - is stdin
    #[arg(long)]
    input: PathBuf,
    /// A file for the predictions, replaced when all are there; packed if it ends in .gz [default: stdout, also -]
    #[arg(long)]
    output: Option<PathBuf>,
    /// How the rows are written [default: what the file's name says: .csv, .jsonl or .ndjson, also with .gz]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<FileFormat>,
    /// How the predictions are written [default: what the file's name says, else as the rows]
    #[arg(long, value_enum, value_name = "FORMAT")]
    output_format: Option<FileFormat>,
    /// Columns of the input to repeat beside the predictions, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    keep: Vec<String>,
    /// Logits instead of probabilities
    #[arg(long)]
    raw: bool,
    /// Another K than the model was trained with; `moe eval --sweep` shows what it costs and gives
    #[arg(long)]
    k: Option<usize>,
    /// An expert takes at most so many times its even share of a batch; 0: no limit [default: as trained]
    #[arg(long, value_name = "FACTOR")]
    capacity: Option<f64>,
    /// What becomes of a row that cannot be read
    #[arg(long, value_enum, default_value_t = BadRows::Stop)]
    bad_rows: BadRows,
    /// Rows that are predicted at a time; the predictions do not depend on it, but for expert-choice and capacities
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=MOST_BATCH_ROWS))]
    batch_rows: u64,
    /// Threads; the predictions do not depend on it [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    progress: ProgressKind,
}

/// How rows stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// A header, then fields separated by commas
    Csv,
    /// A JSON object a line
    #[value(alias = "ndjson")]
    Jsonl,
}

/// What becomes of a row that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BadRows {
    /// It is the end, with status 1; rows before it are predicted
    Stop,
    /// It is reported (the first 20 in full) and passed over
    Skip,
}

impl From<FileFormat> for RowFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Csv => RowFormat::Csv,
            FileFormat::Jsonl => RowFormat::JsonLines,
        }
    }
}

impl PredictArgs {
    /// Of the input and the output.
    fn formats(&self) -> Result<[RowFormat; 2], Error> {
        let given = |format: Option<FileFormat>| format.map(RowFormat::from);
        let input = given(self.input_format).or_else(|| RowFormat::of_path(&self.input));
        let input = input.ok_or_else(|| {
            let input = match is_standard(&self.input) {
                true => "standard input".into(),
                false => self.input.display().to_string(),
            };
            let text = "is named; name a file .csv, .jsonl or .ndjson, or give --input-format csv or jsonl";
            Error::Config(format!("no format of {input} {text}"))
        })?;
        let of_output = || RowFormat::of_path(self.output.as_deref()?);
        Ok([input, given(self.output_format).or_else(of_output).unwrap_or(input)])
    }

    fn target(&self) -> Target<'_> {
        match self.output.as_deref().filter(|path| !is_standard(path)) {
            Some(path) => Target::File(path),
            None => Target::Stdout,
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// `moe predict`
pub(crate) fn predict(args: &PredictArgs, registry: &Registry) -> Result<String, Error> {
    let formats = args.formats()?;
    let pool = pool(args.threads)?;
    pool.install(|| work(args, formats, registry))?;
    Ok(String::new())
}

fn work(args: &PredictArgs, formats: [RowFormat; 2], registry: &Registry) -> Result<(), Error> {
    let start = Instant::now();
    let overrides = Overrides { k: args.k, inference_capacity_factor: args.capacity };
    let predictor = Predictor::load_with(&args.run, &overrides, registry)?;
    let schema = schema(&args.run, &predictor)?;
    let encoder = match &schema {
        Some(schema) => schema.encoder(),
        None => RowEncoder::of_input(predictor.input()),
    };
    let mut columns: Vec<String> = encoder.columns().map(str::to_owned).collect();
    let needed = columns.len();
    let mut kept = Vec::new();
    for name in &args.keep {
        let place = columns.iter().position(|column| column == name);
        kept.push(place.unwrap_or(columns.len()));
        if place.is_none() {
            columns.push(name.clone());
        }
    }
    let outputs = Outputs::new(predictor.tasks(), schema.as_ref(), &args.keep, args.raw)?;
    let mut rows = open(&args.input, formats[0], columns)?;
    let mut out = PredictionsOut::create(args.target(), formats[1], outputs)?;
    let mut shown = Shown::new(args.progress);

    let mut encoded = encoder.rows();
    let (mut predictions, mut scratch) = (Predictions::default(), ModelScratch::default());
    let (mut done, mut skipped) = (0, 0);
    let end = loop {
        let mut end = None;
        while end.is_none() && (encoded.len() as u64) < args.batch_rows {
            let row = rows.read().and_then(|there| {
                if there {
                    let pushed =
                        encoder.push(&rows.fields()[..needed], rows.number(), &mut encoded);
                    pushed.map_err(|error| rows.located(error))?;
                }
                Ok(there)
            });
            match row {
                Ok(true) => {
                    let fields = rows.fields();
                    out.note_row(rows.line(), kept.iter().map(|&place| &fields[place]));
                }
                Ok(false) => end = Some(Ok(())),
                Err(error @ DataError::Malformed { .. }) if args.bad_rows == BadRows::Skip => {
                    skipped += 1;
                    if skipped <= REPORTED {
                        shown.note(&format!("skipped: {error}"));
                    }
                    if skipped == REPORTED {
                        shown.note("more rows that are skipped are only counted");
                    }
                }
                Err(error) => end = Some(Err(error)),
            }
        }
        if !encoded.is_empty() {
            let (inputs, keys) = encoded.batch();
            predictor
                .predict(inputs, keys, &mut predictions, &mut scratch)
                .expect("the encoder makes what the model takes");
            if !out.write(&predictions)? {
                // Whoever reads has seen what it wanted.
                return Ok(());
            }
            done += encoded.len() as u64;
            encoded.clear();
            shown.rows(done);
        }
        if let Some(end) = end {
            break end;
        }
    };
    shown.end();
    match end {
        Ok(()) => out.finish()?,
        Err(source) => {
            let place = out.leave()?;
            return Err(Error::Stopped { source: source.into(), rows: done, place });
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = done as f64 / seconds;
    note(format_args!(
        "{done} rows predicted, {skipped} skipped, {seconds:.2} s, {rate:.0} rows/s"
    ));
    Ok(())
}

/// The run's feature schema, if it has one.
fn schema(run: &Path, predictor: &Predictor) -> Result<Option<FeatureSchema>, Error> {
    let (dir, _) = RunDir::open_to_read(run)?;
    let Some(text) = dir.features()? else { return Ok(None) };
    let wrong = |problem| Error::OutDir { path: run.join("features.json"), problem };
    let schema: FeatureSchema = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is no feature schema: {error}")))?;
    if schema.input() != *predictor.input() {
        return Err(wrong("is not that of the model: its inputs are others".into()));
    }
    Ok(Some(schema))
}

fn open(input: &Path, format: RowFormat, columns: Vec<String>) -> Result<RowReader, DataError> {
    match is_standard(input) {
        true => RowReader::new(Box::new(io::stdin()), Path::new("standard input"), format, columns),
        false => RowReader::open(input, format, columns),
    }
}

/// How far it is, on stderr.
struct Shown {
    bar: Option<ProgressBar>,
    lines: bool,
    start: Instant,
    last: Instant,
}

impl Shown {
    fn new(kind: ProgressKind) -> Self {
        let now = Instant::now();
        let is_bar = kind == ProgressKind::Auto && io::stderr().is_terminal();
        let bar = is_bar.then(|| {
            let style = ProgressStyle::with_template("{spinner} {pos} rows {elapsed} {per_sec}");
            ProgressBar::no_length().with_style(style.expect("the template is well formed"))
        });
        Shown { lines: !is_bar && kind != ProgressKind::None, bar, start: now, last: now }
    }

    fn rows(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.lines && self.last.elapsed() >= BETWEEN {
            self.last = Instant::now();
            note(format_args!("{done} rows, {:.0} s", self.start.elapsed().as_secs_f64()));
        }
    }

    /// A line that stays.
    fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    fn end(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
