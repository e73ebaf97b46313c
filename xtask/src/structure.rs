//! `cargo xtask layers`: the checks that need no build.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::workspace::Workspace;
use crate::{circles, layers, manifest, required, run, sources};

/// Prints every problem of the crate graph, the manifests and the sources.
pub(crate) fn check() -> Result<()> {
    let problems = problems(&run::root())?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "rules broken: {}", problems.len());
    println!("crate graph, manifests and sources keep the rules");
    Ok(())
}

/// Everything that breaks a rule in the workspace at `root`.
fn problems(root: &Path) -> Result<Vec<String>> {
    let workspace = Workspace::load(root)?;
    let files = sources::load(&workspace)?;
    let mut problems = layers::problems(&workspace);
    problems.extend(manifest::problems(&workspace)?);
    problems.extend(required::problems(&workspace, &files));
    problems.extend(sources::problems(&files));
    problems.extend(circles::problems(&workspace, &files));
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::fs;

    #[derive(Deserialize)]
    struct Fixture {
        files: BTreeMap<String, String>,
        edits: Vec<Edit>,
    }

    #[derive(Debug, Deserialize)]
    struct Edit {
        file: String,
        #[serde(default)]
        old: String,
        #[serde(default)]
        new: String,
        times: Option<usize>,
        says: Vec<String>,
    }

    /// The problems of a workspace with these files.
    fn found(files: &BTreeMap<String, String>) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        problems(root.path()).unwrap()
    }

    #[test]
    fn each_edit_of_a_good_workspace_breaks_one_rule() {
        let Fixture { files, edits } =
            toml::from_str(include_str!("../fixtures/workspace.toml")).unwrap();
        assert_eq!(found(&files), [""; 0]);
        for edit in edits {
            let mut files = files.clone();
            for time in 0..edit.times.unwrap_or(1) {
                let file = edit.file.replace("{}", &time.to_string());
                let text = files.entry(file).or_default();
                assert!(text.contains(&edit.old), "{edit:?}: {text}");
                if edit.old.is_empty() {
                    text.push_str(&edit.new);
                } else {
                    *text = text.replace(&edit.old, &edit.new);
                }
            }
            let found = found(&files);
            assert_eq!(found.len(), usize::from(!edit.says.is_empty()), "{edit:?}: {found:#?}");
            let is_told = |text: &String| found[0].contains(text);
            assert!(edit.says.iter().all(is_told), "{edit:?}: {found:#?}");
        }
    }
}
