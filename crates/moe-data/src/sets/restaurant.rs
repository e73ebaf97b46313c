//! Restaurant & Consumer Data: users' ratings of places, three marks from 0 to 2.
//!
//! Ids of users (138) and places (130) are numbered in the order of their first appearance in the file. The three marks
//! are regression tasks, and every row has all three. The 1,161 rows are split at random into train (929), validation
//! (116) and test (116). A row's id is its index in the file.

use moe_core::batch::TaskKind;

use crate::catalog::entry::{Entry, Origin};
use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Features, Table};
use crate::error::DataError;
use crate::features::schema::{FeatureSchema, IdFeature};
use crate::features::vocabulary::Numbering;
use crate::formats::delimited::Delimited;
use crate::formats::dialect::Dialect;
use crate::options::LoadOptions;

const ID: &str = "restaurant";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "users' marks for restaurants, their food and their service",
    origin: Origin::Embedded,
    terms: "CC BY 4.0; R. Vargas-Govea, G. Gonzalez-Serna and R. Ponce-Medellin, UCI Machine Learning Repository",
    facts: &[
        ("rows", 1161.0),
        ("ids.user", 138.0),
        ("ids.place", 130.0),
        ("rating.0", 254.0),
        ("rating.1", 421.0),
        ("rating.2", 486.0),
        ("food_rating.0", 266.0),
        ("service_rating.0", 315.0),
    ],
    takes: &["unknown"],
    load,
    ..Entry::NEW
};

const FILE: &[u8] = include_bytes!("../../data/restaurant-rating_final.csv");
const NAMES: &[&str] = &["userID", "placeID", "rating", "food_rating", "service_rating"];
const TASKS: [&str; 3] = ["rating", "food_rating", "service_rating"];
const BEST: u32 = 2;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let (mut users, mut places) = (Numbering::default(), Numbering::default());
    let mut ids = vec![Vec::new(), Vec::new()];
    let mut marks = [const { Vec::new() }; 3];
    let mut fields =
        Delimited::embedded("rating_final.csv", FILE, Dialect::PLAIN)?.with_columns(NAMES);
    fields.skip_header()?;
    while fields.read()? {
        ids[0].push(users.number(fields.name(0)?));
        ids[1].push(places.number(fields.name(1)?));
        for (task, marks) in marks.iter_mut().enumerate() {
            marks.push(fields.whole(2 + task, BEST)? as f32);
        }
    }

    let rows = ids[0].len();
    // 20 % for validation and test, half of them for each.
    let [train, rest] = split::cut((0..rows as u32).collect(), 20, options.seed, "restaurant");
    let [val, test] = split::cut(rest, 50, options.seed, "restaurant test");

    let names = [("user", users.into_names()), ("place", places.into_names())];
    let columns = names
        .into_iter()
        .zip(&mut ids)
        .map(|((name, names), ids)| IdFeature::of(name, names, options.unknown, ids, &train));
    let schema = FeatureSchema { ids: columns.collect(), ..FeatureSchema::default() };
    let tasks = TASKS.into_iter().zip(marks.map(Column::Values));
    let tasks = tasks.map(|(name, marks)| (name, TaskKind::regression(), marks));
    let table = Table::new(schema.input(), Features::ids(ids), tasks);
    Ok(Dataset::new(ID, table, [train, val, test])?.with_schema(schema))
}
