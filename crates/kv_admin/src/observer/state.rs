//! What the page shows, as named parts of JSON, so that only those that have changed are sent.

use otp::{State, Tree};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How far two reckonings of the start of a child may be apart, which is known to the second.
const START_JITTER_MS: u64 = 1_500;

/// The parts by their names.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<String, Value>);

impl Parts {
    pub(super) fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All parts, as the page gets them first.
    pub(super) fn all(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// Takes on the parts that differ in `newer`, and returns them; a part that is gone is null.
    pub(super) fn replace(&mut self, newer: Parts) -> Map<String, Value> {
        let gone = self.0.keys().filter(|name| !newer.0.contains_key(*name));
        let mut changes: Map<_, _> = gone.map(|name| (name.clone(), Value::Null)).collect();
        let changed = newer.0.iter().filter(|(name, value)| self.0.get(*name) != Some(*value));
        changes.extend(changed.map(|(name, value)| (name.clone(), value.clone())));
        self.0 = newer.0;
        changes
    }
}

/// When the rows of the trees were started, by their paths.
#[derive(Debug, Default)]
pub(super) struct Starts(BTreeMap<String, u64>);

impl Starts {
    /// The tree as the page shows it: with the time when each row was started, which stays the same, instead
    /// of how long ago that was.
    pub(super) fn tree(&mut self, now_ms: u64, tree: &Tree) -> Value {
        let mut seen = BTreeMap::new();
        let value = self.row(now_ms, &tree.name, tree, &mut seen);
        let below = format!("{}/", tree.name);
        self.0.retain(|path, _| *path != tree.name && !path.starts_with(&below));
        self.0.extend(seen);
        value
    }

    fn row(&self, now_ms: u64, path: &str, tree: &Tree, seen: &mut BTreeMap<String, u64>) -> Value {
        let since = tree.up_seconds.filter(|_| tree.state != State::Ended).map(|seconds| {
            let since = now_ms.saturating_sub(seconds * 1_000);
            let known = self.0.get(path).copied();
            let since = known.filter(|known| known.abs_diff(since) <= START_JITTER_MS).unwrap_or(since);
            seen.insert(path.to_owned(), since);
            since
        });
        let children = tree.children.iter();
        let children: Vec<_> =
            children.map(|child| self.row(now_ms, &format!("{path}/{}", child.name), child, seen)).collect();
        json!({
            "name": tree.name,
            "kind": tree.kind,
            "strategy": tree.strategy.map(|strategy| strategy.to_string()),
            "state": tree.state,
            "since": since,
            "restarts": tree.restarts,
            "recent_restarts": tree.recent_restarts,
            "bytes": tree.bytes,
            "crashed": tree.crashed,
            "total": tree.total,
            "children": children,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_sent() {
        let parts = |values: &[(&str, u64)]| {
            let mut parts = Parts::default();
            values.iter().for_each(|(name, value)| parts.set(*name, json!(value)));
            parts
        };
        let mut shown = parts(&[("same", 1), ("changed", 1), ("gone", 1)]);
        let changes = shown.replace(parts(&[("same", 1), ("changed", 2), ("new", 1)]));
        assert_eq!(Value::Object(changes), json!({ "changed": 2, "gone": null, "new": 1 }));
        assert_eq!(shown.replace(parts(&[("same", 1), ("changed", 2), ("new", 1)])).len(), 0);
    }

    #[test]
    fn a_tree_that_only_grows_older_stays_the_same() {
        let mut starts = Starts::default();
        let of_age = |up_seconds| Tree {
            up_seconds: Some(up_seconds),
            children: vec![Tree { up_seconds: Some(up_seconds), ..Tree::passive("kv") }],
            ..Tree::passive("foo@host")
        };
        let first = starts.tree(100_900, &of_age(10));
        assert_eq!(first["children"][0]["since"], json!(90_900));
        assert_eq!(starts.tree(101_100, &of_age(11)), first);
        assert_eq!(starts.tree(109_000, &of_age(18)), first);
        let restarted = starts.tree(110_000, &of_age(0));
        assert_eq!(restarted["since"], json!(110_000));
    }
}
