//! The sources: where `unsafe` may stand, and who may print.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::code::{code_only, lines_with};
use crate::workspace::Workspace;

/// The one module that may say `unsafe`, and the allocators of tests that count, which cannot be written without.
const UNSAFE_FILES: &[&str] = &[
    "crates/moe-core/src/kernel/raw.rs",
    "crates/moe-core/src/kernel/raw/lanes.rs",
    "crates/moe-core/src/kernel/raw/nonzeros.rs",
    "crates/moe-core/src/kernel/raw/pack.rs",
    "crates/moe-core/src/kernel/raw/panels.rs",
    "crates/moe-core/src/kernel/raw/row.rs",
    "crates/moe-core/src/kernel/raw/sparse.rs",
    "crates/moe-core/src/kernel/raw/tile.rs",
    "crates/moe-nn/tests/allocation.rs",
    "crates/moe-routers/tests/common/counting.rs",
];
/// The one library crate that may print.
const PRINTS: &str = "moe-bench";

/// A Rust file of a member.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The member's name.
    pub(crate) package: String,
    /// Whether the member is a library crate.
    pub(crate) library: bool,
    /// Whether it lies in the member's `src`, and not among its tests or examples.
    pub(crate) shipped: bool,
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    /// Without comments and text in quotes.
    pub(crate) code: String,
}

/// All Rust files of all members.
pub(crate) fn load(workspace: &Workspace, root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for package in &workspace.packages {
        let folder = package.manifest.parent().unwrap_or(root);
        let mut files = Vec::new();
        rust_files(folder, &mut files)?;
        for file in files {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            sources.push(Source {
                package: package.name.clone(),
                library: package.is_library(),
                shipped: file.starts_with(folder.join("src")),
                path: file.strip_prefix(root).unwrap_or(&file).to_string_lossy().replace('\\', "/"),
                code: code_only(&text),
            });
        }
    }
    Ok(sources)
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                rust_files(&path, files)?;
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// `unsafe` outside its file, and prints outside their crate.
pub(crate) fn problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        let mut forbid = |word: &str, after: &str, why: &str| {
            for line in lines_with(&source.code, word, after) {
                problems.push(format!("{}:{line}: `{word}{after}` {why}", source.path));
            }
        };
        if !UNSAFE_FILES.contains(&source.path.as_str()) {
            forbid("unsafe", "", &format!("may stand only in {}", UNSAFE_FILES.join(" and ")));
        }
        forbid("dbg", "!", "is for the moment only");
        if source.library && source.package != PRINTS && source.shipped {
            for word in ["print", "println", "eprint", "eprintln"] {
                forbid(word, "!", &format!("in a library; only `{PRINTS}` prints"));
            }
        }
    }
    problems
}

/// Sources for the tests of the checks.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A file of a library crate.
    pub(crate) fn source(package: &str, file: &str, text: &str) -> Source {
        Source {
            package: package.to_owned(),
            library: true,
            shipped: file.starts_with("src/"),
            path: format!("crates/{package}/{file}"),
            code: code_only(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::source;
    use super::*;

    #[test]
    fn unsafe_is_found_wherever_it_stands() {
        for code in
            ["unsafe { x() }", "unsafe fn f() {}", "unsafe impl Send for A {}", "unsafe\n{ x() }"]
        {
            assert!(problems(&[source("moe-core", "src/kernel/raw.rs", code)]).is_empty());
            assert_eq!(problems(&[source("moe-core", "src/tensor.rs", code)]).len(), 1, "{code}");
            assert_eq!(problems(&[source("moe-nn", "src/kernel/raw.rs", code)]).len(), 1, "{code}");
            assert_eq!(problems(&[source("moe-bench", "tests/a.rs", code)]).len(), 1, "{code}");
        }
        let words = "#![allow(unsafe_code)] // unsafe {\nlet s = \"unsafe {\";";
        assert!(problems(&[source("moe-core", "src/tensor.rs", words)]).is_empty());
    }

    #[test]
    fn only_the_bench_crate_and_tests_print() {
        let text = "/// println!(\"doc\")\nfn f() {\n    println!(\"{}\", 1);\n}\n";
        let found = problems(&[source("moe-nn", "src/a.rs", text)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/moe-nn/src/a.rs:3:"), "{found:?}");
        assert!(problems(&[source("moe-bench", "src/a.rs", text)]).is_empty());
        assert!(problems(&[source("moe-nn", "tests/a.rs", text)]).is_empty());
        for word in ["print", "eprint", "eprintln"] {
            assert_eq!(
                problems(&[source("moe-core", "src/a.rs", &format!("{word}!(\"\")"))]).len(),
                1
            );
        }
    }

    #[test]
    fn dbg_is_found_everywhere() {
        assert_eq!(problems(&[source("moe-bench", "tests/a.rs", "dbg!(x);")]).len(), 1);
        assert_eq!(problems(&[source("moe-core", "src/kernel/raw.rs", "dbg!(x);")]).len(), 1);
    }
}
