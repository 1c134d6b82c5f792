//! The reactors of a server, one for each thread of the runtime. They are started, supervised and stopped
//! together.

use super::{
    backend::{BackendKind, BackendSeed},
    event_loop,
    inbox::{ConnectionFuture, Inbox},
    socket::{SharedSocket, Stream},
};
use crate::memory::{Account, ClientMemory};
use otp::Stop;
use std::{
    io,
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{runtime::Handle, task::JoinSet};

/// A handle to all reactors; clones share them.
#[derive(Clone)]
pub(crate) struct ReactorPool(Arc<Shared>);

struct Shared {
    backend: BackendKind,
    memory: Arc<ClientMemory>,
    /// The inboxes of the reactors that run.
    inboxes: Mutex<Vec<Arc<Inbox>>>,
    next_id: AtomicUsize,
}

impl ReactorPool {
    /// A pool without running reactors, whose connections hold `memory`.
    pub(crate) fn new(may_use_io_uring: bool, memory: Arc<ClientMemory>) -> ReactorPool {
        ReactorPool(Arc::new(Shared {
            backend: BackendKind::detect(may_use_io_uring),
            memory,
            inboxes: Mutex::default(),
            next_id: AtomicUsize::default(),
        }))
    }

    /// Serves a socket with the future that `connect` makes of its stream; an error of `connect` rejects it.
    /// Reactors take connections in turn.
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
        let inbox = inboxes.get(id % inboxes.len().max(1));
        let inbox = inbox.ok_or_else(|| io::Error::other("no reactor runs"))?;
        let socket = Arc::new(socket);
        let account = Arc::new(Account::new(self.0.memory.clone(), socket.clone()));
        let socket = Arc::new(SharedSocket::new(id, socket, &account));
        let future = connect(Stream::new(socket.clone(), account)).map_err(io::Error::other)?;
        let future: ConnectionFuture = Box::pin(future);
        inbox.send(|commands| commands.connections.push((socket, future)));
        Ok(())
    }

    /// Runs the reactors until they are stopped or one of them fails, which stops all.
    pub(crate) fn run(&self, stop: Stop) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let prepared = self.prepare();
        let stop_all = StopAll(self.clone());
        async move {
            let mut threads = JoinSet::new();
            for (seed, inbox) in prepared.map_err(|error| error.to_string())? {
                threads.spawn_blocking(move || event_loop::run(seed.start()?, &inbox));
            }
            tokio::select! {
                () = stop.cancelled() => {}
                ended = threads.join_next() => return Err(format!("a reactor ended: {ended:?}")),
            }
            drop(stop_all);
            threads.join_all().await;
            Ok(())
        }
    }

    fn prepare(&self) -> io::Result<Vec<(BackendSeed, Arc<Inbox>)>> {
        let prepare = |_| {
            let (seed, waker) = self.0.backend.prepare()?;
            let inbox = Arc::new(Inbox::new(waker));
            self.lock_inboxes().push(inbox.clone());
            Ok((seed, inbox))
        };
        (0..Handle::current().metrics().num_workers()).map(prepare).collect()
    }

    fn lock_inboxes(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        self.0.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all reactors when it is dropped; no connections are accepted from then on.
struct StopAll(ReactorPool);

impl Drop for StopAll {
    fn drop(&mut self) {
        for inbox in self.0.lock_inboxes().drain(..) {
            inbox.send(|commands| {
                commands.connections.clear();
                commands.stop = true;
            });
        }
    }
}
