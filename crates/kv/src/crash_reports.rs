//! Crashes of the store's components, on their way to the supervisor that restarts them.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use tokio::sync::Notify;

/// A component of the store, which is restarted when it crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The registry.
    Registry,
    /// The bucket supervisor.
    BucketSupervisor,
}

/// The latest crash that has not led to a restart yet.
#[derive(Debug, Default)]
pub(crate) struct CrashReports {
    restarting: AtomicBool,
    latest: Mutex<Option<(Component, String)>>,
    reported: Notify,
}

impl CrashReports {
    /// Whether the store is waiting to be restarted.
    pub(crate) fn is_restarting(&self) -> bool {
        self.restarting.load(SeqCst)
    }

    /// Reports a crash. From now on the store executes nothing until it is restarted.
    pub(crate) fn report(&self, component: Component, reason: &str) {
        self.restarting.store(true, SeqCst);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((component, reason.to_owned()));
        self.reported.notify_waiters();
    }

    /// Waits for a crash of `component` and returns its reason.
    pub(crate) async fn wait_for(&self, component: Component) -> String {
        loop {
            let reported = self.reported.notified();
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, reason)) = latest.filter(|(crashed, _)| *crashed == component) {
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
