//! The loop of a reactor's thread. It polls connections in groups: one that yields is polled again after the
//! others of its group. A [`Backend`] does the I/O of their sockets.

use super::{
    inbox::{Commands, ConnectionFuture, ConnectionWaker, Inbox, Order},
    socket::SharedSocket,
};
use crate::limits::YIELD_GROUP;
use foldhash::fast::RandomState;
use kv_cluster::wakes;
use otp::LogLimiter;
use std::{
    cell::Cell,
    collections::HashMap,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// What the loop asks of io_uring or epoll.
pub(super) trait Backend {
    /// Adds a connection's socket.
    fn register(&mut self, socket: &Arc<SharedSocket>) -> io::Result<()>;

    /// Starts the send and the receive that the connection awaits. Returns whether it is ready again at once.
    fn start_io(&mut self, socket: &Arc<SharedSocket>) -> bool;

    /// Submits to the kernel what has been started.
    fn submit(&mut self) -> io::Result<()>;

    /// Submits what has been started, waits for some I/O to complete if `may_wait`, handles what has, and
    /// adds the ids of the connections that are ready to `ready`.
    fn poll_io(&mut self, may_wait: bool, ready: &mut Vec<usize>) -> io::Result<()>;

    /// Ends a receive without bytes. Returns whether nothing of the socket is in flight; if not, the
    /// connection becomes ready once that has changed.
    fn cancel_receive(&mut self, socket: &Arc<SharedSocket>) -> bool;

    /// Removes the socket of a connection that has ended, or that another backend is to serve.
    fn deregister(&mut self, id: usize);
}

/// Serves connections until it is stopped, then drops the remaining ones.
pub(super) fn run(backend: impl Backend, inbox: &Arc<Inbox>) -> io::Result<()> {
    let mut event_loop = EventLoop {
        backend,
        connections: HashMap::default(),
        ready: Vec::new(),
        hand_over: None,
        orders: 0,
        failures: LogLimiter::new("clients could not be served", 1),
    };
    let mut commands = Commands::default();
    loop {
        let may_wait = event_loop.ready.is_empty() && inbox.prepare_wait();
        event_loop.backend.poll_io(may_wait, &mut event_loop.ready)?;
        inbox.drain_into(&mut commands);
        if commands.stop {
            return Ok(());
        }
        if let Some(order) = commands.order.take() {
            event_loop.begin_order(order);
        }
        event_loop.hand_over(&mut commands.woken);
        for (socket, future) in commands.connections.drain(..) {
            event_loop.add_connection(socket, future, inbox);
        }
        wakes::turn(|| event_loop.poll_ready());
        if !commands.woken.is_empty() {
            // A woken connection, which may have woken itself, can have much to do, so the replies of the
            // others are sent first.
            event_loop.backend.submit()?;
            event_loop.ready.append(&mut commands.woken);
            wakes::turn(|| event_loop.poll_ready());
        }
    }
}

struct EventLoop<B> {
    backend: B,
    connections: HashMap<usize, Connection, RandomState>,
    /// Ids of the connections to poll, in the order in which they became ready.
    ready: Vec<usize>,
    /// The order in force, if connections are to be handed over.
    hand_over: Option<HandOver>,
    /// How many orders have been received.
    orders: usize,
    failures: LogLimiter,
}

/// An order to hand connections over, as far as it has been carried out.
struct HandOver {
    nth: usize,
    to: Vec<Arc<Inbox>>,
    /// How many connections it has been applied to.
    applied: usize,
}

struct Connection {
    socket: Arc<SharedSocket>,
    schedule: Arc<ConnectionWaker>,
    /// `schedule`, as the future receives it.
    waker: Waker,
    future: ConnectionFuture,
    /// The number of the last order to hand over that was applied to it.
    last_order: usize,
}

impl<B: Backend> EventLoop<B> {
    fn add_connection(&mut self, socket: Arc<SharedSocket>, future: ConnectionFuture, inbox: &Arc<Inbox>) {
        if let Err(error) = self.backend.register(&socket) {
            if self.failures.admit() {
                tracing::error!(%error, "cannot serve a client");
            }
            return;
        }
        let id = socket.id;
        self.ready.push(id);
        let schedule = Arc::new(ConnectionWaker::new(id, inbox.clone()));
        let waker = Waker::from(schedule.clone());
        self.connections.insert(id, Connection { socket, schedule, waker, future, last_order: 0 });
    }

    fn begin_order(&mut self, order: Order) {
        self.orders += 1;
        self.hand_over = match order {
            Order::Keep => None,
            Order::HandOver { nth, to } => Some(HandOver { nth, to, applied: 0 }),
        };
    }

    /// Hands over connections that are ready or woken, as ordered: each at a moment when the kernel works on
    /// nothing of it. The other reactor polls it at once, with a waker of its own, so a wake on the way is
    /// not lost.
    fn hand_over(&mut self, woken: &mut Vec<usize>) {
        let Some(order) = &mut self.hand_over else { return };
        let mut handed_over = Vec::new();
        let mut stays = |id: &usize| {
            let Some(connection) = self.connections.get_mut(id) else { return false };
            if connection.last_order == self.orders {
                return true;
            }
            let socket = &connection.socket;
            if !socket.lock_io().is_idle() && !self.backend.cancel_receive(socket) {
                return true;
            }
            connection.last_order = self.orders;
            order.applied += 1;
            if !order.applied.is_multiple_of(order.nth) {
                return true;
            }
            self.backend.deregister(*id);
            let moved = self.connections.remove(id);
            handed_over.extend(moved.map(|connection| (connection.socket, connection.future)));
            false
        };
        self.ready.retain(&mut stays);
        woken.retain(&mut stays);
        if !handed_over.is_empty() {
            order.to.rotate_left(1);
            order.to[0].send(|commands| commands.connections.append(&mut handed_over));
        }
    }

    /// Polls the ready connections group by group, each group until none of its members yields.
    fn poll_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        for group in ready.chunks_mut(YIELD_GROUP) {
            let (size, mut left) = (group.len(), group.len());
            while left > 0 {
                let mut yielded = 0;
                for index in 0..left {
                    if self.poll_connection(group[index], size) {
                        group.swap(yielded, index);
                        yielded += 1;
                    }
                }
                left = yielded;
            }
        }
        ready.clear();
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// Polls one member of a group of `size`. Returns whether it yielded.
    fn poll_connection(&mut self, id: usize, size: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        connection.schedule.clear_scheduled();
        let mut context = Context::from_waker(&connection.waker);
        let future = connection.future.as_mut();
        let (polled, yielded) = poll_in_group(size, || future.poll(&mut context));
        if polled.is_ready() {
            self.connections.remove(&id);
            self.backend.deregister(id);
        } else if !yielded && self.backend.start_io(&connection.socket) {
            self.ready.push(id);
        }
        yielded
    }
}

thread_local! {
    static POLLED: Cell<Polled> = const { Cell::new(Polled::Alone) };
}

/// How this thread polls the current connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Polled {
    /// Not as one of a group, or there is none.
    Alone,
    /// As one of a group.
    Grouped,
    /// As one of a group, and it has yielded.
    Yielded,
}

/// Polls one member of a group of `size`. The second value is whether it yielded.
fn poll_in_group<T>(size: usize, poll: impl FnOnce() -> T) -> (T, bool) {
    POLLED.set(if size > 1 { Polled::Grouped } else { Polled::Alone });
    let polled = poll();
    (polled, POLLED.replace(Polled::Alone) == Polled::Yielded)
}

/// Whether the current connection is polled as one of a group, so that others run while it yields.
pub(crate) fn is_grouped() -> bool {
    POLLED.get() != Polled::Alone
}

/// Yields until the others of the group have been polled; without a group it returns at once.
pub(crate) async fn yield_to_group() {
    let mut may_yield = is_grouped();
    poll_fn(move |_| {
        if std::mem::take(&mut may_yield) {
            POLLED.set(Polled::Yielded);
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
