//! The manifests: every version stands once, in the table of the root manifest, and so do the lints.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::workspace::Workspace;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Lints that keep rules of `docs/architecture.md`: the root manifest must deny them.
const DENIED: [[&str; 2]; 4] = [
    ["rust", "unsafe_code"],
    ["clippy", "print_stdout"],
    ["clippy", "print_stderr"],
    ["clippy", "dbg_macro"],
];

/// Dependencies and lints of members that are not taken from the root manifest, and lints that it does not deny.
pub(crate) fn problems(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = not_denied(&read(&workspace.root.join("Cargo.toml"))?);
    for package in &workspace.packages {
        let manifest = read(&package.manifest)?;
        let found = own_versions(&manifest).into_iter().map(|name| {
            format!("dependency `{name}` must say `workspace = true`; its version belongs into the root manifest")
        });
        let lints = !inherits(manifest.get("lints"));
        let found = found.chain(lints.then(|| "`[lints]` must say `workspace = true`".to_owned()));
        let file = workspace.relative(&package.manifest);
        problems.extend(found.map(|problem| format!("{file}: {problem}")));
    }
    Ok(problems)
}

fn read(file: &Path) -> Result<Table> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not TOML", file.display()))
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
}

/// The names of the dependencies without `workspace = true`, those of single targets last.
fn own_versions(manifest: &Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter();
    let targets = targets.flat_map(Table::values).filter_map(Value::as_table);
    let mut names = Vec::new();
    for part in std::iter::once(manifest).chain(targets) {
        for table in TABLES {
            let dependencies = part.get(table).and_then(Value::as_table).into_iter().flatten();
            let own = dependencies.filter(|(_, dependency)| !inherits(Some(dependency)));
            names.extend(own.map(|(name, _)| format!("{table}.{name}")));
        }
    }
    names
}

/// A line for each of [`DENIED`] that the root manifest does not deny.
fn not_denied(root: &Table) -> Vec<String> {
    let lints = root.get("workspace").and_then(|workspace| workspace.get("lints"));
    let level = |[tool, lint]: [&str; 2]| lints?.get(tool)?.get(lint)?.as_str();
    let allowed = DENIED.into_iter().filter(|&lint| level(lint) != Some("deny"));
    allowed
        .map(|[tool, lint]| {
            format!("Cargo.toml: [workspace.lints.{tool}] must say `{lint} = \"deny\"`")
        })
        .collect()
}
