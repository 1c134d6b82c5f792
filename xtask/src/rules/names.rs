//! Rules about names: predicates change nothing, and the names of types are unique.

use crate::sources::{Source, Violation, tokens};
use std::collections::BTreeMap;

/// Type names that several crates may export.
const SHARED_TYPES: &[&str] = &["Error"];

/// A function called `is_` or `has_` changes nothing.
pub(crate) fn mutating_predicates(source: &Source) -> Vec<Violation> {
    let tokens = tokens(&source.code);
    let mut violations = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        let [("fn", _), (name, line)] = *pair else { continue };
        if !name.starts_with("is_") && !name.starts_with("has_") {
            continue;
        }
        let signature = tokens[index..].iter().map(|(token, _)| *token).skip_while(|token| *token != "(");
        let receiver: Vec<_> = signature.take_while(|token| !matches!(*token, "," | ")")).collect();
        if receiver.contains(&"&") && receiver.ends_with(&["mut", "self"]) {
            let advice = format!("{name} takes `&mut self`; name it after its effect, or take `&self`");
            violations.push(source.violation(line, advice));
        }
    }
    violations
}

/// The name of a type is unique in its crate, and that of an exported type in the workspace.
pub(crate) fn duplicate_types(sources: &[Source]) -> Vec<Violation> {
    let mut in_crate: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut exported: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    let mut violations = Vec::new();
    for source in sources {
        let Some((krate, _)) = source.in_src() else { continue };
        for (name, line, is_exported) in types(&source.product) {
            let here = format!("{}:{line}", source.path);
            let mut other = in_crate.insert((krate, name), here.clone());
            if is_exported && !SHARED_TYPES.contains(&name) {
                let (first_crate, first) = exported.entry(name).or_insert((krate, here));
                other = other.or_else(|| (*first_crate != krate).then(|| first.clone()));
            }
            if let Some(other) = other {
                let advice = format!("{name} is the name of another type, {other}; rename one of them");
                violations.push(source.violation(line, advice));
            }
        }
    }
    violations
}

/// The types that a file makes visible: name, line, and whether they are visible outside of the crate.
fn types(code: &str) -> Vec<(&str, usize, bool)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (index, _) in tokens.iter().enumerate().filter(|(_, (token, _))| *token == "pub") {
        let mut rest = &tokens[index + 1..];
        let is_exported = rest.first().is_none_or(|(token, _)| *token != "(");
        if !is_exported {
            let closing = rest.iter().position(|(token, _)| *token == ")").unwrap_or(0);
            rest = &rest[closing + 1..];
        }
        if let [("struct" | "enum" | "union" | "trait" | "type", _), (name, line), ..] = *rest {
            found.push((name, line, is_exported));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predicate_changes_nothing() {
        let check = |text: &str| mutating_predicates(&Source::new("crates/kv/src/a.rs", text));
        let text = "fn is_a(&self) {}\nfn has_b(&self, x: &mut X) {}\nfn push(&mut self) {}\n";
        assert_eq!(check(text), []);
        for text in ["\nfn is_sent(&mut self) {}", "\nfn has_gone<T>(\n    &'a mut self,\n    x: T) {}"] {
            let found = check(text);
            assert!(found[0].to_string().starts_with("crates/kv/src/a.rs:2: "), "{found:?}");
            assert!(found[0].advice.contains("takes `&mut self`"), "{found:?}");
        }
    }

    #[test]
    fn a_type_name_is_given_once_in_a_crate() {
        let files = [
            Source::new("crates/kv/src/a.rs", "pub struct Page;\nstruct Own;\n"),
            Source::new("crates/kv/src/b.rs", "struct Own;\n\npub(crate) enum Page {}\n"),
            Source::new("crates/kv/src/c/tests.rs", "pub struct Page;\n"),
        ];
        let found: Vec<_> = duplicate_types(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/kv/src/b.rs:3: Page is the name of another type"), "{found:?}");
        assert!(found[0].contains("crates/kv/src/a.rs:1"), "{found:?}");
    }

    #[test]
    fn crates_share_only_a_few_type_names() {
        let files = [
            Source::new(
                "crates/kv/src/a.rs",
                "pub enum Error {}\npub struct Page;\npub(crate) struct Part;\n",
            ),
            Source::new("crates/otp/src/b.rs", "pub enum Error {}\npub struct Page;\npub struct Part;\n"),
        ];
        let found: Vec<_> = duplicate_types(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/otp/src/b.rs:2: Page is the name"), "{found:?}");
    }
}
