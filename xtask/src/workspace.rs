//! The workspace as `cargo metadata` describes it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::run;

/// The members of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// A member.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(rename = "manifest_path")]
    pub(crate) manifest: PathBuf,
    /// The registries that it may be published to; `None` allows all of them.
    publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest names it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(rename = "req")]
    pub(crate) requirement: String,
    /// `None` for a normal dependency.
    pub(crate) kind: Option<Kind>,
    #[serde(rename = "uses_default_features")]
    pub(crate) default_features: bool,
}

/// The table of a dependency that is not a normal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Build,
    Dev,
}

/// A library, program, test or benchmark.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// The file of its crate root.
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace at `root`.
    pub(crate) fn load(root: &Path) -> Result<Workspace> {
        let mut command = run::command(&["metadata", "--format-version", "1", "--no-deps"]);
        let text = run::stdout(command.arg("--manifest-path").arg(root.join("Cargo.toml")))?;
        serde_json::from_str(&text).context("cannot read what cargo metadata printed")
    }

    /// The member with this name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// A file's path from the root, with `/`.
    pub(crate) fn relative(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy().replace('\\', "/")
    }
}

impl Package {
    /// Returns whether it is one of the library crates, which lie in `crates/`.
    pub(crate) fn is_library(&self) -> bool {
        let crates = self.manifest.parent().and_then(|own| own.parent());
        crates.is_some_and(|folder| folder.ends_with("crates"))
    }

    pub(crate) fn is_publishable(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}
