use std::error::Error;
use std::path::Path;

use moe_core::batch::TaskSpec;
use moe_data::{FeatureSchema, Unknown};
use moe_nn::{Models, Overrides, Predictor, SavedModel};
use moe_routers::Registry;
use serde::Serialize;
use serde_json::{Value, json};

use crate::rows::RowReader;

/// A saved run, loaded for predictions.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) predictor: Predictor,
    /// Turns the rows of a request into inputs.
    pub(crate) reader: RowReader,
    /// The class names of each task whose classes have names.
    pub(crate) class_names: Vec<Option<Vec<String>>>,
    /// The answer to `GET /model`.
    pub(crate) about: Value,
}

impl Served {
    /// Loads the best weights of the run in `path` and checks its files.
    pub(crate) fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let models = Models::from(moe_search::with_search(Registry::standard()));
        let saved = SavedModel::open(path)?;
        let description = saved.description(&models)?;
        let in_run = |problem: String| format!("{}: {problem}", path.display());
        let predictor = Predictor::of_saved(&saved, &Overrides::default(), &models)?;
        let router = description.router().map_or(description.kind(), |(router, _)| router);

        let schema: Option<FeatureSchema> = match saved.features() {
            Some(text) => Some(serde_json::from_str(text).map_err(|error| {
                in_run(format!("features.json is not a feature schema: {error}"))
            })?),
            None => None,
        };
        if schema.as_ref().is_some_and(|schema| !predictor.input().takes(&schema.input())) {
            return Err(
                in_run("features.json does not match the inputs of the model".into()).into()
            );
        }
        let names = |task: &TaskSpec| {
            let names = schema.as_ref()?.classes.get(&task.name)?;
            Some(names.names().map(str::to_owned).collect())
        };
        let class_names: Vec<Option<Vec<String>>> = predictor.tasks().iter().map(names).collect();
        let about = json!({
            "router": router,
            "epoch": saved.epoch(),
            "parameters": predictor.model().parameter_count(),
            "columns": columns(&predictor, schema.as_ref()),
            "tasks": predictor.tasks().iter().zip(&class_names).map(about_task).collect::<Vec<_>>(),
        });
        let reader = match schema {
            // It is used until the process ends.
            Some(schema) => RowReader::of_schema(Box::leak(Box::new(schema))),
            None => RowReader::of_inputs(predictor.input().clone()),
        };
        Ok(Served { predictor, reader, class_names, about })
    }
}

/// A field of a row in the answer to `GET /model`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Column<'a> {
    /// A name with an id.
    Id { name: &'a str, names: usize, unknown: Unknown },
    /// An id.
    PlainId { name: &'a str, ids: usize },
    /// A number.
    Number { name: &'a str },
    /// One of several categories.
    Category { name: &'a str, categories: Vec<&'a str> },
    /// A list of numbers.
    Numbers { name: &'a str, width: usize },
    /// A list of token ids.
    Tokens { name: &'a str, ids: usize, longest: usize },
}

fn columns<'a>(predictor: &'a Predictor, schema: Option<&'a FeatureSchema>) -> Vec<Column<'a>> {
    let Some(schema) = schema else {
        let input = predictor.input();
        let ids = input.columns.iter();
        let ids = ids.map(|id| Column::PlainId { name: &id.name, ids: id.vocabulary });
        let width = input.dense_width();
        let dense = (width > 0).then_some(Column::Numbers { name: crate::rows::DENSE, width });
        let tokens = input.tokens.map(|tokens| Column::Tokens {
            name: crate::rows::TOKENS,
            ids: tokens.vocabulary,
            longest: tokens.longest,
        });
        return ids.chain(dense).chain(tokens).collect();
    };
    let ids = schema.ids.iter().map(|column| Column::Id {
        name: &column.name,
        names: column.vocabulary.len(),
        unknown: column.unknown,
    });
    let numbers = schema.numbers.iter().map(|column| Column::Number { name: &column.name });
    let categories = schema.categories.iter().map(|column| Column::Category {
        name: &column.name,
        categories: column.vocabulary.names().collect(),
    });
    ids.chain(numbers).chain(categories).collect()
}

fn about_task((task, names): (&TaskSpec, &Option<Vec<String>>)) -> Value {
    let mut about = json!({ "name": task.name, "kind": task.kind.id() });
    if task.kind.fields().iter().any(|field| field.is_per_class) {
        about["classes"] = match names {
            Some(names) => json!(names),
            None => json!((0..task.kind.classes()).collect::<Vec<_>>()),
        };
    }
    about
}
