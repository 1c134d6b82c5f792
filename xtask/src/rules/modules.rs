//! Rules about modules: they form no cycle at any depth, and each name is imported from where it is defined.

use crate::sources::{Source, Violation, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// A module or an item, as the parts of its path from the crate's root.
type Path<'a> = Vec<&'a str>;

/// One use of `target` in `source`.
struct Use<'a> {
    source: &'a Source,
    line: usize,
    /// The module of the file.
    module: Path<'a>,
    target: Path<'a>,
    /// The name under which the file itself exports the target.
    exported: Option<&'a str>,
}

impl Use<'_> {
    /// Whether the file exports the target without using it itself.
    fn is_only_exported(&self) -> bool {
        let tokens = tokens(&self.source.product);
        let is_mention = |pair: &&[(&str, usize)]| pair[0].0 != "." && Some(pair[1].0) == self.exported;
        self.exported.is_some() && tokens.windows(2).filter(is_mention).count() == 1
    }
}

/// The modules of one crate, and what they use.
struct Crate<'a> {
    modules: BTreeSet<Path<'a>>,
    /// What a module exports from elsewhere, by the module and the name.
    exports: BTreeMap<(Path<'a>, &'a str), Path<'a>>,
    uses: Vec<Use<'a>>,
}

/// One violation per use that closes a cycle.
pub(crate) fn cycles(sources: &[Source]) -> Vec<Violation> {
    crates(sources, |source| &source.product).iter().flat_map(Crate::cycles).collect()
}

/// Inside a crate, what `lib.rs` exports is imported from the module that defines it.
pub(crate) fn imports_through_lib(sources: &[Source]) -> Vec<Violation> {
    crates(sources, |source| &source.code).iter().flat_map(Crate::imports_through_lib).collect()
}

fn crates(sources: &[Source], code: fn(&Source) -> &str) -> Vec<Crate<'_>> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        if let Some((root, _)) = source.in_src() {
            crates.entry(root).or_default().push(source);
        }
    }
    crates.values().map(|files| Crate::new(files, code)).collect()
}

impl<'a> Crate<'a> {
    fn new(files: &[&'a Source], code: fn(&Source) -> &str) -> Self {
        let mut modules = BTreeSet::new();
        for path in files.iter().map(|source| module(source)) {
            modules.extend((0..=path.len()).map(|len| path[..len].to_vec()));
        }
        let uses: Vec<_> = files.iter().flat_map(|source| uses(source, code(source), &modules)).collect();
        let export = |used: &Use<'a>| Some(((used.module.clone(), used.exported?), used.target.clone()));
        Self { exports: uses.iter().filter_map(export).collect(), modules, uses }
    }

    fn cycles(&self) -> Vec<Violation> {
        // Below each parent, which of its children uses which; the parent's own file is the child "mod".
        let mut edges: BTreeMap<(&[&str], &str), BTreeMap<&str, &Use<'_>>> = BTreeMap::new();
        let resolved: Vec<_> =
            self.uses.iter().map(|used| (used, self.defining_module(&used.target))).collect();
        for (used, target) in &resolved {
            let from = &used.module;
            let is_own_export = target.starts_with(from) && used.is_only_exported();
            let shared = from.iter().zip(target).take_while(|(a, b)| a == b).count();
            let child = |path: &[&'a str]| path.get(shared).copied().unwrap_or("mod");
            if from != target && !is_own_export && !from.is_empty() && !target.is_empty() {
                let targets = edges.entry((&from[..shared], child(from))).or_default();
                targets.entry(child(target)).or_insert(used);
            }
        }
        let mut violations = Vec::new();
        for ((parent, from), targets) in &edges {
            for (to, used) in targets {
                let targets_of =
                    |child| edges.get(&(*parent, child)).into_iter().flat_map(BTreeMap::keys).copied();
                if is_reachable(to, from, targets_of) {
                    let [from, to] = [from, to].map(|child| [*parent, &[*child]].concat().join("::"));
                    let advice = format!(
                        "module {from} uses {to}, which uses {from} again; move what both need below them"
                    );
                    violations.push(used.source.violation(used.line, advice));
                }
            }
        }
        violations
    }

    fn imports_through_lib(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for used in self.uses.iter().filter(|used| !used.module.is_empty()) {
            let Some(name) = used.target.first() else { continue };
            let Some(target) = self.exports.get(&(Vec::new(), name)) else { continue };
            let [defining @ .., _] = &target[..] else { continue };
            if !self.modules.contains(&used.target[..1]) && self.modules.contains(defining) {
                let advice = format!(
                    "imports {name} through lib.rs; import it from crate::{}, which defines it",
                    defining.join("::")
                );
                violations.push(used.source.violation(used.line, advice));
            }
        }
        violations
    }

    /// The module that defines what `path` names, behind all exports.
    fn defining_module(&self, path: &[&'a str]) -> Path<'a> {
        let mut path = path.to_vec();
        let mut len = 0;
        // An export leads to another path; a chain of them is short.
        for _ in 0..path.len() + 8 {
            let Some(name) = path.get(len).copied() else { break };
            if self.modules.contains(&path[..=len]) {
                len += 1;
            } else if let Some(target) = self.exports.get(&(path[..len].to_vec(), name)) {
                path = [&target[..], &path[len + 1..]].concat();
                len = 0;
            } else {
                break;
            }
        }
        path.truncate(len);
        path
    }
}

/// `["store", "batch"]` for `src/store/batch.rs`, and `["store"]` for `src/store.rs` and `src/store/mod.rs`.
fn module(source: &Source) -> Path<'_> {
    let (_, inner) = source.in_src().unwrap_or_default();
    let mut path: Path<'_> = inner.trim_end_matches(".rs").split('/').collect();
    path.pop_if(|last| matches!(*last, "mod" | "lib" | "main"));
    path
}

/// The paths in `code` that begin at the crate, at a parent, at the module itself or at one of its children.
fn uses<'a>(source: &'a Source, code: &'a str, modules: &BTreeSet<Path<'a>>) -> Vec<Use<'a>> {
    let own = module(source);
    let tokens = tokens(code);
    let token = |index: usize| tokens.get(index).map_or("", |token| token.0);
    let is_child = |name| modules.contains(&[&own[..], &[name]].concat());
    let starts_path = |name| matches!(name, "crate" | "super" | "self") || is_child(name);
    let (mut uses, mut index, mut is_export) = (Vec::new(), 0, false);
    while index < tokens.len() {
        let before = token(index.wrapping_sub(1));
        if token(index) == "use" {
            is_export = matches!(before, "pub" | ")");
            index += 1;
            let is_own = starts_path(token(index));
            while !is_own && !matches!(token(index), ";" | "") {
                index += 1;
            }
        }
        if !starts_path(token(index)) || token(index + 1) != "::" || matches!(before, "::" | ".") {
            is_export &= token(index) != ";";
            index += 1;
            continue;
        }
        let mut leaves = Vec::new();
        index = read_tree(&tokens, index, &[], &mut leaves);
        uses.extend(leaves.into_iter().map(|(path, name, line)| Use {
            source,
            line,
            module: own.clone(),
            target: absolute(&own, &path),
            exported: is_export.then_some(name),
        }));
    }
    uses
}

/// Reads `a::{b, c::d as e}` from `index` on: its paths, with name and line. Returns where it ends.
fn read_tree<'a>(
    tokens: &[(&'a str, usize)],
    mut index: usize,
    prefix: &[&'a str],
    leaves: &mut Vec<(Path<'a>, &'a str, usize)>,
) -> usize {
    let token = |index: usize| tokens.get(index).map_or("", |token| token.0);
    let is_word = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut path = prefix.to_vec();
    while is_word(token(index)) {
        path.push(token(index));
        index += 1;
        if token(index) == "::" && (is_word(token(index + 1)) || token(index + 1) == "{") {
            index += 1;
        } else {
            break;
        }
    }
    if token(index) != "{" || token(index.wrapping_sub(1)) != "::" {
        let line = tokens[index - 1].1;
        let mut name = *path.last().unwrap_or(&"");
        if token(index) == "as" {
            name = token(index + 1);
            index += 2;
        }
        // `a::{self}` names `a`.
        if path.len() > 1 && path.last() == Some(&"self") {
            path.pop();
        }
        leaves.push((path, name, line));
        return index;
    }
    index += 1;
    while !matches!(token(index), "}" | "") {
        if is_word(token(index)) {
            index = read_tree(tokens, index, &path, leaves);
        } else {
            index += 1;
        }
    }
    index + 1
}

/// The path from the crate's root, for a path in module `own`.
fn absolute<'a>(own: &[&'a str], path: &[&'a str]) -> Path<'a> {
    let mut absolute = own.to_vec();
    for (index, part) in path.iter().enumerate() {
        match *part {
            "crate" if index == 0 => absolute.clear(),
            "self" if index == 0 => {}
            "super" => drop(absolute.pop()),
            part => absolute.push(part),
        }
    }
    absolute
}

fn is_reachable<'a, Targets: Iterator<Item = &'a str>>(
    from: &'a str,
    to: &str,
    targets_of: impl Fn(&'a str) -> Targets,
) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            open.extend(targets_of(module));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Source {
        Source::new(format!("crates/kv/src/{name}"), text)
    }

    #[track_caller]
    fn finds(rule: fn(&[Source]) -> Vec<Violation>, files: &[Source], expected: &[&str]) {
        let found: Vec<_> = rule(files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn modules_that_use_each_other_in_one_direction_pass() {
        finds(
            cycles,
            &[
                file("lib.rs", "mod a;\npub use b::inner::B;"),
                file("a.rs", "use crate::b::{B, inner::{self, C as D}};\nuse std::{a::X, fmt};"),
                file(
                    "b/mod.rs",
                    "mod inner;\nmod other;\nuse std::{fmt, other::X};\npub use inner::B;\nfn f() { x.B() }",
                ),
                file("b/inner.rs", "use super::other::f;\nuse crate::c;"),
                file("b/other.rs", "use super::Y;\nfn f() { x.inner::<u8>() }"),
                file("c.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_cycle_is_found_through_names_that_lib_exports() {
        let files = [
            file("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B,\n    C};"),
            file("a.rs", "use crate::{C, x};"),
            file("b/inner.rs", "//! Inner.\nfn f() -> crate::A {}"),
        ];
        let expected = [
            "crates/kv/src/a.rs:1: module a uses b, which uses a again",
            "crates/kv/src/b/inner.rs:2: module b uses a, which uses b again",
        ];
        finds(cycles, &files, &expected);
    }

    #[test]
    fn a_cycle_is_found_between_submodules() {
        let files = [
            file("store/mod.rs", ""),
            file("store/x.rs", "use super::y::Y;"),
            file("store/y.rs", "use crate::store::z;"),
            file("store/z.rs", "fn f() { super::x::g() }"),
        ];
        let expected = [
            "crates/kv/src/store/x.rs:1: module store::x uses store::y",
            "crates/kv/src/store/y.rs:1: module store::y uses store::z",
            "crates/kv/src/store/z.rs:1: module store::z uses store::x",
        ];
        finds(cycles, &files, &expected);
    }

    #[test]
    fn a_cycle_is_found_between_a_module_and_its_child() {
        let files = [
            file("bucket.rs", "mod transfer;\npub use transfer::drain;\nfn f() { drain() }"),
            file("bucket/transfer.rs", "use super::{Bucket, Other};"),
        ];
        let expected = [
            "crates/kv/src/bucket.rs:2: module bucket::mod uses bucket::transfer",
            "crates/kv/src/bucket/transfer.rs:1: module bucket::transfer uses bucket::mod",
        ];
        finds(cycles, &files, &expected);
    }

    #[test]
    fn tests_may_use_any_module() {
        let files =
            [file("a.rs", "use crate::b;"), file("b.rs", "#[cfg(test)]\nmod tests { use crate::a::X; }")];
        finds(cycles, &files, &[]);
    }

    #[test]
    fn names_are_imported_from_where_they_are_defined() {
        let files = [
            file("lib.rs", "mod a;\nmod b;\npub use a::{A, start};\npub use tokio::Stop;"),
            file("a.rs", "use crate::b::f;"),
            file("b.rs", "use crate::{a::A, Stop};\n\nuse crate::A;\nfn f() { crate::start() }"),
        ];
        let expected = [
            "crates/kv/src/b.rs:3: imports A through lib.rs; import it from crate::a",
            "crates/kv/src/b.rs:4: imports start through lib.rs; import it from crate::a",
        ];
        finds(imports_through_lib, &files, &expected);
    }
}
