//! The eight libraries that the workspace is built on: each must be used in its place.

use crate::sources::Source;
use crate::workspace::{Kind, Package, Workspace};

/// Each library with the package that uses it (any library crate if empty), its table of dependencies there, and the
/// folder of the package whose files use it (any if empty).
const PLACES: [(&str, &str, Option<Kind>, &str); 8] = [
    ("ndarray", "moe-core", None, "src"),
    ("ndarray-rand", "moe-core", None, "src"),
    ("rayon", "moe-core", None, "src"),
    ("matrixmultiply", "moe-core", None, "src"),
    ("serde", "moe-core", None, "src"),
    ("bincode", "moe-core", None, "src"),
    ("criterion", "benches", Some(Kind::Dev), ""),
    ("approx", "", Some(Kind::Dev), ""),
];

/// Libraries that are missing, unused or requested in the wrong version or without their features.
pub(crate) fn problems(workspace: &Workspace, sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (library, owner, kind, part) in PLACES {
        let is_owner = |package: &&Package| {
            if owner.is_empty() { package.is_library() } else { package.name == owner }
        };
        let mut owners = workspace.packages.iter().filter(is_owner);
        let used = owners.any(|package| {
            let mut dependencies = package.dependencies.iter();
            let mut own = sources.iter().filter(|source| source.package == package.name);
            dependencies.any(|found| found.name == library && found.kind == kind)
                && own.any(|source| source.part.starts_with(part) && uses(source, library))
        });
        if !used {
            let owner = if owner.is_empty() { "a library crate" } else { owner };
            problems.push(format!("{owner} must depend on `{library}` and use it"));
        }
    }
    for package in &workspace.packages {
        let name = &package.name;
        for dependency in &package.dependencies {
            if dependency.name == "bincode" && !dependency.requirement.starts_with("=2.") {
                problems.push(format!(
                    "`{name}` asks for bincode `{}`; it must ask for one version 2 (`=2.`), since 3 does not build",
                    dependency.requirement
                ));
            }
            if dependency.name == "matrixmultiply" && !dependency.default_features {
                problems.push(format!(
                    "`{name}` names matrixmultiply without its default features, which hold the AVX-512 kernels"
                ));
            }
        }
    }
    problems
}

/// Returns whether a source has a path into the library other than a re-export.
fn uses(source: &Source, library: &str) -> bool {
    let library = library.replace('-', "_");
    source.code.paths.iter().any(|path| path.segments[0] == library && !path.is_reexport)
}
