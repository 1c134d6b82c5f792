//! The live status of supervisors and children, from which the tree is made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::strategy::Strategy;
use crate::tree::{ChildKind, PassiveChildren, State, Tree};

/// Lists a number of passive children, up to a limit.
pub(crate) type ListPassive = Arc<dyn Fn(usize) -> PassiveChildren + Send + Sync>;

/// The status of one row of the tree, kept up to date by the supervisor above it.
pub(crate) struct Status {
    name: String,
    kind: ChildKind,
    list_passive: Option<ListPassive>,
    inner: Mutex<StatusInner>,
}

struct StatusInner {
    state: State,
    restarts: u32,
    strategy: Option<Strategy>,
    children: Vec<Arc<Status>>,
}

impl Status {
    pub(crate) fn new(name: String, kind: ChildKind, list_passive: Option<ListPassive>) -> Self {
        let inner = StatusInner { state: State::Ended, restarts: 0, strategy: None, children: Vec::new() };
        Self { name, kind, list_passive, inner: Mutex::new(inner) }
    }

    pub(crate) fn set(&self, state: State) {
        self.lock().state = state;
    }

    /// Counts a restart and returns how many there have been.
    pub(crate) fn count_restart(&self) -> u32 {
        let mut inner = self.lock();
        inner.restarts = inner.restarts.saturating_add(1);
        inner.restarts
    }

    /// Makes this row a supervisor with these children.
    pub(crate) fn set_supervised(&self, strategy: Strategy, children: Vec<Arc<Status>>) {
        let mut inner = self.lock();
        inner.strategy = Some(strategy);
        inner.children = children;
    }

    /// This row and those below it, with up to `limit` passive ones under each.
    pub(crate) fn tree(&self, limit: usize) -> Tree {
        let (mut tree, children) = {
            let inner = self.lock();
            let mut tree = Tree::passive(&self.name);
            (tree.kind, tree.strategy, tree.state, tree.restarts) =
                (self.kind, inner.strategy, inner.state, inner.restarts);
            (tree, inner.children.clone())
        };
        tree.children = children.iter().map(|child| child.tree(limit)).collect();
        tree.total = tree.children.len();
        if let Some(list) = &self.list_passive {
            let passive = list(limit);
            tree.total += passive.total;
            tree.crashed = passive.crashed;
            tree.children.extend(passive.shown.into_iter().take(limit));
        }
        tree
    }

    fn lock(&self) -> MutexGuard<'_, StatusInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
