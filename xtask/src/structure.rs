//! `cargo xtask layers`: the checks that only read.

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{layers, manifest, required, run, sources};

/// Prints every problem of the crate graph, the manifests and the sources.
pub(crate) fn check() -> Result<()> {
    let root = run::root();
    let workspace = Workspace::load()?;
    let files = sources::load(&workspace, &root)?;
    let mut problems = layers::problems(&workspace);
    problems.extend(manifest::problems(&workspace, &root)?);
    problems.extend(required::problems(&workspace, &files));
    problems.extend(sources::problems(&files));
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => {
            println!(
                "{} packages and {} source files keep the rules",
                workspace.packages.len(),
                files.len()
            );
            Ok(())
        }
        1 => bail!("1 rule is broken"),
        count => bail!("{count} rules are broken"),
    }
}
