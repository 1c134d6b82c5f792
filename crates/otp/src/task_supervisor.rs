//! A supervisor of temporary tasks that are started at run time.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::{error, warn};

use crate::error::Error;
use crate::exit::Exit;
use crate::limits::CRASH_LINES;
use crate::overload::log_limiter::LogLimiter;
use crate::policy::Stop;

/// Starts temporary tasks at run time, as Elixir's `Task.Supervisor` does, up to a maximum at once.
///
/// It runs tasks while a supervisor runs it, see [`ChildSpec::tasks`](crate::ChildSpec::tasks). A panic ends
/// one task alone; it is logged and counted. When the task supervisor is stopped, the [`Stop`] (a
/// cancellation token) of every task is cancelled, and tasks that have not ended at its deadline are aborted.
/// Clones share the same tasks.
#[derive(Clone)]
pub struct TaskSupervisor {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    max: usize,
    crashed: AtomicU64,
    crash_log: LogLimiter,
    emptied: Notify,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// Given to every task; cancelled or absent when no task may start.
    stop: Option<Stop>,
    next_slot: u64,
    /// Aborts a task; absent until the task has started, and for a task whose future is polled by its owner.
    slots: HashMap<u64, Option<AbortHandle>>,
}

impl TaskSupervisor {
    /// A supervisor of up to `max` tasks at once.
    pub fn new(name: impl Into<String>, max: usize) -> Self {
        let shared = Shared {
            name: name.into(),
            max,
            crashed: AtomicU64::new(0),
            crash_log: LogLimiter::new("more tasks crashed", CRASH_LINES),
            emptied: Notify::new(),
            tasks: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its name in the tree.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many tasks are running.
    pub fn count(&self) -> usize {
        self.tasks().slots.len()
    }

    /// How many tasks have panicked so far.
    pub fn crashed(&self) -> u64 {
        self.shared.crashed.load(Ordering::Relaxed)
    }

    /// Starts a tokio task. `name` is for the log, and formatted only if the task crashes.
    ///
    /// # Errors
    /// [`Error::AtCapacity`] if the maximum number of tasks is running, [`Error::NotRunning`] if no
    /// supervisor runs this one. In both cases `work` is dropped.
    pub fn spawn<F>(
        &self,
        name: impl Display + Send + 'static,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (slot, stop) = self.reserve()?;
        let id = slot.id;
        let task = tokio::spawn(slot.run(name, move || work(stop)));
        let registered = self.tasks().slots.get_mut(&id).map(|abort| *abort = Some(task.abort_handle()));
        if registered.is_none() {
            task.abort(); // It has ended already, or all were aborted before this one was registered.
        }
        Ok(())
    }

    /// Like [`Self::spawn`], but without a tokio task: the returned future is the supervised task. Its
    /// owner polls it, and aborts it by dropping it.
    ///
    /// # Errors
    /// Those of [`Self::spawn`].
    pub fn supervise_future<F>(
        &self,
        name: impl Display + Send + 'static,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Result<impl Future<Output = ()> + Send + 'static, Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (slot, stop) = self.reserve()?;
        Ok(slot.run(name, move || work(stop)))
    }

    fn reserve(&self) -> Result<(TaskSlot, Stop), Error> {
        let mut tasks = self.tasks();
        let Some(stop) = tasks.stop.clone().filter(|stop| !stop.is_cancelled()) else {
            return Err(Error::NotRunning { tasks: self.name().to_owned() });
        };
        if tasks.slots.len() >= self.shared.max {
            return Err(Error::AtCapacity { tasks: self.name().to_owned(), max: self.shared.max });
        }
        let id = tasks.next_slot;
        tasks.next_slot += 1;
        tasks.slots.insert(id, None);
        Ok((TaskSlot { supervisor: self.clone(), id }, stop))
    }

    /// Allows tasks to start. The future ends once it is stopped and the last task has ended; dropping it
    /// aborts the remaining tasks.
    pub(crate) fn supervise(&self, stop: Stop) -> impl Future<Output = Exit> + Send + use<> {
        self.tasks().stop = Some(stop.clone());
        let remaining = AbortRemaining(self.clone());
        async move {
            stop.cancelled().await;
            loop {
                let emptied = remaining.0.shared.emptied.notified();
                if remaining.0.count() == 0 {
                    return Exit::Normal;
                }
                emptied.await;
            }
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the `max` tasks; released when the task ends, however it ends.
struct TaskSlot {
    supervisor: TaskSupervisor,
    id: u64,
}

impl TaskSlot {
    /// Runs the task that holds this slot.
    async fn run<F: Future<Output = ()>>(self, name: impl Display, work: impl FnOnce() -> F) {
        let running = pin!(async move { work().await });
        if let Err(exit) = catch(running).await {
            self.crashed(&name, &exit);
        }
    }

    fn crashed(&self, task: &dyn Display, exit: &Exit) {
        self.supervisor.shared.crashed.fetch_add(1, Ordering::Relaxed);
        if self.supervisor.shared.crash_log.admit() {
            error!(supervisor = %self.supervisor.name(), %task, %exit, "task crashed");
        }
    }
}

impl Drop for TaskSlot {
    fn drop(&mut self) {
        let mut tasks = self.supervisor.tasks();
        tasks.slots.remove(&self.id);
        let emptied = tasks.slots.is_empty();
        drop(tasks);
        if emptied {
            self.supervisor.shared.emptied.notify_waiters();
        }
    }
}

/// Aborts the remaining tasks when their supervisor ends.
struct AbortRemaining(TaskSupervisor);

impl Drop for AbortRemaining {
    fn drop(&mut self) {
        let mut tasks = self.0.tasks();
        tasks.stop = None;
        let remaining = std::mem::take(&mut tasks.slots);
        drop(tasks);
        if !remaining.is_empty() {
            warn!(
                supervisor = %self.0.name(),
                tasks = remaining.len(),
                "tasks did not stop in time and are aborted"
            );
        }
        remaining.into_values().flatten().for_each(|task| task.abort());
    }
}

/// Runs `work` and catches its panic here, so that no `JoinHandle` has to be kept to detect it.
async fn catch(mut work: Pin<&mut impl Future<Output = ()>>) -> Result<(), Exit> {
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .map_or_else(|payload| Poll::Ready(Err(Exit::from_panic(&*payload))), |poll| poll.map(Ok))
    })
    .await
}
