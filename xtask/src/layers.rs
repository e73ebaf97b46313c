//! The crate graph: which crate may depend on which.

use crate::workspace::{Kind, Workspace};

/// Each crate with its height in the picture of `docs/architecture.md` and the workspace crates that it may name.
const LAYERS: [(&str, u32, &[&str]); 7] = [
    ("xtask", 0, &[]),
    ("moe-core", 0, &[]),
    ("moe-routers", 1, &["moe-core"]),
    ("moe-data", 1, &["moe-core"]),
    ("moe-search", 2, &["moe-core", "moe-routers"]),
    ("moe-nn", 2, &["moe-core", "moe-routers"]),
    ("moe-bench", 3, &["moe-core", "moe-routers", "moe-data", "moe-search", "moe-nn"]),
];

fn layer(name: &str) -> Option<(u32, &'static [&'static str])> {
    let layer = LAYERS.iter().find(|(layer, ..)| *layer == name);
    layer.map(|(_, height, below)| (*height, *below))
}

/// Every dependency that the table does not allow, and every crate that it does not know. Tests may use any lower crate.
pub(crate) fn problems(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        let name = package.name.as_str();
        let Some((height, below)) = layer(name) else {
            if package.is_library() {
                problems.push(format!("crate `{name}` is not in the table of xtask/src/layers.rs"));
            }
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let is_member = layer(other).is_some() || workspace.package(other).is_some();
            let is_test = dependency.kind == Some(Kind::Dev);
            let is_lower = layer(other).is_some_and(|(other, _)| other < height);
            if is_member && !(if is_test { is_lower } else { below.contains(&other) }) {
                let (who, allowed) = if is_test {
                    ("tests of ", "every lower crate".to_owned())
                } else {
                    ("", format!("[{}]", below.join(", ")))
                };
                problems
                    .push(format!("{who}`{name}` may not depend on `{other}`; allowed: {allowed}"));
            }
        }
    }
    problems
}
