//! The bucket supervisor. Buckets are passive, so what it supervises is the work on them: it opens a bucket
//! for a command, knows at any time whose work is being done, and when that panics, ends the buckets that
//! were worked on, and no other.

use crate::{
    crash_reports::{Component, CrashReports},
    pubsub::bucket_changes::EndReason,
    reply::Reply,
    shard::{Shard, bucket_mut::BucketMut, registry::Lookup},
};
use otp::panic_message;
use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// What a panic would be a crash of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PanicScope {
    /// A component of the store.
    Component(Component),
    /// The buckets that the command names.
    Buckets,
    /// The caller, who reads a reply.
    Caller,
}

/// The supervisor of one piece of work.
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

    /// Notes whose work is done from now on.
    #[inline]
    pub(crate) fn enter(&self, panic_scope: PanicScope) {
        self.panic_scope.set(panic_scope);
    }

    /// Opens a bucket, which is worked on from now on. One that has expired is ended first.
    #[inline]
    pub(crate) fn open<'s>(
        &self,
        shard: &'s mut Shard,
        name: &'s [u8],
        lookup: Lookup<'s>,
        now_ms: u64,
    ) -> BucketMut<'s> {
        self.enter(PanicScope::Component(Component::Registry));
        let mut bucket = BucketMut::new(shard, name, lookup, now_ms);
        self.enter(PanicScope::Buckets);
        #[cfg(test)]
        crate::failpoint::reach("opened");
        bucket.end_if_expired();
        bucket
    }

    /// Does the work; `Err` holds its panic, for [`Self::recover`].
    #[inline]
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(work))
    }

    /// Attributes a panic, and returns the reply to the request that was executed. If it is a crash of the
    /// buckets, `end_buckets` ends them; if it is the caller's, it goes on.
    pub(crate) fn recover(
        &self,
        panic: Box<dyn Any + Send>,
        end_buckets: impl FnOnce(&str),
    ) -> Reply<'static> {
        let (component, panic) = match self.panic_scope.get() {
            PanicScope::Caller => resume_unwind(panic),
            PanicScope::Component(component) => (component, panic),
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
}

/// Ends a bucket that crashed, and what was being made of it. It may have ended already, or not exist yet.
pub(crate) fn end_crashed(shard: &mut Shard, name: &[u8], name_hash: u64, reason: &str) {
    tracing::error!(bucket = %name.escape_ascii(), reason, "bucket crashed");
    let was_unfinished = shard.destroy_unfinished();
    let found = shard.registry.lookup(&shard.memory, Lookup::new(name_hash), name);
    shard.crashed += u64::from(was_unfinished || found.is_some());
    match found {
        Some((slot, bucket)) => shard.end(slot, bucket, name, EndReason::Crashed),
        None => shard.end_name(name, EndReason::Crashed),
    }
}
