//! Where `moe predict` writes, and how.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use moe_core::Real;
use moe_core::batch::{TaskKind, TaskSpec};
use moe_core::files::PartialFile;
use moe_data::{FeatureSchema, RawField, RowFormat};
use moe_nn::Predictions;

use crate::error::Error;

/// Where predictions go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Stdout,
    File(&'a Path),
}

/// The columns of the output.
#[derive(Debug)]
pub(crate) struct Outputs {
    names: Vec<String>,
    /// Number of columns of the input that are repeated; with none the number of the line is there.
    kept: usize,
    /// For each task the names of its classes, if it has some.
    classes: Vec<Option<Vec<String>>>,
    raw: bool,
}

impl Outputs {
    /// # Errors
    /// If a column of the input that is kept is named as another column.
    pub(crate) fn new(
        tasks: &[TaskSpec],
        schema: Option<&FeatureSchema>,
        kept: &[String],
        raw: bool,
    ) -> Result<Self, Error> {
        let mut names = if kept.is_empty() { vec!["line".to_owned()] } else { kept.to_vec() };
        let score = if raw { "logit" } else { "probability" };
        let mut all_classes = Vec::new();
        for TaskSpec { name, kind } in tasks {
            all_classes.push(match *kind {
                TaskKind::Binary => {
                    names.push(format!("{name}.{score}"));
                    None
                }
                TaskKind::Regression => {
                    names.push(format!("{name}.value"));
                    None
                }
                TaskKind::Multiclass { classes } => {
                    let known = schema.and_then(|schema| schema.classes.get(name));
                    let class = |class: usize| match known.and_then(|c| c.name(class as u32)) {
                        Some(name) => name.to_owned(),
                        None => class.to_string(),
                    };
                    let classes: Vec<String> = (0..classes).map(class).collect();
                    names.push(format!("{name}.class"));
                    names.extend(classes.iter().map(|class| format!("{name}.{score}.{class}")));
                    Some(classes)
                }
            });
        }
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            let text =
                format!("--keep {}: the output would have two columns {name}", kept.join(","));
            return Err(Error::Config(text));
        }
        Ok(Outputs { kept: kept.len(), classes: all_classes, raw, names })
    }
}

/// Takes predictions, batch by batch.
pub(crate) struct PredictionsOut {
    outputs: Outputs,
    sink: Sink,
    /// What errors call the target.
    name: PathBuf,
    is_stdout: bool,
    /// Lines of the rows of the batch.
    lines: Vec<u64>,
    /// Their fields that are kept, in memory that is used again.
    kept: Vec<RawField>,
    /// The predictions of each task.
    values: Vec<Vec<Real>>,
}

impl PredictionsOut {
    pub(crate) fn create(
        target: Target<'_>,
        format: RowFormat,
        outputs: Outputs,
    ) -> Result<Self, Error> {
        let (name, is_stdout) = match target {
            Target::Stdout => (PathBuf::from("standard output"), true),
            Target::File(path) => (path.to_path_buf(), false),
        };
        let to = Destination::open(target).map_err(Error::file(&name))?;
        let sink = Sink::new(to, format, &outputs.names).map_err(Error::file(&name))?;
        let values = vec![Vec::new(); outputs.classes.len()];
        Ok(PredictionsOut { outputs, sink, name, is_stdout, lines: vec![], kept: vec![], values })
    }

    /// Notes where a row of the batch comes from.
    pub(crate) fn note_row<'a>(&mut self, line: u64, kept: impl Iterator<Item = &'a RawField>) {
        let start = self.lines.len() * self.outputs.kept;
        self.lines.push(line);
        for (place, field) in (start..).zip(kept) {
            if place == self.kept.len() {
                self.kept.push(RawField::default());
            }
            self.kept[place].clone_from(field);
        }
    }

    /// Writes the predictions for the rows that were noted. False if nobody reads any more.
    pub(crate) fn write(&mut self, predictions: &Predictions) -> Result<bool, Error> {
        for (task, values) in self.values.iter_mut().enumerate() {
            match self.outputs.raw {
                true => {
                    values.clear();
                    values.extend_from_slice(predictions.raw(task));
                }
                false => predictions.probabilities(task, values),
            }
        }
        let written = self.write_rows().and_then(|()| self.sink.flush());
        self.lines.clear();
        self.is_read(written)
    }

    fn write_rows(&mut self) -> io::Result<()> {
        let PredictionsOut { outputs, sink, lines, kept, values, .. } = self;
        for (row, &line) in lines.iter().enumerate() {
            if outputs.kept == 0 {
                sink.number(line)?;
            }
            for field in &kept[row * outputs.kept..][..outputs.kept] {
                sink.field(field)?;
            }
            for (classes, values) in outputs.classes.iter().zip(&*values) {
                let Some(classes) = classes else {
                    sink.real(values[row])?;
                    continue;
                };
                let values = &values[row * classes.len()..][..classes.len()];
                // The first of equals.
                let best = (1..values.len())
                    .fold(0, |best, class| if values[class] > values[best] { class } else { best });
                sink.text(&classes[best])?;
                values.iter().try_for_each(|&value| sink.real(value))?;
            }
            sink.end_row()?;
        }
        Ok(())
    }

    /// Gives a file its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let flushed = self.sink.flush();
        if self.is_read(flushed)? {
            let name = self.name;
            self.sink.into_inner().and_then(Destination::finish).map_err(Error::file(name))?;
        }
        Ok(())
    }

    /// Ends too early: a file stays under the name that is returned.
    pub(crate) fn leave(mut self) -> Result<Option<PathBuf>, Error> {
        let flushed = self.sink.flush();
        self.is_read(flushed)?;
        let name = self.name;
        self.sink.into_inner().and_then(Destination::leave).map_err(Error::file(name))
    }

    /// Whether somebody reads what was written. A reader that has gone has seen what it wanted.
    fn is_read(&self, written: io::Result<()>) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if self.is_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::file(&self.name)(error)),
        }
    }
}

enum Destination {
    Stdout(io::Stdout),
    File(PartialFile),
    Packed(GzEncoder<PartialFile>),
}

impl Destination {
    fn open(target: Target<'_>) -> io::Result<Self> {
        let Target::File(path) = target else { return Ok(Destination::Stdout(io::stdout())) };
        if path.exists() && !path.is_file() {
            let problem = "is not a file; predictions go to stdout with --output -";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let file = PartialFile::create(path)?;
        Ok(match path.extension().is_some_and(|ending| ending == "gz") {
            true => Destination::Packed(GzEncoder::new(file, Compression::default())),
            false => Destination::File(file),
        })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Destination::Stdout(_) => Ok(()),
            Destination::File(file) => file.commit(),
            Destination::Packed(packer) => packer.finish()?.commit(),
        }
    }

    fn leave(self) -> io::Result<Option<PathBuf>> {
        Ok(match self {
            Destination::Stdout(_) => None,
            Destination::File(file) => Some(file.partial().into()),
            Destination::Packed(packer) => Some(packer.finish()?.partial().into()),
        })
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stdout(to) => to.write(bytes),
            Destination::File(to) => to.write(bytes),
            Destination::Packed(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stdout(to) => to.flush(),
            Destination::File(to) => to.flush(),
            // Its end flushes it: more often makes it longer.
            Destination::Packed(_) => Ok(()),
        }
    }
}

/// Writes rows, cell by cell.
enum Sink {
    Csv(Box<csv::Writer<Destination>>, String),
    JsonLines(Box<JsonLines>),
}

struct JsonLines {
    to: BufWriter<Destination>,
    /// What stands before each value: a bracket or a comma, and the name.
    before: Vec<String>,
    /// The column that comes next.
    next: usize,
}

impl Sink {
    fn new(to: Destination, format: RowFormat, names: &[String]) -> io::Result<Self> {
        match format {
            RowFormat::Csv => {
                let mut to = csv::Writer::from_writer(to);
                to.write_record(names)?;
                Ok(Sink::Csv(to.into(), String::new()))
            }
            RowFormat::JsonLines => {
                let quoted = |name: &String| serde_json::to_string(name).expect("it is text");
                let before = names.iter().enumerate().map(|(place, name)| {
                    format!("{}{}:", if place == 0 { "{" } else { "," }, quoted(name))
                });
                let (to, before) = (BufWriter::with_capacity(64 << 10, to), before.collect());
                Ok(Sink::JsonLines(Box::new(JsonLines { to, before, next: 0 })))
            }
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        match self {
            Sink::Csv(to, _) => Ok(to.write_field(text)?),
            Sink::JsonLines(json) => Ok(serde_json::to_writer(json.begin_cell()?, text)?),
        }
    }

    /// As it stood in the input.
    fn field(&mut self, field: &RawField) -> io::Result<()> {
        match self {
            Sink::JsonLines(json) if field.is_bare => {
                let value = if field.text.is_empty() { "null" } else { &field.text };
                json.begin_cell()?.write_all(value.as_bytes())
            }
            _ => self.text(&field.text),
        }
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.plain(format_args!("{number}"))
    }

    /// With the fewest digits that say exactly this number.
    fn real(&mut self, value: Real) -> io::Result<()> {
        match self {
            Sink::JsonLines(_) if !value.is_finite() => self.plain(format_args!("null")),
            _ => self.plain(format_args!("{value:?}")),
        }
    }

    fn plain(&mut self, value: std::fmt::Arguments<'_>) -> io::Result<()> {
        match self {
            Sink::Csv(to, text) => {
                text.clear();
                let _ = text.write_fmt(value);
                Ok(to.write_field(text)?)
            }
            Sink::JsonLines(json) => json.begin_cell()?.write_fmt(value),
        }
    }

    fn end_row(&mut self) -> io::Result<()> {
        match self {
            Sink::Csv(to, _) => Ok(to.write_record(None::<&[u8]>)?),
            Sink::JsonLines(json) => {
                json.next = 0;
                json.to.write_all(b"}\n")
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Csv(to, _) => to.flush(),
            Sink::JsonLines(json) => json.to.flush(),
        }
    }

    /// What it writes to, after [`Sink::flush`].
    fn into_inner(self) -> io::Result<Destination> {
        match self {
            Sink::Csv(to, _) => to.into_inner().map_err(|error| error.into_error()),
            Sink::JsonLines(json) => json.to.into_inner().map_err(|error| error.into_error()),
        }
    }
}

impl JsonLines {
    fn begin_cell(&mut self) -> io::Result<&mut BufWriter<Destination>> {
        self.to.write_all(self.before[self.next].as_bytes())?;
        self.next += 1;
        Ok(&mut self.to)
    }
}
