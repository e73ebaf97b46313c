//! The crate graph: who may stand on whom.

use crate::workspace::{Kind, Workspace};

/// Each crate, lowest first, and the workspace crates that it may name. A crate may be absent.
const LAYERS: &[(&str, &[&str])] = &[
    ("xtask", &[]),
    ("moe-core", &[]),
    ("moe-routers", &["moe-core"]),
    ("moe-data", &["moe-core"]),
    ("moe-search", &["moe-core", "moe-routers"]),
    ("moe-nn", &["moe-core", "moe-routers"]),
    ("moe-bench", &["moe-core", "moe-routers", "moe-data", "moe-search", "moe-nn"]),
];

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(layer, _)| *layer == name).map(|(_, below)| *below)
}

/// How many layers lie below this one.
fn height(name: &str) -> Option<usize> {
    let below = allowed(name)?;
    Some(below.iter().filter_map(|name| height(name)).map(|height| height + 1).max().unwrap_or(0))
}

/// Every edge that the table does not allow, and every crate that it does not know.
///
/// Tests may in addition use any lower layer, whether the crate itself stands on it or not.
pub(crate) fn problems(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        let name = package.name.as_str();
        let Some(below) = allowed(name) else {
            if package.is_library() {
                problems.push(format!(
                    "crate `{name}` has no layer: add it to the table in xtask/src/layers.rs"
                ));
            }
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            if allowed(other).is_none() && workspace.package(other).is_none() {
                continue;
            }
            if dependency.kind == Kind::Dev {
                if height(other) >= height(name) || height(other).is_none() {
                    problems.push(format!(
                        "tests of `{name}` may not depend on `{other}`, which is not below it"
                    ));
                }
            } else if !below.contains(&other) {
                let list = if below.is_empty() {
                    "no workspace crate".to_owned()
                } else {
                    below.join(", ")
                };
                problems.push(format!("`{name}` may not depend on `{other}`; allowed: {list}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::testing::{dependency, library};

    fn workspace(edges: &[(&str, &[&str])]) -> Workspace {
        Workspace { packages: edges.iter().map(|(name, below)| library(name, below)).collect() }
    }

    #[test]
    fn the_table_names_only_crates_that_stand_before() {
        for (index, (name, below)) in LAYERS.iter().enumerate() {
            for other in *below {
                assert!(
                    LAYERS[..index].iter().any(|(earlier, _)| earlier == other),
                    "{name} -> {other}"
                );
            }
        }
    }

    #[test]
    fn the_whole_table_is_allowed() {
        assert_eq!(problems(&workspace(LAYERS)), [""; 0]);
    }

    #[test]
    fn outside_crates_and_absent_crates_do_not_matter() {
        let some = workspace(&[("moe-core", &["ndarray"]), ("moe-nn", &["moe-core", "serde"])]);
        assert_eq!(problems(&some), [""; 0]);
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        for (name, other) in [
            ("moe-core", "moe-routers"),
            ("moe-routers", "moe-nn"),
            ("moe-nn", "moe-data"),
            ("moe-nn", "moe-search"),
            ("moe-search", "moe-nn"),
            ("moe-data", "moe-routers"),
            ("moe-nn", "moe-bench"),
            ("xtask", "moe-core"),
        ] {
            let found = problems(&workspace(&[(name, &[other])]));
            assert_eq!(found.len(), 1, "{name} -> {other}: {found:?}");
            assert!(found[0].contains(name) && found[0].contains(other), "{found:?}");
        }
    }

    #[test]
    fn a_forbidden_edge_of_a_build_script_is_found() {
        let mut some = workspace(&[("moe-core", &[])]);
        some.packages[0].dependencies.push(dependency("moe-data", Kind::Build));
        assert_eq!(problems(&some).len(), 1);
    }

    #[test]
    fn tests_may_look_down_but_not_up_or_sideways() {
        let dev = |name: &str, other: &str| {
            let mut some = workspace(&[(name, &[]), ("demo", &[])]);
            some.packages[0].dependencies.push(dependency(other, Kind::Dev));
            some.packages.pop();
            problems(&some)
        };
        assert_eq!(dev("moe-nn", "moe-data"), [""; 0]);
        assert_eq!(dev("moe-bench", "moe-nn"), [""; 0]);
        assert_eq!(dev("moe-routers", "moe-nn").len(), 1);
        assert_eq!(dev("moe-nn", "moe-search").len(), 1);
        assert_eq!(dev("moe-core", "moe-bench").len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        let found = problems(&workspace(&[("moe-core", &[]), ("moe-extra", &[])]));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("moe-extra"));
    }

    #[test]
    fn a_library_may_not_depend_on_an_example() {
        let mut some = workspace(&[("moe-nn", &["example-router"]), ("example-router", &[])]);
        some.packages[1].manifest = "examples/router/Cargo.toml".into();
        assert_eq!(problems(&some).len(), 1);
    }
}
