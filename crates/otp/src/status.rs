//! What a supervisor lets others see of a child while it works: the source of the tree.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::strategy::Strategy;
use crate::tree::{Beneath, Kind, State, Tree};

/// Lists at most so many of the passive things beneath a child.
pub(crate) type ListBeneath = Arc<dyn Fn(usize) -> Beneath + Send + Sync>;

/// One row of the tree, kept up to date by the supervisor above it.
pub(crate) struct Status {
    name: String,
    kind: Kind,
    beneath: Option<ListBeneath>,
    now: Mutex<Now>,
}

struct Now {
    state: State,
    restarts: u32,
    strategy: Option<Strategy>,
    children: Vec<Arc<Status>>,
}

impl Status {
    pub(crate) fn new(name: String, kind: Kind, beneath: Option<ListBeneath>) -> Self {
        let now = Now { state: State::Ended, restarts: 0, strategy: None, children: Vec::new() };
        Self { name, kind, beneath, now: Mutex::new(now) }
    }

    pub(crate) fn set(&self, state: State) {
        self.now().state = state;
    }

    /// Counts a restart and says how many there have been.
    pub(crate) fn count_restart(&self) -> u32 {
        let mut now = self.now();
        now.restarts = now.restarts.saturating_add(1);
        now.restarts
    }

    /// Says that this row is a supervisor of these children.
    pub(crate) fn supervises(&self, strategy: Strategy, children: Vec<Arc<Status>>) {
        let mut now = self.now();
        now.strategy = Some(strategy);
        now.children = children;
    }

    /// This row and those beneath it, at most `limit` passive ones under each.
    pub(crate) fn tree(&self, limit: usize) -> Tree {
        let (mut tree, children) = {
            let now = self.now();
            let mut tree = Tree::passive(&self.name);
            (tree.kind, tree.strategy, tree.state, tree.restarts) =
                (self.kind, now.strategy, now.state, now.restarts);
            (tree, now.children.clone())
        };
        tree.children = children.iter().map(|child| child.tree(limit)).collect();
        tree.total = tree.children.len();
        if let Some(list) = &self.beneath {
            let beneath = list(limit);
            tree.total += beneath.total;
            tree.crashed = beneath.crashed;
            tree.children.extend(beneath.shown.into_iter().take(limit));
        }
        tree
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
