//! Rules for source files: the lints that they may allow, and the sizes of files and folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::code::Code;
use crate::workspace::Workspace;

/// Places of `unsafe`: one module with its files, and the counting allocators of tests, which cannot do without.
const UNSAFE: [&str; 4] = [
    "crates/moe-core/src/kernel/raw.rs",
    "crates/moe-core/src/kernel/raw/",
    "crates/moe-nn/tests/allocation.rs",
    "crates/moe-routers/tests/common/counting.rs",
];
/// The one library crate that may print.
const PRINTS: &str = "moe-bench";
/// Largest number of lines of a source file.
const LINES: usize = 400;
/// Largest number of source files in a folder.
const FILES: usize = 25;

/// A Rust file of a member.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The member's name.
    pub(crate) package: String,
    /// Whether the member is a library crate.
    library: bool,
    /// The member's folder that holds it: `src`, `tests`, `benches`.
    pub(crate) part: String,
    /// Its path from the root of the workspace, with `/`.
    pub(crate) path: String,
    lines: usize,
    pub(crate) code: Code,
}

impl Source {
    /// Whether the file may allow the lint.
    fn may_allow(&self, lint: &str) -> bool {
        match lint {
            "unsafe_code" => UNSAFE.iter().any(|place| self.path.starts_with(place)),
            "print_stdout" | "print_stderr" => {
                !self.library || self.package == PRINTS || self.part == "tests"
            }
            // The last two are groups.
            "dbg_macro" | "restriction" | "warnings" => false,
            _ => true,
        }
    }

    /// The folder that holds it.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// All Rust files of all members.
pub(crate) fn load(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for package in &workspace.packages {
        let folder = package.manifest.parent().unwrap_or(&workspace.root);
        for file in rust_files(folder)? {
            let path = workspace.relative(&file);
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
            let part = file.strip_prefix(folder).ok().and_then(|file| file.iter().next());
            sources.push(Source {
                package: package.name.clone(),
                library: package.is_library(),
                part: part.unwrap_or_default().to_string_lossy().into_owned(),
                lines: text.lines().count(),
                code: Code::read(&text).map_err(|error| anyhow!("{path} is not Rust: {error}"))?,
                path,
            });
        }
    }
    Ok(sources)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let unreadable = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Lints that are allowed in the wrong place, and files and folders that are too large, except those of tests.
pub(crate) fn problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut folders = BTreeMap::new();
    for source in sources {
        for lint in source.code.allowed.iter().filter(|lint| !source.may_allow(lint)) {
            problems.push(format!("{}: `{lint}` may not be allowed here", source.path));
        }
        if source.part != "tests" {
            *folders.entry(source.folder()).or_insert(0) += 1;
            if source.lines > LINES {
                problems.push(format!("{}: {} lines, at most {LINES}", source.path, source.lines));
            }
        }
    }
    for (folder, files) in folders.into_iter().filter(|(_, files)| *files > FILES) {
        problems.push(format!("{folder}: {files} source files, at most {FILES}"));
    }
    problems
}
