//! A supervisor at work: it starts its children, waits for one to end, restarts, and stops them.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use crate::Stop;
use crate::exit::Exit;
use crate::intensity::Restarts;
use crate::limits::ABORT_GRACE;
use crate::policy::{Restart, Shutdown};
use crate::spec::{ChildSpec, Start, Supervisor, Work};
use crate::status::Status;
use crate::strategy::Strategy;
use crate::tree::State;

/// A supervisor whose children have been started. Dropping it aborts them.
pub(crate) struct Engine {
    name: String,
    strategy: Strategy,
    restarts: Restarts,
    children: Vec<Child>,
    tasks: JoinSet<Exit>,
    /// Ends that were noticed and not yet acted upon.
    unhandled: VecDeque<(usize, Exit)>,
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

impl Engine {
    /// Starts all children in order.
    pub(crate) fn start(supervisor: Supervisor, status: &Status) -> Self {
        let Supervisor { name, strategy, intensity, children } = supervisor;
        let children: Vec<Child> = children.into_iter().map(Child::new).collect();
        status.supervises(strategy, children.iter().map(|child| Arc::clone(&child.status)).collect());
        let mut engine = Self {
            name,
            strategy,
            restarts: Restarts::new(intensity),
            children,
            tasks: JoinSet::new(),
            unhandled: VecDeque::new(),
        };
        for place in 0..engine.children.len() {
            engine.start_child(place);
        }
        engine
    }

    /// Supervises until told to stop, or until restarts are too many.
    pub(crate) async fn run(mut self, stop: Stop) -> Exit {
        let all = 0..self.children.len();
        loop {
            let (place, exit) = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.stop_children(all).await;
                    return Exit::Normal;
                }
                end = self.next_end() => end,
            };
            if !self.children[place].spec.restart.is_due(&exit) {
                continue;
            }
            if !self.restarts.allow(Instant::now()) {
                let escalation = self.escalation(place, exit);
                self.stop_children(all).await;
                return escalation;
            }
            self.restart(place, &stop).await;
        }
    }

    /// Waits for a child to end by itself.
    async fn next_end(&mut self) -> (usize, Exit) {
        loop {
            if let Some(end) = self.unhandled.pop_front() {
                return end;
            }
            match self.tasks.join_next_with_id().await {
                Some(joined) => self.note_end(joined),
                None => pending().await,
            }
        }
    }

    fn note_end(&mut self, joined: Result<(Id, Exit), JoinError>) {
        let (task, exit) = match joined {
            Ok(end) => end,
            Err(error) => (error.id(), Exit::from_join_error(error)),
        };
        let is_its = |child: &Child| child.running.as_ref().is_some_and(|running| running.abort.id() == task);
        let Some(place) = self.children.iter().position(is_its) else {
            return; // It was left behind, and has ended after all.
        };
        let child = &mut self.children[place];
        child.running = None;
        child.status.set(State::Ended);
        let (supervisor, name) = (&self.name, &child.spec.name);
        match exit {
            Exit::Normal | Exit::Killed => debug!(%supervisor, child = %name, %exit, "child ended"),
            Exit::Failed(_) | Exit::Panicked(_) | Exit::Escalated { .. } => {
                error!(%supervisor, child = %name, %exit, "child crashed");
            }
        }
        self.unhandled.push_back((place, exit));
    }

    /// Stops what must end together with the child at `place`, and starts all of it again.
    async fn restart(&mut self, place: usize, stop: &Stop) {
        let group = self.strategy.group(place, self.children.len());
        self.stop_children(group.clone()).await;
        if stop.is_cancelled() {
            return;
        }
        for place in group {
            let child = &self.children[place];
            if child.spec.restart != Restart::Temporary {
                let restarts = child.status.count_restart();
                warn!(supervisor = %self.name, child = %child.spec.name, restarts, "child is restarted");
                self.start_child(place);
            }
        }
    }

    fn escalation(&self, place: usize, last: Exit) -> Exit {
        let intensity = self.restarts.intensity();
        let child = self.children[place].spec.name.clone();
        error!(supervisor = %self.name, %child, exit = %last, allowed = %intensity, "too many restarts, giving up");
        Exit::Escalated { supervisor: self.name.clone(), intensity, child, last: Box::new(last) }
    }

    fn start_child(&mut self, place: usize) {
        let child = &mut self.children[place];
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

    /// Stops these children, the last one first.
    async fn stop_children(&mut self, group: Range<usize>) {
        for place in group.clone().rev() {
            self.stop_child(place).await;
        }
        self.unhandled.retain(|(place, _)| !group.contains(place));
    }

    async fn stop_child(&mut self, place: usize) {
        let Child { spec, status, running: Some(running) } = &self.children[place] else {
            return;
        };
        let (shutdown, abort) = (spec.shutdown, running.abort.clone());
        status.set(State::Stopping);
        running.stop.cancel();
        match shutdown {
            Shutdown::Infinity => return self.wait_for(place).await,
            Shutdown::Deadline(deadline) => {
                if timeout(deadline, self.wait_for(place)).await.is_ok() {
                    return;
                }
                let child = &self.children[place].spec.name;
                warn!(supervisor = %self.name, %child, ?deadline, "child did not stop in time and is aborted");
            }
            Shutdown::BrutalKill => {}
        }
        abort.abort();
        if timeout(ABORT_GRACE, self.wait_for(place)).await.is_err() {
            let child = &mut self.children[place];
            error!(supervisor = %self.name, child = %child.spec.name, "aborted child does not end and is left behind");
            child.running = None;
        }
    }

    async fn wait_for(&mut self, place: usize) {
        while self.children[place].running.is_some()
            && let Some(joined) = self.tasks.join_next_with_id().await
        {
            self.note_end(joined);
        }
    }
}

impl Child {
    fn new(spec: ChildSpec) -> Self {
        let status = Status::new(spec.name.clone(), spec.kind, spec.beneath.clone());
        Self { spec, status: Arc::new(status), running: None }
    }

    /// The child's work; a panic on the way to it is the child's, not its supervisor's.
    fn start(&mut self, stop: Stop) -> Work {
        let start = || match &mut self.spec.start {
            Start::Worker(start) => start(stop),
            Start::Supervisor(build) => Box::pin(Engine::start(build(), &self.status).run(stop)),
        };
        catch_unwind(AssertUnwindSafe(start))
            .unwrap_or_else(|payload| Box::pin(ready(Exit::from_panic(&*payload))))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Also when its supervisor was aborted, and could not watch it end.
        self.status.set(State::Ended);
    }
}
