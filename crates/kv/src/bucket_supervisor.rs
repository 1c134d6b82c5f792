//! The bucket supervisor: catches a panic of a command, and ends the buckets that the command worked on, and
//! no others.
//!
//! Buckets are passive data, so it supervises the work on them: it opens a bucket for a command, and tracks
//! what a panic at this point is attributed to. Crashes of the store's own components are reported to the
//! supervisor that restarts them.

use crate::{
    limits::CRASH_LINES,
    pubsub::bucket_changes::EndReason,
    reply::Reply,
    shard::{Shard, bucket_ref::BucketMut, registry::Lookup},
    syntax::excerpt::excerpt,
    time::Clock,
};
use otp::{LogLimiter, panic_message};
use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::sync::Notify;

/// What a panic at this point is attributed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PanicScope {
    /// A component of the store.
    Component(Component),
    /// The buckets that the command names.
    Buckets,
    /// The caller, which is reading a reply.
    Caller,
}

/// Supervises the execution of one batch, or of one step of the sweeper.
#[derive(Debug)]
pub(crate) struct BucketSupervisor<'r> {
    crash_reports: &'r CrashReports,
    panic_scope: Cell<PanicScope>,
}

impl<'r> BucketSupervisor<'r> {
    /// A supervisor that reports crashes of components to `crash_reports`.
    pub(crate) fn new(crash_reports: &'r CrashReports) -> BucketSupervisor<'r> {
        BucketSupervisor { crash_reports, panic_scope: Cell::new(PanicScope::Caller) }
    }

    /// Sets what panics are attributed to from now on.
    #[inline]
    pub(crate) fn attribute_panics_to(&self, panic_scope: PanicScope) {
        self.panic_scope.set(panic_scope);
    }

    /// Opens a bucket, and attributes panics to it from now on. Ends it first if it has expired.
    #[inline]
    pub(crate) fn open<'s>(
        &self,
        shard: &'s mut Shard,
        name: &'s [u8],
        lookup: Lookup<'s>,
        clock: Clock,
    ) -> BucketMut<'s> {
        self.attribute_panics_to(PanicScope::Component(Component::Registry));
        let mut bucket = BucketMut::new(shard, name, lookup, clock.now_ms);
        self.attribute_panics_to(PanicScope::Buckets);
        #[cfg(test)]
        crate::tests::failpoint::reach("opened");
        bucket.end_if_expired(clock.removal_ms);
        bucket
    }

    /// Runs `work`. If it panics, returns the panic for [`Self::recover`].
    #[inline]
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(work))
    }

    /// Attributes a panic, and returns the reply to the request that panicked. A crash of the buckets ends
    /// them by `end_buckets`; a panic of the caller is resumed.
    pub(crate) fn recover(
        &self,
        panic: Box<dyn Any + Send>,
        end_buckets: impl FnOnce(&str),
    ) -> Reply<'static> {
        let (component, panic) = match self.panic_scope.get() {
            PanicScope::Caller => resume_unwind(panic),
            PanicScope::Component(component) => (component, panic),
            // The other replicas may not have crashed: this one has to be rebuilt.
            PanicScope::Buckets if self.crash_reports.is_replica => (Component::BucketSupervisor, panic),
            PanicScope::Buckets => {
                let reason = panic_message(&*panic);
                match catch_unwind(AssertUnwindSafe(|| end_buckets(reason))) {
                    Ok(()) => return Reply::Crashed,
                    Err(panic) => (Component::BucketSupervisor, panic),
                }
            }
        };
        self.crash_reports.report(component, panic_message(&*panic));
        Reply::Restarting
    }

    /// Ends the bucket that crashed, if it exists, and the unregistered one in its shard.
    pub(crate) fn end_crashed(&self, shard: &mut Shard, name: &[u8], name_hash: u64, reason: &str) {
        if CRASH_LOG.admit() {
            tracing::error!(bucket = %excerpt(name).escape_ascii(), reason, "bucket crashed");
        }
        self.crash_reports.note_bucket(name);
        let was_unregistered = shard.destroy_unregistered();
        let found = shard.registry.lookup(&shard.memory, Lookup::new(name_hash), name);
        shard.counters.crashed += u64::from(was_unregistered || found.is_some());
        match found {
            Some((slot, bucket)) => shard.end(slot, bucket, name, EndReason::Crashed),
            None => shard.announce_end(name, EndReason::Crashed),
        }
    }
}

/// Whoever can crash one bucket may be able to crash many.
static CRASH_LOG: LazyLock<LogLimiter> =
    LazyLock::new(|| LogLimiter::new("more buckets crashed", CRASH_LINES));

/// A component of the store that a crash restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The registry.
    Registry,
    /// The bucket supervisor.
    BucketSupervisor,
}

/// The latest crash of a component, until the store is restarted.
#[derive(Debug)]
pub(crate) struct CrashReports {
    /// Whether a log says what is in the store, so that a crash must not end a bucket alone.
    pub(crate) is_replica: bool,
    restarting: AtomicBool,
    latest: Mutex<Option<(Component, String)>>,
    /// The start of the name of the bucket that crashed last.
    last_bucket: Mutex<Option<Box<[u8]>>>,
    reported: Notify,
}

impl CrashReports {
    /// No crash yet.
    pub(crate) fn new(is_replica: bool) -> CrashReports {
        let (restarting, latest, last_bucket) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        CrashReports { is_replica, restarting, latest, last_bucket, reported: Notify::new() }
    }

    /// Whether the store is waiting to be restarted.
    pub(crate) fn is_restarting(&self) -> bool {
        self.restarting.load(SeqCst)
    }

    /// Notes that a bucket has crashed.
    fn note_bucket(&self, name: &[u8]) {
        *self.last_bucket.lock().unwrap_or_else(PoisonError::into_inner) = Some(excerpt(name).into());
    }

    /// The start of the name of the bucket that crashed last, if one has.
    pub(crate) fn last_bucket(&self) -> Option<Box<[u8]>> {
        self.last_bucket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reports a crash. From now on the store executes nothing until it is restarted.
    pub(crate) fn report(&self, component: Component, reason: &str) {
        self.restarting.store(true, SeqCst);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((component, reason.to_owned()));
        self.reported.notify_waiters();
    }

    /// Waits until `component` crashes, and returns the reason.
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

    /// Waits until a component has crashed.
    pub(crate) async fn wait_for_any(&self) {
        let reported = self.reported.notified();
        if !self.is_restarting() {
            reported.await;
        }
    }

    /// Notes that the store has been restarted.
    pub(crate) fn clear(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.restarting.store(false, SeqCst);
    }
}
