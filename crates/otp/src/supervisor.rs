//! A running supervisor: the handle to it, and the task that starts, restarts and stops its children.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;
use tracing::{debug, error, warn};

use crate::exit::Exit;
use crate::intensity::Restarts;
use crate::limits::ABORT_GRACE;
use crate::policy::{Restart, Shutdown, Stop};
use crate::spec::{Change, ChildSpec, DynamicChildren, Start, Supervisor, Work};
use crate::status::Status;
use crate::strategy::Strategy;
use crate::tree::{ChildKind, State, Tree};

/// A running supervisor. All clones refer to the same supervisor; dropping the last one stops it in order.
#[derive(Clone)]
#[must_use = "a supervisor stops when its last handle is dropped"]
pub struct SupervisorHandle {
    status: Arc<Status>,
    stop: Stop,
    exit: watch::Receiver<Option<Exit>>,
    _stop_when_dropped: Arc<DropGuard>,
}

/// See [`SupervisorHandle::view`].
#[derive(Clone)]
pub struct TreeView {
    status: Arc<Status>,
}

impl TreeView {
    /// The tree as it is now, with up to `limit` passive children of each child.
    pub fn tree(&self, limit: usize) -> Tree {
        self.status.tree(limit)
    }
}

impl Supervisor {
    /// Starts the supervisor and its children, in order.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn start(self) -> SupervisorHandle {
        let status = Arc::new(Status::new(self.name.clone(), ChildKind::Supervisor, None));
        status.set(State::Running);
        let task = SupervisorTask::start(self, &status);
        let stop = Stop::new();
        let (ended, exit) = watch::channel(None);
        tokio::spawn({
            let (status, stop) = (Arc::clone(&status), stop.clone());
            async move {
                let exit = task.run(stop).await;
                status.set(State::Ended);
                ended.send_replace(Some(exit));
            }
        });
        let guard = Arc::new(stop.clone().drop_guard());
        SupervisorHandle { status, stop, exit, _stop_when_dropped: guard }
    }
}

impl SupervisorHandle {
    /// The tree as it is now, with up to `limit` passive children of each child.
    pub fn tree(&self, limit: usize) -> Tree {
        self.status.tree(limit)
    }

    /// A view of the tree that does not keep the supervisor running.
    pub fn view(&self) -> TreeView {
        TreeView { status: Arc::clone(&self.status) }
    }

    /// Stops the children in reverse order, each with its deadline, and waits until the supervisor has ended.
    pub async fn stop(&self) -> Exit {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until the supervisor has ended and returns how it ended.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => (*exit).clone().unwrap_or(Exit::Killed),
            // The runtime was dropped, and the supervisor with it.
            Err(_) => Exit::Killed,
        }
    }
}

/// The task of a supervisor whose children have been started. Dropping it aborts them.
struct SupervisorTask {
    name: String,
    strategy: Strategy,
    /// Shared with the status, which shows it.
    restarts: Arc<Mutex<Restarts>>,
    children: Vec<Child>,
    dynamic: DynamicChildren,
    /// Shows the children.
    status: Arc<Status>,
    tasks: JoinSet<Exit>,
    /// Children that have ended and have not been handled yet.
    pending_exits: VecDeque<(usize, Exit)>,
}

struct Child {
    spec: ChildSpec,
    status: Arc<Status>,
    running: Option<Running>,
}

struct Running {
    stop: Stop,
    abort: AbortHandle,
}

impl SupervisorTask {
    /// Starts all children in order.
    fn start(supervisor: Supervisor, status: &Arc<Status>) -> Self {
        let Supervisor { name, strategy, intensity, children, dynamic } = supervisor;
        let children: Vec<Child> = children.into_iter().map(Child::new).collect();
        let mut task = Self {
            name,
            strategy,
            restarts: Arc::new(Mutex::new(Restarts::new(intensity))),
            children,
            dynamic,
            status: Arc::clone(status),
            tasks: JoinSet::new(),
            pending_exits: VecDeque::new(),
        };
        task.show_children();
        for index in 0..task.children.len() {
            task.start_child(index);
        }
        task
    }

    /// Supervises until stopped, or until more restarts are needed than the intensity allows.
    async fn run(mut self, stop: Stop) -> Exit {
        let dynamic = self.dynamic.clone();
        loop {
            let (index, exit) = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.stop_children(0..self.children.len()).await;
                    return Exit::Normal;
                }
                change = dynamic.next() => {
                    self.change_children(change).await;
                    continue;
                }
                ended = self.next_exit() => ended,
            };
            if !self.children[index].spec.restart.should_restart(&exit) {
                continue;
            }
            if !self.lock_restarts().try_restart(Instant::now()) {
                let escalation = self.escalation(index, exit);
                self.stop_children(0..self.children.len()).await;
                return escalation;
            }
            self.restart(index, &stop).await;
        }
    }

    /// Starts another child, or stops one and forgets it.
    async fn change_children(&mut self, change: Change) {
        let position =
            |children: &[Child], name: &str| children.iter().position(|child| child.spec.name == name);
        match change {
            Change::Add(spec) if position(&self.children, &spec.name).is_none() => {
                self.children.push(Child::new(spec));
                self.start_child(self.children.len() - 1);
            }
            Change::Add(_) => return,
            Change::Remove(name) => {
                let Some(index) = position(&self.children, &name) else { return };
                self.stop_children(index..index + 1).await;
                self.children.remove(index);
                for (later, _) in self.pending_exits.iter_mut().filter(|(ended, _)| *ended > index) {
                    *later -= 1;
                }
            }
        }
        self.show_children();
    }

    fn show_children(&self) {
        let statuses = self.children.iter().map(|child| Arc::clone(&child.status)).collect();
        self.status.set_supervised(self.strategy, Arc::clone(&self.restarts), statuses);
    }

    /// Waits until a child ends by itself.
    async fn next_exit(&mut self) -> (usize, Exit) {
        loop {
            if let Some(exit) = self.pending_exits.pop_front() {
                return exit;
            }
            match self.tasks.join_next_with_id().await {
                Some(joined) => self.record_exit(joined),
                None => pending().await,
            }
        }
    }

    fn record_exit(&mut self, joined: Result<(Id, Exit), JoinError>) {
        let (task, exit) = match joined {
            Ok(end) => end,
            Err(error) => (error.id(), Exit::from_join_error(error)),
        };
        let is_this =
            |child: &Child| child.running.as_ref().is_some_and(|running| running.abort.id() == task);
        let Some(index) = self.children.iter().position(is_this) else {
            return; // It was abandoned, and has ended after all.
        };
        let child = &mut self.children[index];
        child.running = None;
        child.status.set(State::Ended);
        let (supervisor, name) = (&self.name, &child.spec.name);
        match exit {
            Exit::Normal | Exit::Killed => debug!(%supervisor, child = %name, %exit, "child ended"),
            Exit::Failed(_) | Exit::Panicked(_) | Exit::Escalated { .. } => {
                error!(%supervisor, child = %name, %exit, "child crashed");
            }
        }
        self.pending_exits.push_back((index, exit));
    }

    /// Restarts the child at `index` and those that the strategy restarts with it.
    async fn restart(&mut self, index: usize, stop: &Stop) {
        let affected = self.strategy.affected(index, self.children.len());
        self.stop_children(affected.clone()).await;
        if stop.is_cancelled() {
            return;
        }
        for index in affected {
            let child = &self.children[index];
            if child.spec.restart != Restart::Temporary {
                let restarts = child.status.count_restart();
                warn!(supervisor = %self.name, child = %child.spec.name, restarts, "child is restarted");
                self.start_child(index);
            }
        }
    }

    fn escalation(&self, index: usize, last: Exit) -> Exit {
        let intensity = self.lock_restarts().intensity();
        let child = self.children[index].spec.name.clone();
        error!(supervisor = %self.name, %child, exit = %last, allowed = %intensity, "too many restarts, giving up");
        Exit::Escalated { supervisor: self.name.clone(), intensity, child, last: Box::new(last) }
    }

    fn lock_restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_child(&mut self, index: usize) {
        let child = &mut self.children[index];
        let stop = Stop::new();
        let ended = stop.clone().drop_guard();
        child.status.set(State::Running);
        let work = child.start(stop.clone());
        let abort = self.tasks.spawn(async move {
            let _ended = ended;
            work.await
        });
        child.running = Some(Running { stop, abort });
        debug!(supervisor = %self.name, child = %child.spec.name, "child started");
    }

    /// Stops `children` in reverse order.
    async fn stop_children(&mut self, children: Range<usize>) {
        for index in children.clone().rev() {
            self.stop_child(index).await;
        }
        self.pending_exits.retain(|(index, _)| !children.contains(index));
    }

    async fn stop_child(&mut self, index: usize) {
        let Child { spec, status, running: Some(running) } = &self.children[index] else {
            return;
        };
        let (shutdown, abort) = (spec.shutdown, running.abort.clone());
        status.set(State::Stopping);
        running.stop.cancel();
        match shutdown {
            Shutdown::Infinity => return self.wait_for(index).await,
            Shutdown::Deadline(deadline) => {
                if timeout(deadline, self.wait_for(index)).await.is_ok() {
                    return;
                }
                let child = &self.children[index].spec.name;
                warn!(supervisor = %self.name, %child, ?deadline, "child did not stop in time and is aborted");
            }
            Shutdown::BrutalKill => {}
        }
        abort.abort();
        if timeout(ABORT_GRACE, self.wait_for(index)).await.is_err() {
            let child = &mut self.children[index];
            error!(supervisor = %self.name, child = %child.spec.name, "aborted child did not exit; abandoning it");
            child.running = None;
        }
    }

    async fn wait_for(&mut self, index: usize) {
        while self.children[index].running.is_some()
            && let Some(joined) = self.tasks.join_next_with_id().await
        {
            self.record_exit(joined);
        }
    }
}

impl Child {
    fn new(spec: ChildSpec) -> Self {
        let status = Status::new(spec.name.clone(), spec.kind, spec.list_passive.clone());
        Self { spec, status: Arc::new(status), running: None }
    }

    /// The child's future. A panic in its start function counts as the child's own crash.
    fn start(&mut self, stop: Stop) -> Work {
        let start = || match &mut self.spec.start {
            Start::Worker(start) => start(stop),
            Start::Supervisor(build) => Box::pin(SupervisorTask::start(build(), &self.status).run(stop)),
        };
        catch_unwind(AssertUnwindSafe(start))
            .unwrap_or_else(|payload| Box::pin(ready(Exit::from_panic(&*payload))))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A supervisor that was aborted could not see its children end.
        self.status.set(State::Ended);
    }
}
