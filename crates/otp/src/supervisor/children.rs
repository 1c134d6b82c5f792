//! Children that a supervisor gets, or loses, while it runs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::spec::ChildSpec;

/// Gives a running supervisor further children, and ends some, as Elixir's `DynamicSupervisor` does; see
/// [`Supervisor::dynamic_children`](crate::Supervisor::dynamic_children). Clones change the same supervisor.
#[derive(Clone, Default)]
pub struct DynamicChildren {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    changes: Mutex<VecDeque<Change>>,
    changed: Notify,
}

pub(super) enum Change {
    Add(ChildSpec),
    Remove(String),
}

impl fmt::Debug for DynamicChildren {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicChildren")
    }
}

impl DynamicChildren {
    /// Starts a child after all others, unless there is one of its name.
    pub fn add(&self, child: ChildSpec) {
        self.push(Change::Add(child));
    }

    /// Stops the child of this name, if there is one, and forgets it.
    pub fn remove(&self, name: impl Into<String>) {
        self.push(Change::Remove(name.into()));
    }

    fn push(&self, change: Change) {
        self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
        self.shared.changed.notify_one();
    }

    /// Waits for the next change, and takes it.
    pub(super) async fn next(&self) -> Change {
        loop {
            let change = self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match change {
                Some(change) => return change,
                None => self.shared.changed.notified().await,
            }
        }
    }
}
