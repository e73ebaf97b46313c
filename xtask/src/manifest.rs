//! The manifests: every version stands once, in the table of the root manifest.

use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Every dependency of a member that is not taken from the root table.
pub(crate) fn problems(workspace: &Workspace, root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        let file = package.manifest.strip_prefix(root).unwrap_or(&package.manifest);
        let text = std::fs::read_to_string(&package.manifest)
            .with_context(|| format!("cannot read {}", file.display()))?;
        problems.extend(own_versions(&text).into_iter().map(|name| {
            format!(
                "{}: dependency `{name}` must say `workspace = true`; its version belongs into the root manifest",
                file.display()
            )
        }));
    }
    Ok(problems)
}

/// The names of the dependencies without `workspace = true`, in the order of the file.
fn own_versions(manifest: &str) -> Vec<String> {
    // Each dependency, and whether it was seen to come from the workspace.
    let mut seen: Vec<(String, bool)> = Vec::new();
    let mut note =
        |name: &str, inherited: bool| match seen.iter_mut().find(|(known, _)| known == name) {
            Some((_, before)) => *before |= inherited,
            None => seen.push((name.to_owned(), inherited)),
        };
    let mut table = Vec::new();
    for statement in statements(manifest) {
        if let Some(header) = statement.strip_prefix('[') {
            table = keys(header.trim_matches(['[', ']']));
            if let [.., parent, name] = &table[..]
                && TABLES.contains(&parent.as_str())
            {
                note(&format!("{parent}.{name}"), false);
            }
            continue;
        }
        let Some((key, value)) = statement.split_once('=') else {
            continue;
        };
        let mut path = table.clone();
        path.extend(keys(key));
        let Some(at) = path.iter().position(|key| TABLES.contains(&key.as_str())) else {
            continue;
        };
        let value: String = value.split_whitespace().collect();
        let inherited = match &path[at + 1..] {
            [_, field] => field == "workspace" && value == "true",
            [_] => value.contains("workspace=true"),
            _ => continue,
        };
        note(&format!("{}.{}", path[at], path[at + 1]), inherited);
    }
    seen.into_iter().filter(|(_, inherited)| !inherited).map(|(name, _)| name).collect()
}

/// The manifest's lines without comments, those of one value joined.
fn statements(manifest: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    let (mut depth, mut quote, mut comment) = (0, None, false);
    for c in manifest.chars().chain(['\n']) {
        match c {
            '\n' => comment = false,
            _ if comment => continue,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '#' => {
                comment = true;
                continue;
            }
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if c == '\n' && depth == 0 && quote.is_none() {
            let statement = current.trim();
            if !statement.is_empty() {
                statements.push(statement.to_owned());
            }
            current.clear();
        } else {
            current.push(c);
        }
    }
    statements
}

/// The parts of a dotted key.
fn keys(dotted: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut quote = None;
    for c in dotted.trim().chars() {
        match c {
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '.' if quote.is_none() => keys.push(String::new()),
            _ if quote.is_none() && c.is_whitespace() => {}
            _ => keys.last_mut().expect("never empty").push(c),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_dependencies_are_fine() {
        let manifest = r#"
            [package]
            name = "a" # version = "1"
            version.workspace = true
            description = "one # two"

            [features]
            fast = ["dep:c"]

            [dependencies]
            a.workspace = true
            b = { workspace = true, features = ["x"] }
            c = { workspace = true, optional = true, features = [
                "x", # a comment with a ]
                "y",
            ] }
            d.workspace = true
            d.features = ["x"]

            [target.'cfg(target_os = "linux")'.dependencies]
            e = { workspace = true }

            [dev-dependencies.f]
            features = ["x"]
            workspace = true
        "#;
        assert_eq!(own_versions(manifest), [""; 0]);
    }

    #[test]
    fn a_version_in_a_crate_is_found() {
        let manifest = r#"
            [dependencies]
            a = "1"
            b = { version = "1", features = ["workspace"] }
            c.version = "1"
            d = { path = "../d" }
            fine.workspace = true

            [build-dependencies]
            fine = "1"

            [target.'cfg(any(unix, target_os = "a.b"))'.dev-dependencies]
            e = { git = "somewhere" }

            [dependencies.f]
            version = "1"
        "#;
        let expected = ["a", "b", "c", "d"].map(|name| format!("dependencies.{name}"));
        let rest =
            ["build-dependencies.fine", "dev-dependencies.e", "dependencies.f"].map(str::to_owned);
        assert_eq!(own_versions(manifest), [&expected[..], &rest[..]].concat());
    }
}
