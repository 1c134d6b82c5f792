//! The reactors of a server, one for each thread of the runtime: started, watched and stopped together.

use super::{
    driver::{Prepared, Way},
    queue::{Conversation, Queue},
    run::run,
    slot::Slot,
    stream::Stream,
};
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

/// All reactors. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    way: Way,
    /// The ways to those that run.
    queues: Mutex<Vec<Arc<Queue>>>,
    /// Connections that have come.
    numbers: AtomicUsize,
}

impl Pool {
    /// Reactors that have not been started.
    pub(crate) fn new(may_use_io_uring: bool) -> Pool {
        let way = Way::best(may_use_io_uring);
        Pool(Arc::new(Shared { way, queues: Mutex::default(), numbers: AtomicUsize::default() }))
    }

    /// Has a socket served by the conversation that `begin` makes of its stream, or refuses. Connections are dealt to the
    /// reactors in turn.
    pub(crate) fn serve<F>(
        &self,
        socket: TcpStream,
        begin: impl FnOnce(Stream) -> Result<F, otp::Error>,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        socket.set_nonblocking(self.0.way.is_nonblocking())?;
        let number = self.0.numbers.fetch_add(1, Relaxed);
        let queues = self.queues();
        let queue = queues.get(number % queues.len().max(1));
        let queue = queue.ok_or_else(|| io::Error::other("no reactor runs"))?;
        let slot = Arc::new(Slot::new(number, socket));
        let conversation = begin(Stream::new(slot.clone())).map_err(io::Error::other)?;
        let conversation: Conversation = Box::pin(conversation);
        queue.tell(|told| told.newcomers.push((slot, conversation)));
        Ok(())
    }

    /// Runs the reactors until they are told to stop, or one of them fails, which is the end of all.
    pub(crate) fn supervise(&self, stop: Stop) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let prepared = self.prepare();
        let stop_all = StopAll(self.clone());
        async move {
            let mut threads = JoinSet::new();
            for (driver, queue) in prepared.map_err(|error| error.to_string())? {
                threads.spawn_blocking(move || run(driver.start()?, &queue));
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

    fn prepare(&self) -> io::Result<Vec<(Prepared, Arc<Queue>)>> {
        let prepare = |_| {
            let (driver, alarm) = self.0.way.prepare()?;
            let queue = Arc::new(Queue::new(alarm));
            self.queues().push(queue.clone());
            Ok((driver, queue))
        };
        (0..Handle::current().metrics().num_workers()).map(prepare).collect()
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all reactors to stop, and lets nobody in any more, when it is dropped.
struct StopAll(Pool);

impl Drop for StopAll {
    fn drop(&mut self) {
        for queue in self.0.queues().drain(..) {
            queue.tell(|told| {
                told.newcomers.clear();
                told.stop = true;
            });
        }
    }
}
