//! What the checks need to know of the workspace, read from `cargo metadata`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run;

/// The members of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Absolute path of its manifest.
    pub(crate) manifest: PathBuf,
    pub(crate) publishable: bool,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as a manifest names it.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) requirement: String,
    pub(crate) kind: Kind,
    pub(crate) default_features: bool,
}

/// The table that a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Workspace> {
        let text = run::cargo_stdout(&["metadata", "--format-version", "1", "--no-deps"])?;
        let metadata: Value =
            serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
        Workspace::read(&metadata).context("cargo metadata printed something unexpected")
    }

    fn read(metadata: &Value) -> Option<Workspace> {
        let packages = metadata["packages"].as_array()?.iter().map(Package::read);
        Some(Workspace { packages: packages.collect::<Option<_>>()? })
    }

    /// The member with this name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    fn read(package: &Value) -> Option<Package> {
        let dependencies = package["dependencies"].as_array()?.iter().map(Dependency::read);
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            manifest: PathBuf::from(package["manifest_path"].as_str()?),
            // `publish` lists the registries that are allowed; null allows all of them.
            publishable: package["publish"].as_array().is_none_or(|allowed| !allowed.is_empty()),
            dependencies: dependencies.collect::<Option<_>>()?,
        })
    }

    /// Whether it is one of the library crates, which live in `crates/`.
    pub(crate) fn is_library(&self) -> bool {
        let crates = self.manifest.parent().and_then(|own| own.parent());
        crates.is_some_and(|folder| folder.ends_with("crates"))
    }
}

impl Dependency {
    fn read(dependency: &Value) -> Option<Dependency> {
        Some(Dependency {
            name: dependency["name"].as_str()?.to_owned(),
            requirement: dependency["req"].as_str()?.to_owned(),
            kind: match dependency["kind"].as_str() {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(_) => return None,
            },
            default_features: dependency["uses_default_features"].as_bool()?,
        })
    }
}

/// Small workspaces for the tests of the checks.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A package in `crates/`, with normal dependencies on the given names.
    pub(crate) fn library(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            manifest: PathBuf::from(format!("crates/{name}/Cargo.toml")),
            publishable: true,
            dependencies: dependencies.iter().map(|name| dependency(name, Kind::Normal)).collect(),
        }
    }

    /// A dependency on any version, with default features.
    pub(crate) fn dependency(name: &str, kind: Kind) -> Dependency {
        Dependency {
            name: name.to_owned(),
            requirement: "*".to_owned(),
            kind,
            default_features: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cargo_prints() {
        let metadata = serde_json::json!({"packages": [
            {"name": "moe-core", "manifest_path": "a/crates/moe-core/Cargo.toml", "publish": null,
             "dependencies": [
                {"name": "bincode", "req": "=2.0.1", "kind": null, "uses_default_features": false},
                {"name": "approx", "req": "^0.5", "kind": "dev", "uses_default_features": true}]},
            {"name": "xtask", "manifest_path": "a/xtask/Cargo.toml", "publish": [], "dependencies": []},
        ]});
        let workspace = Workspace::read(&metadata).unwrap();
        let core = workspace.package("moe-core").unwrap();
        assert!(core.is_library() && core.publishable);
        assert_eq!(core.dependencies[0].requirement, "=2.0.1");
        assert!(!core.dependencies[0].default_features);
        assert_eq!(core.dependencies[1].kind, Kind::Dev);
        let xtask = workspace.package("xtask").unwrap();
        assert!(!xtask.is_library() && !xtask.publishable);
        assert!(Workspace::read(&serde_json::json!({"packages": [{}]})).is_none());
    }
}
