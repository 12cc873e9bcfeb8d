//! Which module of a crate names which other, read from its sources.
//!
//! A module is a file. It names another where a `use` or a path in its code leads into that file;
//! what a crate's root re-exports is counted for nobody. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{Source, rust_sources};

/// A module by the names of its path; the crate's root has none.
type Module = Vec<String>;

/// The modules of one crate and what each names.
#[derive(Debug)]
pub struct ModuleGraph {
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl ModuleGraph {
    /// The graph of the crate that lies in a directory of the workspace.
    pub fn of_crate(directory: &str) -> Self {
        let root = format!("{directory}/src");
        let sources: BTreeMap<Module, Source> = rust_sources(&root)
            .into_iter()
            .filter_map(|source| Some((module_of(&source, &root)?, source)))
            .collect();
        let known: BTreeSet<&Module> = sources.keys().collect();
        let edges = sources.iter().map(|(module, source)| {
            let code: String = source.code_lines().map(|(_, line)| format!("{line}\n")).collect();
            let paths = paths(&code);
            let named = paths.iter().filter_map(|path| resolve(path, module, &known));
            let others = named.filter(|other| other != module && !other.is_empty());
            (module.clone(), others.collect())
        });
        Self { edges: edges.collect() }
    }

    /// Groups of more than one module each of which leads to every other, largest first, as
    /// slash-separated paths in order.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            self.edges.keys().map(|module| (module, self.reachable(module))).collect();
        let mut found = BTreeSet::new();
        for (module, there) in &reach {
            let circle: Vec<String> = there
                .iter()
                .filter(|other| reach.get(**other).is_some_and(|back| back.contains(module)))
                .map(|other| if other.is_empty() { "lib".to_owned() } else { other.join("/") })
                .collect();
            if circle.len() > 1 {
                found.insert(circle);
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        found
    }

    fn reachable(&self, from: &Module) -> BTreeSet<&Module> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Module> = self.edges.get(from).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(self.edges.get(module).into_iter().flatten());
            }
        }
        seen
    }
}

fn module_of(source: &Source, root: &str) -> Option<Module> {
    let path = source.path.strip_prefix(root).ok()?.with_extension("");
    let names: Module = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    match names.as_slice() {
        [one] if one == "lib" || one == "main" => Some(Vec::new()),
        [first, ..] if first == "bin" => None,
        _ => Some(names),
    }
}

/// Every path in the code that may lead to a module: of `use` items, with their braces undone, and
/// those that begin with `crate`, `self` or `super`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("use ") {
        let starts = before.is_empty() || before.ends_with(['\n', ' ']);
        match after.split_once(';') {
            Some((tree, behind)) if starts => {
                expand(&[], tree, &mut found);
                rest = behind;
            }
            _ => rest = after,
        }
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let whole =
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let end = code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let path = &code[at..end.map_or(code.len(), |end| at + end)];
            if whole {
                found.push(names(path));
            }
        }
    }
    found
}

/// Undoes the braces of a `use` tree.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let Some((head, body)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return found.push([prefix, &names(path)].concat());
    };
    let prefix = [prefix, &names(head)].concat();
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in body.char_indices().chain([(body.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = body[from..at].trim();
                if !part.is_empty() {
                    expand(&prefix, part, found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

fn names(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The innermost known module that a path leads into, as seen from the module that names it.
fn resolve(path: &[String], from: &Module, known: &BTreeSet<&Module>) -> Option<Module> {
    let mut module = from.clone();
    let mut rest = path.iter().peekable();
    match rest.peek()?.as_str() {
        "crate" => {
            module.clear();
            rest.next();
        }
        "self" => drop(rest.next()),
        "super" => {
            while rest.next_if(|name| *name == "super").is_some() {
                module.pop();
            }
        }
        name => {
            let child = [module.as_slice(), &[name.to_owned()]].concat();
            if !known.contains(&child) {
                return None;
            }
        }
    }
    for name in rest {
        let inner = [module.as_slice(), std::slice::from_ref(name)].concat();
        if !known.contains(&inner) {
            break;
        }
        module = inner;
    }
    Some(module)
}
