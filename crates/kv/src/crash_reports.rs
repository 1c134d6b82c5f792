//! Crashes of the store's own parts, on their way to the supervisor that restarts them.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use tokio::sync::Notify;

/// A part of the store that is restarted when it crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The registry.
    Registry,
    /// The bucket supervisor.
    BucketSupervisor,
}

/// The latest crash that nobody has dealt with.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    restarting: AtomicBool,
    latest: Mutex<Option<(Component, String)>>,
    reported: Notify,
}

impl Faults {
    /// Whether the store waits to be restarted.
    pub(crate) fn restarting(&self) -> bool {
        self.restarting.load(SeqCst)
    }

    /// Reports a crash. From now on the store answers nothing until it is restarted.
    pub(crate) fn report(&self, unit: Component, reason: &str) {
        self.restarting.store(true, SeqCst);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((unit, reason.to_owned()));
        self.reported.notify_waiters();
    }

    /// Waits for a crash of `unit` and returns its reason.
    pub(crate) async fn wait_for(&self, unit: Component) -> String {
        loop {
            let reported = self.reported.notified();
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, reason)) = latest.filter(|(crashed, _)| *crashed == unit) {
                return reason;
            }
            reported.await;
        }
    }

    /// Notes that the store has been restarted.
    pub(crate) fn clear(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.restarting.store(false, SeqCst);
    }
}
