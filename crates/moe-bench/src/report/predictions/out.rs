//! Writes predictions batch by batch.

use std::io;
use std::path::{Path, PathBuf};

use moe_core::Real;
use moe_core::task::FieldValue;
use moe_data::{RawField, RowFormat};
use moe_nn::Predictions;

use crate::error::Error;
use crate::report::predictions::columns::Columns;
use crate::report::predictions::csv::CsvSink;
use crate::report::predictions::destination::Destination;
use crate::report::predictions::jsonl::JsonLinesSink;
use crate::report::predictions::sink::{Cell, RowSink};

/// Receives predictions batch by batch and writes them.
pub(crate) struct PredictionsOut {
    columns: Columns,
    sink: Box<dyn RowSink>,
    /// The name of the file or of stdout in errors.
    name: PathBuf,
    is_stdout: bool,
    /// Line numbers of the rows of the batch.
    lines: Vec<u64>,
    /// The fields of these rows to copy, in reused memory.
    kept: Vec<RawField>,
    /// The predictions of each task.
    values: Vec<Vec<Real>>,
    /// Rows with predictions that are not finite.
    pub(crate) not_finite: NotFinite,
}

/// Rows with predictions that are not finite. Their numbers and classes have been left empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotFinite {
    /// Number of such rows.
    pub(crate) rows: u64,
    /// The line of the first one, from 1.
    pub(crate) line: u64,
    /// The first task of that row that is not finite.
    pub(crate) task: String,
}

impl PredictionsOut {
    /// Opens the file at `path`, or stdout without one.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub(crate) fn create(
        path: Option<&Path>,
        format: RowFormat,
        columns: Columns,
    ) -> Result<Self, Error> {
        let name = path.unwrap_or(Path::new("standard output")).to_path_buf();
        let to = Destination::open(path).map_err(Error::file(&name))?;
        let sink: Box<dyn RowSink> = match format {
            RowFormat::Csv => {
                Box::new(CsvSink::new(to, &columns.names).map_err(Error::file(&name))?)
            }
            RowFormat::JsonLines => Box::new(JsonLinesSink::new(to, &columns.names)),
        };
        let (is_stdout, values) = (path.is_none(), vec![Vec::new(); columns.tasks.len()]);
        let (lines, kept, not_finite) = (Vec::new(), Vec::new(), NotFinite::default());
        Ok(PredictionsOut { columns, sink, name, is_stdout, lines, kept, values, not_finite })
    }

    /// Records the line number of a row of the batch and its fields to copy.
    pub(crate) fn note_row<'a>(&mut self, line: u64, kept: impl Iterator<Item = &'a RawField>) {
        let start = self.lines.len() * self.columns.kept;
        self.lines.push(line);
        for (place, field) in (start..).zip(kept) {
            if place == self.kept.len() {
                self.kept.push(RawField::default());
            }
            self.kept[place].clone_from(field);
        }
    }

    /// Writes the predictions for the recorded rows. Returns false if the reader of stdout has gone.
    pub(crate) fn write(&mut self, predictions: &Predictions) -> Result<bool, Error> {
        for (task, values) in self.values.iter_mut().enumerate() {
            if self.columns.raw {
                values.clear();
                values.extend_from_slice(predictions.raw(task));
            } else {
                predictions.probabilities(task, values);
            }
        }
        let written = self.write_rows().and_then(|()| self.sink.flush());
        self.lines.clear();
        self.is_read(written)
    }

    fn write_rows(&mut self) -> io::Result<()> {
        let PredictionsOut { columns, sink, lines, kept, values, not_finite, .. } = self;
        for (row, &line) in lines.iter().enumerate() {
            if columns.kept == 0 {
                sink.cell(Cell::Number(line))?;
            }
            for field in &kept[row * columns.kept..][..columns.kept] {
                sink.cell(Cell::Field(field))?;
            }
            let mut is_counted = false;
            for ((task, classes), values) in columns.tasks.iter().zip(&*values) {
                let outputs = task.kind.outputs();
                let values = &values[row * outputs..][..outputs];
                let is_finite = values.iter().all(|value| value.is_finite());
                if !is_finite && !std::mem::replace(&mut is_counted, true) {
                    if not_finite.rows == 0 {
                        (not_finite.line, not_finite.task) = (line, task.name.clone());
                    }
                    not_finite.rows += 1;
                }
                let mut written = Ok(());
                task.kind.field_values(values, &mut |value| {
                    if written.is_ok() {
                        written = sink.cell(match value {
                            FieldValue::Number(value) if value.is_finite() => Cell::Real(value),
                            // The largest of values that cannot be compared is no class.
                            _ if !is_finite => Cell::Empty,
                            FieldValue::Number(value) => Cell::Real(value),
                            FieldValue::Class(class) => match classes.get(class as usize) {
                                Some(name) => Cell::Text(name),
                                None => Cell::Number(class.into()),
                            },
                        });
                    }
                });
                written?;
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
            self.sink
                .into_destination()
                .and_then(Destination::finish)
                .map_err(Error::file(name))?;
        }
        Ok(())
    }

    /// Ends before all rows are written. A file keeps the name that is returned.
    pub(crate) fn leave(mut self) -> Result<Option<PathBuf>, Error> {
        let flushed = self.sink.flush();
        self.is_read(flushed)?;
        let name = self.name;
        self.sink.into_destination().and_then(Destination::leave).map_err(Error::file(name))
    }

    /// Returns whether the reader is there. A reader that has closed stdout has seen what it wanted.
    fn is_read(&self, written: io::Result<()>) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if self.is_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::file(&self.name)(error)),
        }
    }
}
