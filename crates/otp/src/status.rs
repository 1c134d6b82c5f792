//! The live status of supervisors and children, from which the tree is made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::intensity::{Intensity, Restarts};
use crate::strategy::Strategy;
use crate::tree::{ChildKind, PassiveChildren, RecentRestarts, State, Tree};

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
    since: Instant,
    supervised: Option<Supervised>,
}

/// What a supervisor has.
#[derive(Clone)]
struct Supervised {
    strategy: Strategy,
    restarts: Arc<Mutex<Restarts>>,
    children: Vec<Arc<Status>>,
}

impl Status {
    pub(crate) fn new(name: String, kind: ChildKind, list_passive: Option<ListPassive>) -> Self {
        let inner = StatusInner { state: State::Ended, restarts: 0, since: Instant::now(), supervised: None };
        Self { name, kind, list_passive, inner: Mutex::new(inner) }
    }

    pub(crate) fn set(&self, state: State) {
        let mut inner = self.lock();
        inner.state = state;
        if state == State::Running {
            inner.since = Instant::now();
        }
    }

    /// Counts a restart and returns how many there have been.
    pub(crate) fn count_restart(&self) -> u32 {
        let mut inner = self.lock();
        inner.restarts = inner.restarts.saturating_add(1);
        inner.restarts
    }

    /// Makes this row a supervisor with these children.
    pub(crate) fn set_supervised(
        &self,
        strategy: Strategy,
        restarts: Arc<Mutex<Restarts>>,
        children: Vec<Arc<Status>>,
    ) {
        self.lock().supervised = Some(Supervised { strategy, restarts, children });
    }

    /// This row and those below it, with up to `limit` passive ones under each.
    pub(crate) fn tree(&self, limit: usize) -> Tree {
        let now = Instant::now();
        let mut tree = Tree::passive(&self.name);
        let supervised = {
            let inner = self.lock();
            (tree.kind, tree.state, tree.restarts) = (self.kind, inner.state, inner.restarts);
            tree.up_seconds = (inner.state != State::Ended).then(|| (now - inner.since).as_secs());
            inner.supervised.clone()
        };
        if let Some(Supervised { strategy, restarts, children }) = supervised {
            tree.strategy = Some(strategy);
            let restarts = restarts.lock().unwrap_or_else(PoisonError::into_inner);
            let Intensity { max_restarts: max, within } = restarts.intensity();
            let recent = restarts.recent(now);
            tree.recent_restarts = Some(RecentRestarts { recent, max, within_seconds: within.as_secs() });
            tree.children = children.iter().map(|child| child.tree(limit)).collect();
        }
        tree.total = tree.children.len();
        if let Some(list) = &self.list_passive {
            let passive = list(limit);
            tree.total += passive.total;
            (tree.crashed, tree.bytes) = (passive.crashed, passive.bytes);
            tree.last_crashed = passive.last_crashed;
            tree.children.extend(passive.shown.into_iter().take(limit));
        }
        tree
    }

    fn lock(&self) -> MutexGuard<'_, StatusInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
