//! The eight libraries that this workspace is built on, and that each is really used where it belongs.

use crate::code::lines_with;
use crate::sources::Source;
use crate::workspace::{Kind, Package, Workspace};

/// Normal dependencies of `moe-core`.
const CORE: [&str; 6] = ["ndarray", "ndarray-rand", "rayon", "matrixmultiply", "serde", "bincode"];

/// What is missing or named in the wrong way.
pub(crate) fn problems(workspace: &Workspace, sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for library in CORE {
        if !names(workspace.package("moe-core"), library, Kind::Normal) {
            problems.push(format!("`moe-core` does not depend on `{library}`"));
        } else if !sources.iter().any(|source| source.shipped && uses(source, "moe-core", library))
        {
            problems
                .push(format!("`moe-core` depends on `{library}`, but its sources do not use it"));
        }
    }

    let benches = workspace.package("benches");
    if !names(benches, "criterion", Kind::Normal) && !names(benches, "criterion", Kind::Dev) {
        problems.push("no package `benches` that depends on `criterion`".to_owned());
    } else if !sources.iter().any(|source| uses(source, "benches", "criterion")) {
        problems.push("`benches` depends on `criterion`, but its sources do not use it".to_owned());
    }

    // Where approx is for tests only, any file that names it is a test.
    let tested = workspace.packages.iter().filter(|package| package.is_library()).any(|package| {
        names(Some(package), "approx", Kind::Dev)
            && sources.iter().any(|source| uses(source, &package.name, "approx"))
    });
    if !tested {
        problems.push("no library crate uses `approx` in its tests".to_owned());
    }

    for package in &workspace.packages {
        for dependency in &package.dependencies {
            if dependency.name == "bincode" && !is_major_two(&dependency.requirement) {
                problems.push(format!(
                    "`{}` asks for bincode `{}`; it must stay at 2, since 3 does not build",
                    package.name, dependency.requirement
                ));
            }
            if dependency.name == "matrixmultiply" && !dependency.default_features {
                problems.push(format!(
                    "`{}` names matrixmultiply without its default features, which hold the AVX-512 kernels",
                    package.name
                ));
            }
        }
    }
    problems
}

fn names(package: Option<&Package>, library: &str, kind: Kind) -> bool {
    package.is_some_and(|package| {
        package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == library && dependency.kind == kind)
    })
}

/// Whether a source of the package has a path into the library, other than to pass it on.
fn uses(source: &Source, package: &str, library: &str) -> bool {
    source.package == package
        && lines_with(&source.code, &library.replace('-', "_"), "::").into_iter().any(|line| {
            let text = source.code.lines().nth(line - 1).unwrap_or_default();
            !text.trim_start().starts_with("pub use")
        })
}

/// Whether the requirement can be met by versions 2.x only.
fn is_major_two(requirement: &str) -> bool {
    let version = requirement.trim_start_matches(['=', '^', '~', ' ']);
    version == "2" || version.starts_with("2.") && !version.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::source;
    use crate::workspace::testing::{dependency, library};

    fn good() -> (Workspace, Vec<Source>) {
        let mut core = library("moe-core", &CORE);
        core.dependencies.iter_mut().find(|found| found.name == "bincode").unwrap().requirement =
            "=2.0.1".into();
        core.dependencies.push(dependency("approx", Kind::Dev));
        let mut benches = library("benches", &["criterion"]);
        benches.manifest = "benches/Cargo.toml".into();
        let uses = CORE.map(|name| format!("use {}::x;\n", name.replace('-', "_"))).concat();
        let sources = vec![
            source("moe-core", "src/a.rs", &uses),
            source("moe-core", "tests/b.rs", "approx::assert_relative_eq!(1.0, 1.0);"),
            Source {
                package: "benches".into(),
                library: false,
                shipped: false,
                path: "benches/benches/all.rs".into(),
                code: "use criterion::Criterion;".into(),
            },
        ];
        (Workspace { packages: vec![core, benches] }, sources)
    }

    #[test]
    fn all_eight_in_their_places() {
        let (workspace, sources) = good();
        assert_eq!(problems(&workspace, &sources), [""; 0]);
    }

    #[test]
    fn a_library_that_is_not_named_is_found() {
        for name in CORE.into_iter().chain(["criterion", "approx"]) {
            let (mut workspace, sources) = good();
            for package in &mut workspace.packages {
                package.dependencies.retain(|dependency| dependency.name != name);
            }
            let found = problems(&workspace, &sources);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(name), "{found:?}");
        }
    }

    #[test]
    fn a_library_that_is_named_and_not_used_is_found() {
        for name in CORE.into_iter().chain(["criterion", "approx"]) {
            let (workspace, mut sources) = good();
            let word = format!("{}::", name.replace('-', "_"));
            for source in &mut sources {
                let lines = source.code.lines().filter(|line| {
                    !line.trim_start().trim_start_matches("use ").starts_with(&word)
                });
                source.code = lines.collect::<Vec<_>>().join("\n");
            }
            let found = problems(&workspace, &sources);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(name), "{found:?}");
        }
    }

    #[test]
    fn passing_a_library_on_is_no_use() {
        let (workspace, mut sources) = good();
        sources[0].code = sources[0].code.replace("use ndarray_rand", "pub use ndarray_rand");
        assert_eq!(problems(&workspace, &sources).len(), 1);
    }

    #[test]
    fn bincode_stays_at_two() {
        for good in ["=2.0.1", "^2.0", "2", "~2.0.1"] {
            assert!(is_major_two(good), "{good}");
        }
        for bad in ["3", "^3.0.0", "*", ">=2.0.1", "^1.3", "20", ">2, <4"] {
            assert!(!is_major_two(bad), "{bad}");
            let (mut workspace, sources) = good();
            let all = &mut workspace.packages[0].dependencies;
            all.iter_mut().find(|found| found.name == "bincode").unwrap().requirement = bad.into();
            assert_eq!(problems(&workspace, &sources).len(), 1, "{bad}");
        }
    }

    #[test]
    fn matrixmultiply_keeps_its_default_features() {
        let (mut workspace, sources) = good();
        let all = &mut workspace.packages[0].dependencies;
        all.iter_mut().find(|found| found.name == "matrixmultiply").unwrap().default_features =
            false;
        assert_eq!(problems(&workspace, &sources).len(), 1);
    }
}
