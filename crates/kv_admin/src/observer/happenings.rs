//! What has happened on a node, as the page lists it: crashes, nodes that went up and down, leaders that
//! changed.

use otp::Tree;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Happenings that are kept.
const KEPT: usize = 100;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Happening {
    /// Distinguishes those of a node.
    pub(super) id: u64,
    /// In milliseconds since 1970.
    pub(super) at: u64,
    pub(super) kind: Kind,
    /// The row of the supervision tree that it is about: the names of all rows on the way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    pub(super) text: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Crash,
    Restart,
    NodeUp,
    NodeDown,
    Leader,
}

/// The newest happenings.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    next_id: u64,
    kept: VecDeque<Happening>,
}

impl Happenings {
    pub(super) fn add(&mut self, at: u64, kind: Kind, path: Option<String>, text: String) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Happening { id: self.next_id, at, kind, path, text });
        self.next_id += 1;
    }

    pub(super) fn all(&self) -> &VecDeque<Happening> {
        &self.kept
    }

    /// Adds what has crashed between two looks at the supervision tree.
    pub(super) fn compare(&mut self, at: u64, before: &Tree, now: &Tree) {
        self.compare_rows(at, &now.name, before, now);
    }

    fn compare_rows(&mut self, at: u64, path: &str, before: &Tree, now: &Tree) {
        let crashed = now.crashed.saturating_sub(before.crashed);
        if crashed > 0 {
            let text = match (&now.last_crashed, crashed) {
                (Some(bucket), 1) => format!("bucket {bucket:?} crashed"),
                (Some(last), many) => format!("{many} buckets crashed, the last one {last:?}"),
                (None, 1) => format!("a task of {} crashed", now.name),
                (None, many) => format!("{many} tasks of {} crashed", now.name),
            };
            self.add(at, Kind::Crash, Some(path.to_owned()), text);
        }
        if now.restarts > before.restarts {
            let text = format!("{} was restarted", now.name);
            self.add(at, Kind::Restart, Some(path.to_owned()), text);
        }
        for child in &now.children {
            if let Some(before) = before.children.iter().find(|before| before.name == child.name) {
                self.compare_rows(at, &format!("{path}/{}", child.name), before, child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, restarts: u32, crashed: u64, children: Vec<Tree>) -> Tree {
        Tree { restarts, crashed, children, ..Tree::passive(name) }
    }

    #[test]
    fn what_crashed_between_two_looks_is_named_with_its_place() {
        let look = |restarts, crashed| {
            let last_crashed = Some("milk".to_owned());
            let supervisor = Tree { last_crashed, ..tree("bucket_supervisor", 0, crashed, Vec::new()) };
            let registry = tree("registry", restarts, 0, Vec::new());
            tree("foo@host", 0, 0, vec![tree("kv", 0, 0, vec![registry, supervisor])])
        };
        let mut happenings = Happenings::default();
        happenings.compare(1, &look(0, 0), &look(0, 0));
        assert!(happenings.all().is_empty());
        happenings.compare(2, &look(0, 0), &look(1, 2));
        let found: Vec<_> = happenings
            .all()
            .iter()
            .map(|Happening { at, kind, path, text, .. }| (*at, *kind, path.as_deref(), text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (2, Kind::Restart, Some("foo@host/kv/registry"), "registry was restarted"),
                (
                    2,
                    Kind::Crash,
                    Some("foo@host/kv/bucket_supervisor"),
                    "2 buckets crashed, the last one \"milk\""
                ),
            ]
        );
        // A supervisor that was restarted has children that have never crashed.
        happenings.compare(3, &look(1, 2), &look(0, 0));
        assert_eq!(happenings.all().len(), 2);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut happenings = Happenings::default();
        (0..250).for_each(|at| happenings.add(at, Kind::Leader, None, String::new()));
        let ids: Vec<_> = happenings.all().iter().map(|one| one.id).collect();
        assert_eq!((ids.len(), ids[0], ids[99]), (KEPT, 150, 249));
    }
}
