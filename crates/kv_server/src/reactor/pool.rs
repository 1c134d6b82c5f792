//! The reactors of a server, one for each thread of the runtime. They are started, supervised and stopped
//! together; connections are on as many of them as the load needs.

#[cfg(target_os = "linux")]
use super::uring::Uring;
use super::{
    backend::{BackendKind, BackendSeed},
    balancer::{Balancer, Plan},
    event_loop,
    inbox::{ConnectionFuture, Inbox, Order},
    load::{IdleCores, Loads, ThreadClock},
    socket::{SharedSocket, Stream},
};
use crate::{
    limits::BALANCE_INTERVAL,
    memory::{Account, ClientMemory},
};
use otp::Stop;
use std::{
    convert::Infallible,
    future::pending,
    io,
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet, time::sleep};

/// A handle to all reactors; clones share them.
#[derive(Clone)]
pub(crate) struct ReactorPool(Arc<Shared>);

struct Shared {
    backend: BackendKind,
    memory: Arc<ClientMemory>,
    /// The inboxes of the reactors that run.
    inboxes: Mutex<Vec<Arc<Inbox>>>,
    /// How many of them, from the first, serve connections.
    active: AtomicUsize,
    next_id: AtomicUsize,
}

impl ReactorPool {
    /// A pool for the threads of this runtime, without running reactors; its connections hold `memory`.
    pub(crate) fn new(may_use_io_uring: bool, memory: Arc<ClientMemory>) -> ReactorPool {
        ReactorPool(Arc::new(Shared {
            backend: BackendKind::detect(may_use_io_uring, Handle::current().metrics().num_workers()),
            memory,
            inboxes: Mutex::default(),
            active: AtomicUsize::new(1),
            next_id: AtomicUsize::default(),
        }))
    }

    /// Serves a socket with the future that `connect` makes of its stream; an error of `connect` rejects it.
    /// The active reactors take connections in turn.
    pub(crate) fn serve<F>(
        &self,
        socket: TcpStream,
        connect: impl FnOnce(Stream) -> Result<F, otp::Error>,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        socket.set_nonblocking(self.0.backend.is_nonblocking())?;
        let id = self.0.next_id.fetch_add(1, Relaxed);
        let inboxes = self.lock_inboxes();
        let inbox = inboxes.get(id % self.0.active.load(Relaxed));
        let inbox = inbox.ok_or_else(|| io::Error::other("no reactor runs"))?;
        let socket = Arc::new(socket);
        let account = Arc::new(Account::new(self.0.memory.clone(), socket.clone()));
        let socket = Arc::new(SharedSocket::new(id, socket, &account));
        let future = connect(Stream::new(socket.clone(), account)).map_err(io::Error::other)?;
        let future: ConnectionFuture = Box::pin(future);
        inbox.send(|commands| commands.connections.push((socket, future)));
        Ok(())
    }

    /// Runs the reactors until they are stopped or one of them fails, which stops all. `calls` is how many
    /// requests they have executed.
    pub(crate) fn run<C>(
        &self,
        stop: Stop,
        calls: C,
    ) -> impl Future<Output = Result<(), String>> + Send + use<C>
    where
        C: Fn() -> u64 + Send + 'static,
    {
        let prepared = self.prepare();
        let stop_all = StopAll(self.clone());
        async move {
            let (mut threads, mut reactors) = (JoinSet::new(), Vec::new());
            for (seed, inbox) in prepared.map_err(|error| error.to_string())? {
                let (sender, clock) = oneshot::channel();
                reactors.push((inbox.clone(), clock));
                threads.spawn_blocking(move || {
                    // Without a receiver, the pool has been stopped.
                    let begin = || _ = sender.send(ThreadClock::of_this_thread());
                    match seed {
                        #[cfg(target_os = "linux")]
                        BackendSeed::Uring(eventfd) => {
                            let ring = Uring::open(eventfd)?;
                            begin();
                            event_loop::run(ring, &inbox)
                        }
                        BackendSeed::Epoll(epoll) => {
                            begin();
                            event_loop::run(epoll, &inbox)
                        }
                    }
                });
            }
            tokio::select! {
                () = stop.cancelled() => {}
                ended = threads.join_next() => return Err(format!("a reactor ended: {ended:?}")),
                never = stop_all.0.balance(reactors, calls) => match never {},
            }
            drop(stop_all);
            threads.join_all().await;
            Ok(())
        }
    }

    /// Keeps the connections on as few reactors as the load needs; on all where the system does not count
    /// how busy a thread is.
    async fn balance(
        &self,
        reactors: Vec<(Arc<Inbox>, oneshot::Receiver<io::Result<ThreadClock>>)>,
        calls: impl Fn() -> u64,
    ) -> Infallible {
        let (mut inboxes, mut clocks) = (Vec::new(), Vec::new());
        for (inbox, clock) in reactors {
            inboxes.push(inbox);
            // Without a sender, the reactor has ended, and all are stopped.
            let Ok(clock) = clock.await else { return pending().await };
            clocks.push(clock);
        }
        if inboxes.len() > 1 {
            let Err(error) = self.balance_by(&inboxes, clocks, calls).await;
            tracing::info!(%error, "the system does not count how busy threads are; clients are served by all of them");
            self.0.active.store(inboxes.len(), Relaxed);
            inboxes.iter().for_each(|inbox| inbox.send(|commands| commands.order = Some(Order::Keep)));
        }
        pending().await
    }

    /// Balances connections by how busy the threads of their reactors are.
    async fn balance_by(
        &self,
        inboxes: &[Arc<Inbox>],
        clocks: Vec<io::Result<ThreadClock>>,
        calls: impl Fn() -> u64,
    ) -> io::Result<Infallible> {
        let mut loads = Loads::begin(clocks.into_iter().collect::<io::Result<_>>()?)?;
        let (mut balancer, mut idle) = (Balancer::new(inboxes.len()), IdleCores::default());
        let mut calls_before = calls();
        loop {
            sleep(BALANCE_INTERVAL).await;
            let (busy, active, calls) = (loads.measure()?, balancer.active(), calls());
            let before = std::mem::replace(&mut calls_before, calls);
            // Counters that were reset count from 0.
            let requests = calls.checked_sub(before).unwrap_or(calls);
            for (reactor, plan) in balancer.balance(&busy, requests, || idle.measure()) {
                let order = match plan {
                    Plan::Keep => Order::Keep,
                    Plan::HandOver { nth, to } => Order::HandOver { nth, to: inboxes[to].to_vec() },
                };
                inboxes[reactor].send(|commands| commands.order = Some(order));
            }
            if balancer.active() != active {
                tracing::debug!(threads = balancer.active(), ?busy, "clients are served by");
                self.0.active.store(balancer.active(), Relaxed);
            }
        }
    }

    fn prepare(&self) -> io::Result<Vec<(BackendSeed, Arc<Inbox>)>> {
        self.0.active.store(1, Relaxed);
        let prepare = |_| {
            let (seed, waker) = self.0.backend.prepare()?;
            let inbox = Arc::new(Inbox::new(waker));
            self.lock_inboxes().push(inbox.clone());
            Ok((seed, inbox))
        };
        (0..Handle::current().metrics().num_workers()).map(prepare).collect()
    }

    pub(super) fn lock_inboxes(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        self.0.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all reactors when it is dropped; no connections are accepted from then on.
struct StopAll(ReactorPool);

impl Drop for StopAll {
    fn drop(&mut self) {
        for inbox in self.0.lock_inboxes().drain(..) {
            inbox.send(|commands| commands.stop = true);
        }
    }
}
