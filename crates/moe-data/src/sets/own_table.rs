//! The user's own table: CSV with a header, or Parquet, and the meaning of its columns.
//!
//! Ids get embeddings; numbers are scaled; categories become one input each. Scales, categories and, if unknown ids share
//! one, the ids come from the train split alone, so a schema encodes new rows in the same way as the validation and test
//! splits. `test_share` of the rows are drawn for testing, then `val_share` of the rest for validation, each class of the
//! first task in proportion if it has classes. A row's id is its index in the file.

use std::collections::HashSet;
use std::path::Path;

use crate::catalog::entry::Entry;
use crate::data_dir::data_dir;
use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Dense, Features, Table};
use crate::error::DataError;
use crate::features::labels::Labelled;
use crate::features::number::{self, WrongNumber};
use crate::features::schema::{CategoryFeature, FeatureSchema, IdFeature, NumberFeature, Unknown};
use crate::features::table_options::{Separator, TableOptions, TargetKind};
use crate::features::vocabulary::{Numbering, Vocabulary};
use crate::formats::dialect::Dialect;
use crate::formats::table_rows;
use crate::formats::table_rows::TableRow;
use crate::named_file::named;
use crate::options::LoadOptions;
use crate::source_folder::SourceFolder;

const ID: &str = "table";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: SUMMARY,
    origin: SOURCE.origin(),
    terms: "those of the file",
    defaults: || LoadOptions {
        test_share: Some(0.1),
        val_share: Some(0.125),
        ..LoadOptions::default()
    },
    takes: &["table"],
    load,
    ..Entry::NEW
};
const SUMMARY: &str = if cfg!(feature = "parquet") {
    "a table of your own, CSV or Parquet; its columns are described in [dataset.table]"
} else {
    "a table of your own, CSV (Parquet if built with --features parquet); its columns are described in [dataset.table]"
};
const SOURCE: SourceFolder = SourceFolder {
    name: "table",
    files: "the file that dataset.table.file names, which may also be in the working directory or anywhere else",
    get: "yourself",
};

/// The most categories of a column.
const MOST_CATEGORIES: usize = 256;
/// The most classes of a task.
const MOST_CLASSES: usize = 1 << 16;
/// The most texts that mean no and that an error names.
const SHOWN_NEGATIVES: usize = 3;
/// The most rows.
const MOST_ROWS: usize = 1 << 28;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let Some(table) = &options.table else {
        let wrong = bad("table", "nothing", "file, columns and targets, as [dataset.table]");
        return Err(wrong);
    };
    table.check()?;
    let [test_share, val_share] = options.shares(ID)?;
    let folder = data_dir(options.data_dir.as_deref()).map(|dir| dir.join(SOURCE.name));
    let file = named(ID, folder.as_deref(), &table.file)?;
    let raw = Raw::read(table, &file)?;
    let rows = raw.rows as u32;
    // Rows without a class are a class of their own, the last.
    let classes = raw.classes[0].len().max(2);
    let class = |row: u32| match &raw.targets[0] {
        Column::Flags(flags) => usize::from(flags[row as usize]).min(classes),
        Column::Classes(all) => (all[row as usize] as usize).min(classes),
        Column::Values(_) => 0,
    };
    let cut = |rows, share, purpose| {
        split::cut_stratified(rows, classes + 1, class, share, options.seed, purpose)
    };
    let [rest, test] = cut((0..rows).collect(), test_share, "table test");
    let [train, val] = cut(rest, val_share, "table val");

    let splits = [("train", &train[..]), ("val", &val), ("test", &test)];
    // An empty split has an error of its own.
    if splits.iter().all(|(_, rows)| !rows.is_empty()) {
        raw.check_targets(table, &file, splits)?;
    }
    let schema = raw.schema(table, &train);
    let features = raw.features(&schema)?;
    let tasks = table.targets.iter().zip(raw.targets).map(|(target, column)| {
        let classes = schema.classes.get(&target.column).map_or(0, Vocabulary::len);
        (&*target.column, target.kind.task(classes), column)
    });
    let table = Table::new(schema.input(), features, tasks);
    Ok(Dataset::new(ID, table, [train, val, test])?.with_schema(schema))
}

fn bad(option: &'static str, value: impl Into<String>, allowed: &str) -> DataError {
    DataError::BadOption { dataset: ID, option, value: value.into(), allowed: allowed.to_owned() }
}

impl TableOptions {
    /// All columns in the order in which rows are read: ids, numbers, categories, targets.
    fn columns(&self) -> Vec<&str> {
        let targets = self.targets.iter().map(|target| &target.column);
        let features = self.ids.iter().chain(&self.numbers).chain(&self.categories);
        features.chain(targets).map(String::as_str).collect()
    }

    fn check(&self) -> Result<(), DataError> {
        let columns = self.columns();
        if self.targets.is_empty() {
            return Err(bad("table.targets", "[]", "one target or more"));
        }
        if columns.len() == self.targets.len() {
            return Err(bad("table.ids", "[]", "a column of ids, numbers or categories"));
        }
        match self.min_count {
            0 => return Err(bad("table.min_count", "0", "from 1")),
            2.. if self.unknown == Unknown::Refuse => {
                let allowed = "1, or unknown = \"shared\", so that rarer ids have an id to share";
                return Err(bad("table.min_count", self.min_count.to_string(), allowed));
            }
            _ => {}
        }
        for target in &self.targets {
            if let Some(text) = target.positive.as_ref().filter(|text| self.is_missing(text)) {
                let value = format!("{text:?}, the text of positive of {}", target.column);
                let allowed =
                    format!("a text that does not mean missing, as do {}", self.markers());
                return Err(bad("table.targets", value, &allowed));
            }
        }
        let mut seen = HashSet::new();
        match columns.iter().find(|column| !seen.insert(**column)) {
            Some(twice) => Err(bad("table", format!("the column {twice} twice"), "each once")),
            None => Ok(()),
        }
    }
}

/// The columns of a table, not encoded yet.
struct Raw {
    rows: usize,
    ids: Vec<Texts>,
    /// NaN where the field is empty.
    numbers: Vec<Vec<f64>>,
    categories: Vec<Texts>,
    targets: Vec<Column>,
    /// Names of the classes of each target, if it has any.
    classes: Vec<Numbering>,
    /// For each target, some of the texts that mean no because `positive` means yes.
    negatives: Vec<Vec<String>>,
}

/// A column of texts, numbered by first appearance.
#[derive(Default)]
struct Texts {
    numbering: Numbering,
    numbers: Vec<u32>,
}

impl Raw {
    fn read(options: &TableOptions, path: &Path) -> Result<Self, DataError> {
        let texts = |columns: &[String]| columns.iter().map(|_| Texts::default()).collect();
        let mut raw = Raw {
            rows: 0,
            ids: texts(&options.ids),
            numbers: vec![Vec::new(); options.numbers.len()],
            categories: texts(&options.categories),
            targets: options.targets.iter().map(|target| target.kind.column()).collect(),
            classes: options.targets.iter().map(|_| Numbering::default()).collect(),
            negatives: vec![Vec::new(); options.targets.len()],
        };
        let dialect = match options.separator {
            Separator::Comma => Dialect::QUOTED_COMMAS,
            Separator::Semicolon => Dialect::QUOTED_SEMICOLONS,
            Separator::Tab => Dialect::QUOTED_TABS,
        };
        table_rows::each(path, dialect, &options.columns(), &mut |row| raw.push(options, row))?;
        Ok(raw)
    }

    fn push(&mut self, options: &TableOptions, row: &TableRow<'_>) -> Result<(), DataError> {
        if self.rows == MOST_ROWS {
            return Err(row.wrong(0, "is one row too many", format!("at most {MOST_ROWS} rows")));
        }
        self.rows += 1;
        let from = |first: usize| row.fields.iter().enumerate().skip(first);
        let (numbers, categories) = (self.ids.len(), self.ids.len() + self.numbers.len());
        for (texts, (place, field)) in self.ids.iter_mut().zip(from(0)) {
            if options.is_missing(field) {
                let is = if field.is_empty() { "is empty" } else { "means missing" };
                let allowed = format!("an id; missing are {}", options.markers());
                return Err(row.wrong(place, is, allowed));
            }
            texts.numbers.push(texts.numbering.number(field));
        }
        for (values, (place, _)) in self.numbers.iter_mut().zip(from(numbers)) {
            values.push(number(row, place, options)?);
        }
        for (texts, (place, field)) in self.categories.iter_mut().zip(from(categories)) {
            let field = if options.is_missing(field) { "" } else { field };
            let number = texts.numbering.number(field);
            if number as usize == MOST_CATEGORIES {
                let allowed =
                    format!("{MOST_CATEGORIES} of them; a column with more is one of ids");
                return Err(row.wrong(place, "is one category too many", allowed));
            }
            texts.numbers.push(number);
        }
        let first = row.fields.len() - self.targets.len();
        let targets = self.targets.iter_mut().zip(&mut self.classes).zip(&mut self.negatives);
        let targets = targets.zip(&options.targets);
        for (place, (((column, classes), negatives), target)) in (first..).zip(targets) {
            let field = row.fields[place];
            match column {
                Column::Flags(flags) => {
                    let flag = target.is_positive(row, place, options)?;
                    flags.push(flag.map_or(Column::NO_FLAG, u8::from));
                    let is_new = || negatives.iter().all(|text| text != field);
                    if flag == Some(false) && negatives.len() < SHOWN_NEGATIVES && is_new() {
                        negatives.push(field.to_owned());
                    }
                }
                Column::Values(values) => {
                    let value = present(row, place, options).map(number::target).transpose();
                    let value = value.map_err(|wrong| wrong_number(row, place, wrong))?;
                    values.push(value.unwrap_or(f32::NAN));
                }
                Column::Classes(all) if options.is_missing(field) => all.push(Column::NO_CLASS),
                Column::Classes(all) => {
                    let class = classes.number(field);
                    if class as usize == MOST_CLASSES {
                        let allowed = format!("{MOST_CLASSES} of them");
                        return Err(row.wrong(place, "is one class too many", allowed));
                    }
                    all.push(class);
                }
            }
        }
        Ok(())
    }

    /// Checks the targets in all rows and in each split.
    fn check_targets(
        &self,
        options: &TableOptions,
        file: &Path,
        splits: [(&str, &[u32]); 3],
    ) -> Result<(), DataError> {
        let read = self.targets.iter().zip(&self.classes).zip(&self.negatives);
        for (target, ((column, classes), negatives)) in options.targets.iter().zip(read) {
            let labelled = Labelled { target, column, classes: classes.names(), negatives };
            labelled.check(options, file, splits)?;
        }
        Ok(())
    }

    fn schema(&self, options: &TableOptions, train: &[u32]) -> FeatureSchema {
        let of_train = |texts: &Texts, least| texts.names(train.iter().copied(), least);
        let ids = options.ids.iter().zip(&self.ids).map(|(name, texts)| IdFeature {
            name: name.clone(),
            unknown: options.unknown,
            vocabulary: match options.unknown {
                Unknown::Shared => of_train(texts, options.min_count),
                Unknown::Refuse => texts.names(0..self.rows as u32, 0),
            },
        });
        let numbers = options.numbers.iter().zip(&self.numbers).map(|(name, values)| {
            let known = train.iter().map(|&row| values[row as usize]).filter(|v| !v.is_nan());
            let [shift, scale] = options.scaling.of(known);
            NumberFeature { name: name.clone(), shift, scale }
        });
        let categories = options.categories.iter().zip(&self.categories);
        let categories = categories.map(|(name, texts)| CategoryFeature {
            name: name.clone(),
            vocabulary: of_train(texts, 1),
        });
        let classes = options.targets.iter().zip(&self.classes);
        let classes = classes.filter(|(target, _)| target.kind == TargetKind::Multiclass);
        FeatureSchema {
            ids: ids.collect(),
            numbers: numbers.collect(),
            categories: categories.collect(),
            classes: classes
                .map(|(target, names)| (target.column.clone(), names.names().clone()))
                .collect(),
            missing: options.missing.clone(),
        }
    }

    /// The rows as [`crate::RowEncoder`] encodes them, column by column.
    fn features(&self, schema: &FeatureSchema) -> Result<Features, DataError> {
        let ids = schema.ids.iter().zip(&self.ids).map(|(feature, texts)| {
            // If unknown names are refused, the vocabulary has all names.
            let shared = feature.vocabulary.len() as u32;
            texts.ids(&feature.vocabulary).map(|id| id.unwrap_or(shared)).collect()
        });
        let ids: Vec<Vec<u32>> = ids.collect();
        let width = schema.width();
        let mut values = vec![0.0; self.rows * width];
        for (place, (feature, numbers)) in schema.numbers.iter().zip(&self.numbers).enumerate() {
            for (index, &number) in numbers.iter().enumerate().filter(|(_, n)| !n.is_nan()) {
                values[index * width + place] = feature.scaled(number).ok_or_else(|| {
                    let (is, allowed) = feature.out_of_range();
                    let (row, column) = (index, feature.name.clone());
                    DataError::Field { row, column, problem: format!("{number:e} {is}"), allowed }
                })?;
            }
        }
        let mut start = schema.numbers.len();
        for (feature, texts) in schema.categories.iter().zip(&self.categories) {
            let categories = texts.ids(&feature.vocabulary);
            for (row, category) in values.chunks_exact_mut(width.max(1)).zip(categories) {
                if let Some(category) = category {
                    row[start + category as usize] = 1.0;
                }
            }
            start += feature.vocabulary.len();
        }
        Ok(Features { ids, dense: (width > 0).then_some(Dense::Floats(values)) })
    }
}

/// The number in a field; NaN if the field is missing.
fn number(row: &TableRow<'_>, place: usize, options: &TableOptions) -> Result<f64, DataError> {
    let value = present(row, place, options).map(number::number).transpose();
    Ok(value.map_err(|wrong| wrong_number(row, place, wrong))?.unwrap_or(f64::NAN))
}

/// A field, unless it is missing.
fn present<'a>(row: &TableRow<'a>, place: usize, options: &TableOptions) -> Option<&'a str> {
    Some(row.fields[place]).filter(|field| !options.is_missing(field))
}

fn wrong_number(row: &TableRow<'_>, place: usize, (is, allowed): WrongNumber) -> DataError {
    row.wrong(place, is, format!("{allowed}, or nothing"))
}

impl Texts {
    /// The texts that at least `least` of these rows have, by first appearance in them.
    fn names(&self, rows: impl Iterator<Item = u32> + Clone, least: usize) -> Vocabulary {
        let mut counts = vec![0; self.numbering.len()];
        let mut order = Vec::new();
        for row in rows {
            let number = self.numbers[row as usize];
            if counts[number as usize] == 0 {
                order.push(number);
            }
            counts[number as usize] += 1;
        }
        let frequent = order.into_iter().filter(|&number| counts[number as usize] >= least);
        frequent.map(|number| self.numbering.name(number)).collect()
    }

    /// The id of each row in a vocabulary of some of the texts.
    fn ids(&self, vocabulary: &Vocabulary) -> impl Iterator<Item = Option<u32>> {
        let known = vocabulary.ids();
        let names = self.numbering.names().names();
        let ids: Vec<Option<u32>> = names.map(|name| known.get(name).copied()).collect();
        self.numbers.iter().map(move |&number| ids[number as usize])
    }
}
