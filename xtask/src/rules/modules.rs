//! The top-level modules of a crate form no cycle, so that each can be read after the ones that it uses.

use crate::sources::{Source, Violation, split_comment};
use std::collections::{BTreeMap, BTreeSet};

/// Each top-level module with the modules that it uses, and the first line that does so.
type Uses<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (&'a Source, usize)>>;

/// One violation per use that closes a circle.
pub(crate) fn cycles(sources: &[Source]) -> Vec<Violation> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if let Some((root, _)) = source.path.split_once("/src/") {
            crates.entry(root).or_default().push(source);
        }
    }
    crates.values().flat_map(|files| cycles_of(files)).collect()
}

fn cycles_of(files: &[&Source]) -> Vec<Violation> {
    let exported = exports(files);
    let mut uses = Uses::new();
    for source in files {
        let from = module(source);
        for (line, text) in source.product_lines() {
            for name in named(split_comment(text).0, source) {
                let to = exported.get(name).copied().or(files.iter().map(|f| module(f)).find(|m| *m == name));
                if let Some(to) = to.filter(|to| *to != from && *to != "lib" && from != "lib") {
                    uses.entry(from).or_default().entry(to).or_insert((source, line));
                }
            }
        }
    }
    let mut violations = Vec::new();
    for (from, targets) in &uses {
        for (to, (source, line)) in targets {
            if reaches(&uses, to, from, &mut BTreeSet::new()) {
                let advice = format!(
                    "module {from} uses {to}, which uses {from} again; move what both need below them"
                );
                violations.push(source.violation(*line, advice));
            }
        }
    }
    violations
}

/// What `lib.rs` hands out under the crate's own name: `pub use store::{Page, Store}`.
fn exports<'a>(files: &[&'a Source]) -> BTreeMap<&'a str, &'a str> {
    let mut exported = BTreeMap::new();
    for source in files.iter().filter(|source| module(source) == "lib") {
        for statement in source.text.split(';') {
            let Some((_, path)) = statement.split_once("use ") else { continue };
            let Some((from, names)) = path.split_once("::") else { continue };
            exported.extend(words(names).map(|name| (name, from.trim())));
        }
    }
    exported
}

/// Names that follow `crate::` on a line, alone or in braces; in a top-level file, `super::` is the same.
fn named<'a>(code: &'a str, source: &Source) -> Vec<&'a str> {
    let top_level = source.path.split("/src/").nth(1).is_some_and(|inner| !inner.contains('/'));
    let roots = if top_level { ["crate::", "super::"].as_slice() } else { ["crate::"].as_slice() };
    let mut names = Vec::new();
    for root in roots {
        for rest in code.split(root).skip(1) {
            match rest.strip_prefix('{') {
                Some(group) => names.extend(words(group)),
                None => names.extend(words(rest).next()),
            }
        }
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// `store` for both `src/store.rs` and `src/store/shard.rs`.
fn module(source: &Source) -> &str {
    let inner = source.path.split("/src/").nth(1).unwrap_or_default();
    inner.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn reaches<'a>(uses: &Uses<'a>, from: &'a str, to: &str, seen: &mut BTreeSet<&'a str>) -> bool {
    if from == to {
        return true;
    }
    let Some(targets) = uses.get(from).filter(|_| seen.insert(from)) else { return false };
    targets.keys().any(|next| reaches(uses, next, to, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Source {
        Source { path: format!("crates/kv/src/{name}"), text: text.into() }
    }

    #[test]
    fn modules_that_build_on_each_other_in_one_direction_pass() {
        let files = [file("a.rs", "use crate::b::B;"), file("b.rs", "use crate::c;"), file("c.rs", "")];
        assert_eq!(cycles(&files), []);
    }

    #[test]
    fn a_circle_is_found_through_names_that_lib_hands_out() {
        let files = [
            file("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B,\n    C};"),
            file("a.rs", "use crate::{C, x};"),
            file("b/inner.rs", "//! Inner.\nfn f() -> crate::A {}"),
        ];
        let found: Vec<_> = cycles(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/kv/src/a.rs:1: module a uses b"), "{found:?}");
        assert!(found[1].starts_with("crates/kv/src/b/inner.rs:2: module b uses a"), "{found:?}");
    }

    #[test]
    fn tests_may_look_around_freely() {
        let files =
            [file("a.rs", "use crate::b;"), file("b.rs", "#[cfg(test)]\nmod tests { use crate::a; }")];
        assert_eq!(cycles(&files), []);
    }
}
