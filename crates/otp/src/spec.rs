//! Specifications of supervisors and their children, and changes of these at run time.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::exit::Exit;
use crate::intensity::Intensity;
use crate::limits::SHUTDOWN_DEADLINE;
use crate::policy::{Restart, Shutdown, Stop};
use crate::status::ListPassive;
use crate::strategy::Strategy;
use crate::task_supervisor::TaskSupervisor;
use crate::tree::{ChildKind, PassiveChildren};

/// The specification of a supervisor: its children in start order, and what happens when one ends.
pub struct Supervisor {
    pub(crate) name: String,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) children: Vec<ChildSpec>,
    pub(crate) dynamic: DynamicChildren,
}

impl Supervisor {
    /// A supervisor without children.
    pub fn new(name: impl Into<String>, strategy: Strategy) -> Self {
        let (intensity, dynamic) = (Intensity::default(), DynamicChildren::default());
        Self { name: name.into(), strategy, intensity, children: Vec::new(), dynamic }
    }

    /// How many restarts it makes before it gives up.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Adds a child, which starts after those before it and stops before them.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Has the supervisor make these changes while it runs: those that are waiting, and further ones.
    #[must_use]
    pub fn dynamic_children(mut self, children: DynamicChildren) -> Self {
        self.dynamic = children;
        self
    }
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// Creates a child at each start.
pub(crate) enum Start {
    Worker(Box<dyn FnMut(Stop) -> Work + Send>),
    Supervisor(Box<dyn FnMut() -> Supervisor + Send>),
}

/// The specification of one child.
pub struct ChildSpec {
    pub(crate) name: String,
    pub(crate) kind: ChildKind,
    pub(crate) start: Start,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) list_passive: Option<ListPassive>,
}

impl ChildSpec {
    /// A child that does work: permanent, with 5 s to stop.
    ///
    /// `start` itself is called in start order: what it does before it returns its future is done before the
    /// next sibling starts. The future should end soon after its [`Stop`] token is cancelled.
    pub fn worker<F, E>(name: impl Into<String>, mut start: impl FnMut(Stop) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let start = move |stop| -> Work {
            let work = start(stop);
            Box::pin(async move { Exit::from_result(work.await) })
        };
        Self {
            name: name.into(),
            kind: ChildKind::Worker,
            start: Start::Worker(Box::new(start)),
            restart: Restart::Permanent,
            shutdown: Shutdown::Deadline(SHUTDOWN_DEADLINE),
            list_passive: None,
        }
    }

    /// A nested supervisor: permanent, and waited for when it stops. `build` creates it at every start.
    pub fn supervisor(name: impl Into<String>, build: impl FnMut() -> Supervisor + Send + 'static) -> Self {
        Self {
            name: name.into(),
            kind: ChildKind::Supervisor,
            start: Start::Supervisor(Box::new(build)),
            restart: Restart::Permanent,
            shutdown: Shutdown::Infinity,
            list_passive: None,
        }
    }

    /// A supervisor of tasks that are started at run time; all of them together have 5 s to stop.
    pub fn tasks(tasks: TaskSupervisor) -> Self {
        let counts = tasks.clone();
        Self {
            name: tasks.name().to_owned(),
            kind: ChildKind::Tasks,
            start: Start::Worker(Box::new(move |stop| Box::pin(tasks.supervise(stop)))),
            restart: Restart::Permanent,
            shutdown: Shutdown::Deadline(SHUTDOWN_DEADLINE),
            list_passive: None,
        }
        .passive_children(move |_limit| PassiveChildren {
            total: counts.count(),
            crashed: counts.crashed(),
            ..PassiveChildren::default()
        })
    }

    /// When the child is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How the child is stopped.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Shows this child's passive children in the tree. `list` is given the maximum number to return.
    #[must_use]
    pub fn passive_children(
        mut self,
        list: impl Fn(usize) -> PassiveChildren + Send + Sync + 'static,
    ) -> Self {
        self.list_passive = Some(Arc::new(list));
        self
    }
}

/// Gives a running supervisor further children, and ends some, as Elixir's `DynamicSupervisor` does; see
/// [`Supervisor::dynamic_children`]. Clones change the same supervisor.
#[derive(Clone, Default)]
pub struct DynamicChildren {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    changes: Mutex<VecDeque<Change>>,
    changed: Notify,
}

pub(crate) enum Change {
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
    pub(crate) async fn next(&self) -> Change {
        loop {
            let change = self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match change {
                Some(change) => return change,
                None => self.shared.changed.notified().await,
            }
        }
    }
}
