//! Tasks that come and go: many, temporary, each on its own.

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

use crate::Stop;
use crate::error::Error;
use crate::exit::Exit;

/// Starts temporary tasks at run time, as Elixir's `Task.Supervisor` does: never more than a fixed number at once.
///
/// It runs tasks while a supervisor runs it, see [`ChildSpec::tasks`](crate::ChildSpec::tasks). A panic in a task
/// ends that task alone; it is logged and counted. When the task supervisor is stopped every task gets its [`Stop`],
/// and those that have not ended at its deadline are aborted. Clones are handles to the same tasks.
#[derive(Clone)]
pub struct TaskSupervisor {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    max: usize,
    crashed: AtomicU64,
    emptied: Notify,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// Given to every task; cancelled or absent when no task may start.
    stop: Option<Stop>,
    next_seat: u64,
    /// One pointer per task, to abort it by. It is absent for the moment between taking a seat and starting, and
    /// where the owner of the task aborts it.
    seats: HashMap<u64, Option<AbortHandle>>,
}

impl TaskSupervisor {
    /// A supervisor of at most `max` tasks at once.
    pub fn new(name: impl Into<String>, max: usize) -> Self {
        let shared = Shared {
            name: name.into(),
            max,
            crashed: AtomicU64::new(0),
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
        self.tasks().seats.len()
    }

    /// How many tasks have panicked so far.
    pub fn crashed(&self) -> u64 {
        self.shared.crashed.load(Ordering::Relaxed)
    }

    /// Starts a task of its own. `name` is for the log, and only made into text when the task crashes.
    ///
    /// # Errors
    /// [`Error::AtCapacity`] when as many tasks as allowed are running, [`Error::NotRunning`] when no supervisor
    /// runs this one. `work` is dropped then.
    pub fn spawn<F>(
        &self,
        name: impl Display + Send + 'static,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (seat, stop) = self.take_seat()?;
        let number = seat.number;
        let task = tokio::spawn(seat.run(name, move || work(stop)));
        let seated = self.tasks().seats.get_mut(&number).map(|place| *place = Some(task.abort_handle()));
        if seated.is_none() {
            task.abort(); // It has ended already, or all were aborted before this one was known.
        }
        Ok(())
    }

    /// As [`Self::spawn`], for one who polls many tasks in turns: the task runs where the future that this returns is
    /// polled, and is aborted by dropping it, which is up to its owner.
    ///
    /// # Errors
    /// As those of [`Self::spawn`].
    pub fn admit<F>(
        &self,
        name: impl Display + Send + 'static,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Result<impl Future<Output = ()> + Send + 'static, Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (seat, stop) = self.take_seat()?;
        Ok(seat.run(name, move || work(stop)))
    }

    fn take_seat(&self) -> Result<(Seat, Stop), Error> {
        let mut tasks = self.tasks();
        let Some(stop) = tasks.stop.clone().filter(|stop| !stop.is_cancelled()) else {
            return Err(Error::NotRunning { tasks: self.name().to_owned() });
        };
        if tasks.seats.len() >= self.shared.max {
            return Err(Error::AtCapacity { tasks: self.name().to_owned(), max: self.shared.max });
        }
        let number = tasks.next_seat;
        tasks.next_seat += 1;
        tasks.seats.insert(number, None);
        Ok((Seat { supervisor: self.clone(), number }, stop))
    }

    /// Lets tasks start from now on; the future ends when it was stopped and the last task has ended, and aborts the
    /// tasks that are left when it is itself aborted.
    pub(crate) fn supervise(&self, stop: Stop) -> impl Future<Output = Exit> + Send + use<> {
        self.tasks().stop = Some(stop.clone());
        let rest = AbortRest(self.clone());
        async move {
            stop.cancelled().await;
            loop {
                let emptied = rest.0.shared.emptied.notified();
                if rest.0.count() == 0 {
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

/// A running task's place among the tasks; given back when the task ends, however it ends.
struct Seat {
    supervisor: TaskSupervisor,
    number: u64,
}

impl Seat {
    /// Runs a task that sits here.
    async fn run<F: Future<Output = ()>>(self, name: impl Display, work: impl FnOnce() -> F) {
        let running = pin!(async move { work().await });
        if let Err(exit) = catch(running).await {
            self.crashed(&name, &exit);
        }
    }

    fn crashed(&self, task: &dyn Display, exit: &Exit) {
        self.supervisor.shared.crashed.fetch_add(1, Ordering::Relaxed);
        error!(supervisor = %self.supervisor.name(), %task, %exit, "task crashed");
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut tasks = self.supervisor.tasks();
        tasks.seats.remove(&self.number);
        let emptied = tasks.seats.is_empty();
        drop(tasks);
        if emptied {
            self.supervisor.shared.emptied.notify_waiters();
        }
    }
}

/// Aborts the tasks that are left when their supervisor ends.
struct AbortRest(TaskSupervisor);

impl Drop for AbortRest {
    fn drop(&mut self) {
        let mut tasks = self.0.tasks();
        tasks.stop = None;
        let rest = std::mem::take(&mut tasks.seats);
        drop(tasks);
        if !rest.is_empty() {
            warn!(
                supervisor = %self.0.name(),
                tasks = rest.len(),
                "tasks did not stop in time and are aborted"
            );
        }
        rest.into_values().flatten().for_each(|task| task.abort());
    }
}

/// Runs `work` and catches its panic where it happens, so that no handle is kept only to learn of it.
async fn catch(mut work: Pin<&mut impl Future<Output = ()>>) -> Result<(), Exit> {
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .map_or_else(|payload| Poll::Ready(Err(Exit::from_panic(&*payload))), |poll| poll.map(Ok))
    })
    .await
}
