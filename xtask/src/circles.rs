//! Circles of files: no file of a crate may import from a file that imports from it, directly or through others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::slice;

use crate::code::Path;
use crate::sources::Source;
use crate::workspace::Workspace;

/// The files of a crate by the path of their module.
type Tree<'s> = BTreeMap<Vec<String>, &'s Source>;

/// The names that each module imports from each other module.
type Imports<'t> = BTreeMap<&'t [String], BTreeMap<Vec<String>, BTreeSet<String>>>;

/// All circles of all crates, each with the names that its files import. Tests are not checked.
pub(crate) fn problems(workspace: &Workspace, sources: &[Source]) -> BTreeSet<String> {
    let files: BTreeMap<&str, &Source> =
        sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let targets = workspace.packages.iter().flat_map(|package| &package.targets);
    let roots = targets.filter_map(|target| files.get(&*workspace.relative(&target.src_path)));
    let roots = roots.filter(|root| root.part != "tests");
    roots.flat_map(|root| circles(&tree(root, &files))).collect()
}

/// All modules of the crate with this root, except those of tests.
fn tree<'s>(root: &'s Source, files: &BTreeMap<&str, &'s Source>) -> Tree<'s> {
    let mut tree = Tree::from([(Vec::new(), root)]);
    let mut open = vec![(Vec::new(), root, root.folder().to_owned())];
    while let Some((module, source, folder)) = open.pop() {
        for name in &source.code.modules {
            let own = format!("{folder}/{name}");
            let file = files.get(&*format!("{own}.rs")).or(files.get(&*format!("{own}/mod.rs")));
            if let Some(file) = file {
                let child = [&module[..], slice::from_ref(name)].concat();
                tree.insert(child.clone(), file);
                open.push((child, file, own));
            }
        }
    }
    tree
}

/// The other module that a path in the file of `from` reaches, and the name that it takes from there. `None` if the path
/// stays in the file or leaves the crate.
fn reached(tree: &Tree<'_>, from: &[String], path: &Path) -> Option<(Vec<String>, String)> {
    let supers = path.segments.iter().take_while(|name| *name == "super").count();
    // Inside an inline module only `crate` and enough `super` lead out of the file.
    let (start, names) = match path.segments[0].as_str() {
        "crate" => (0, &path.segments[1..]),
        "super" => {
            (from.len().checked_sub(supers.checked_sub(path.depth)?)?, &path.segments[supers..])
        }
        _ if path.depth > 0 => return None,
        "self" => (from.len(), &path.segments[1..]),
        _ => (from.len(), &path.segments[..]),
    };
    let mut module = from[..start].to_vec();
    for name in names.iter().filter(|name| *name != "self") {
        let child = [&module[..], slice::from_ref(name)].concat();
        if !tree.contains_key(&child) {
            return (module != from).then(|| (module, name.clone()));
        }
        module = child;
    }
    let name = module.last().map_or("crate", String::as_str).to_owned();
    (module != from).then_some((module, name))
}

/// The circles of a crate: the sets of files of which each imports from each other one, directly or through others.
fn circles(tree: &Tree<'_>) -> Vec<String> {
    let mut imports = Imports::new();
    for (module, source) in tree {
        let of = imports.entry(module).or_default();
        for path in &source.code.paths {
            if let Some((other, name)) = reached(tree, module, path) {
                of.entry(other).or_default().insert(name);
            }
        }
    }
    let reach: BTreeMap<&[String], BTreeSet<&[String]>> =
        imports.keys().map(|&module| (module, all_reached(&imports, module))).collect();
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for (&module, reached) in &reach {
        if !reached.contains(module) || told.contains(module) {
            continue;
        }
        let circle: BTreeSet<_> =
            reached.iter().copied().filter(|other| reach[other].contains(module)).collect();
        let mut text = format!("circle of {} files:", circle.len());
        for &from in &circle {
            for (to, names) in imports[from].iter().filter(|(to, _)| circle.contains(&to[..])) {
                let names = names.iter().cloned().collect::<Vec<_>>().join(", ");
                let _ = write!(text, "\n    {} uses {names} of {}", tree[from].path, tree[to].path);
            }
        }
        told.extend(circle);
        found.push(text);
    }
    found
}

/// All modules that `from` imports from, directly or through others.
fn all_reached<'i>(imports: &'i Imports<'_>, from: &[String]) -> BTreeSet<&'i [String]> {
    let mut all = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for other in imports[module].keys() {
            if all.insert(&other[..]) {
                open.push(other);
            }
        }
    }
    all
}
