//! The inbox of a reactor: other threads send it connections to serve, connections to poll again, and the
//! command to stop.

use super::{backend::BackendWaker, socket::SharedSocket};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    task::Wake,
};

/// The future that serves one connection.
pub(super) type ConnectionFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The commands since the reactor last drained its inbox.
#[derive(Default)]
pub(super) struct Commands {
    /// Connections to serve; bounded by the limit on connections.
    pub(super) connections: Vec<(Arc<SharedSocket>, ConnectionFuture)>,
    /// Ids of connections to poll again, each only once.
    pub(super) woken: Vec<usize>,
    pub(super) stop: bool,
}

/// The commands for a reactor, and what wakes it.
pub(super) struct Inbox {
    state: Mutex<State>,
    waker: BackendWaker,
}

#[derive(Default)]
struct State {
    commands: Commands,
    /// Whether the reactor waits for its sockets and must be woken.
    waiting: bool,
}

impl Inbox {
    /// The empty inbox of the reactor that `waker` wakes.
    pub(super) fn new(waker: BackendWaker) -> Inbox {
        Inbox { state: Mutex::default(), waker }
    }

    /// Adds commands with `add`, and wakes the reactor if it waits.
    pub(super) fn send(&self, add: impl FnOnce(&mut Commands)) {
        let mut state = self.lock();
        add(&mut state.commands);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        if waiting && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a reactor");
        }
    }

    /// Called before the reactor waits for its sockets. Returns whether it may: only while the inbox is
    /// empty.
    pub(super) fn prepare_wait(&self) -> bool {
        let mut state = self.lock();
        let Commands { connections, woken, stop } = &state.commands;
        state.waiting = connections.is_empty() && woken.is_empty() && !stop;
        state.waiting
    }

    /// Moves all commands into `drained`, which is empty.
    pub(super) fn drain_into(&self, drained: &mut Commands) {
        let mut state = self.lock();
        state.waiting = false;
        std::mem::swap(&mut state.commands, drained);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one connection: schedules it to be polled again.
pub(super) struct ConnectionWaker {
    id: usize,
    /// Whether the connection is in the inbox already.
    scheduled: AtomicBool,
    inbox: Arc<Inbox>,
}

impl ConnectionWaker {
    /// The waker of the connection with this id.
    pub(super) fn new(id: usize, inbox: Arc<Inbox>) -> ConnectionWaker {
        ConnectionWaker { id, scheduled: false.into(), inbox }
    }

    /// Called just before the connection is polled, so that any wake from now on schedules it again.
    pub(super) fn clear_scheduled(&self) {
        self.scheduled.swap(false, AcqRel);
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.scheduled.swap(true, AcqRel) {
            self.inbox.send(|commands| commands.woken.push(self.id));
        }
    }
}
