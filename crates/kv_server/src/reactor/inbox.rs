//! The inbox of a reactor: other threads send it connections to serve, connections to poll again, orders to
//! hand connections over, and the command to stop.

use super::socket::SharedSocket;
use kv_cluster::wakes;
use std::{
    io,
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
    /// Replaces the order to hand connections over.
    pub(super) order: Option<Order>,
    pub(super) stop: bool,
}

/// What a reactor does with its connections from now on.
pub(super) enum Order {
    /// It serves all of them.
    Keep,
    /// Of those that become ready it hands over every `nth`, to each of these reactors in turn.
    HandOver { nth: usize, to: Vec<Arc<Inbox>> },
}

/// The commands for a reactor, and what wakes it.
pub(super) struct Inbox {
    state: Mutex<State>,
    waker: ReactorWaker,
}

/// Wakes a reactor that waits for its sockets, from any thread.
pub(super) enum ReactorWaker {
    #[cfg(target_os = "linux")]
    EventFd(std::os::fd::OwnedFd),
    Epoll(mio::Waker),
}

#[derive(Default)]
struct State {
    commands: Commands,
    /// Whether the reactor waits for its sockets and must be woken.
    waiting: bool,
    /// Whether the reactor was sent the command to stop: it takes no more connections.
    stopped: bool,
}

impl ReactorWaker {
    fn wake(&self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            ReactorWaker::EventFd(eventfd) => Ok(rustix::io::write(eventfd, &1_u64.to_ne_bytes()).map(drop)?),
            ReactorWaker::Epoll(waker) => waker.wake(),
        }
    }
}

impl Inbox {
    /// The empty inbox of the reactor that `waker` wakes.
    pub(super) fn new(waker: ReactorWaker) -> Inbox {
        Inbox { state: Mutex::default(), waker }
    }

    /// Adds commands with `add`, and wakes the reactor if it waits. A reactor that was stopped drops the
    /// connections that it is sent.
    pub(super) fn send(self: &Arc<Self>, add: impl FnOnce(&mut Commands)) {
        let mut state = self.lock();
        add(&mut state.commands);
        state.stopped |= state.commands.stop;
        let refused =
            if state.stopped { std::mem::take(&mut state.commands.connections) } else { Vec::new() };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(refused);
        if waiting {
            wakes::wake_after_all(self.clone().into());
        }
    }

    /// Called before the reactor waits for its sockets. Returns whether it may: only while the inbox is
    /// empty.
    pub(super) fn prepare_wait(&self) -> bool {
        let mut state = self.lock();
        let Commands { connections, woken, order, stop } = &state.commands;
        state.waiting = connections.is_empty() && woken.is_empty() && order.is_none() && !stop;
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

impl Wake for Inbox {
    /// Wakes the reactor.
    fn wake(self: Arc<Self>) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a reactor");
        }
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
