//! What a reactor is told by others: whom to serve, whom to poll again, and when to end.

use super::slot::Slot;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    task::Wake,
};

/// One connection as it is served.
pub(super) type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends a reactor's wait for sockets.
pub(super) enum Alarm {
    Poll(mio::Waker),
    #[cfg(target_os = "linux")]
    Event(std::os::fd::OwnedFd),
}

/// What a reactor was told since it last asked.
#[derive(Default)]
pub(super) struct Told {
    /// Never more than there may be connections.
    pub(super) newcomers: Vec<(Arc<Slot>, Conversation)>,
    /// Numbers of connections; each one once.
    pub(super) woken: Vec<usize>,
    pub(super) stop: bool,
}

/// The way to a reactor, from any thread.
pub(super) struct Queue {
    state: Mutex<State>,
    alarm: Alarm,
}

#[derive(Default)]
struct State {
    told: Told,
    /// Whether the reactor waits for sockets, and is to be woken.
    is_asleep: bool,
}

impl Alarm {
    fn sound(&self) -> io::Result<()> {
        match self {
            Alarm::Poll(waker) => waker.wake(),
            #[cfg(target_os = "linux")]
            Alarm::Event(event) => Ok(rustix::io::write(event, &1_u64.to_ne_bytes()).map(drop)?),
        }
    }
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(alarm: Alarm) -> Queue {
        Queue { state: Mutex::default(), alarm }
    }

    /// Tells the reactor something.
    pub(super) fn tell(&self, what: impl FnOnce(&mut Told)) {
        let mut state = self.lock();
        what(&mut state.told);
        let is_asleep = std::mem::take(&mut state.is_asleep);
        drop(state);
        if is_asleep && let Err(error) = self.alarm.sound() {
            tracing::error!(%error, "cannot wake a reactor");
        }
    }

    /// Notes that the reactor is about to wait for sockets; `false` when there is something to do first.
    pub(super) fn fall_asleep(&self) -> bool {
        let mut state = self.lock();
        let Told { newcomers, woken, stop } = &state.told;
        state.is_asleep = newcomers.is_empty() && woken.is_empty() && !stop;
        state.is_asleep
    }

    /// Exchanges what was told for `read`, in which nothing is left.
    pub(super) fn wake_up(&self, read: &mut Told) {
        let mut state = self.lock();
        state.is_asleep = false;
        std::mem::swap(&mut state.told, read);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has one connection polled again.
pub(super) struct Call {
    number: usize,
    /// Whether it is in the queue already.
    is_made: AtomicBool,
    queue: Arc<Queue>,
}

impl Call {
    /// That for the connection of this number.
    pub(super) fn new(number: usize, queue: Arc<Queue>) -> Call {
        Call { number, is_made: false.into(), queue }
    }

    /// The connection is about to be polled: from now on it is called again, and it sees what it was called for.
    pub(super) fn is_answered(&self) {
        self.is_made.swap(false, AcqRel);
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_made.swap(true, AcqRel) {
            self.queue.tell(|told| told.woken.push(self.number));
        }
    }
}
