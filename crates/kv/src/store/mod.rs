//! The store: the only door into the data. It takes a batch, executes it on the caller's thread, and returns.

mod execute;
mod expiry;
mod keyspace;
mod prefetch;
mod warm;

pub(crate) use expiry::sweep;
pub use keyspace::{DetachedShards, NamePage, ScanFilter, StoreStats};
pub use prefetch::Prefetch;

use crate::{
    Command, CommandError, Component, Op, Reply, Request, Subscription,
    bucket::Bucket,
    budget::Budget,
    commands::spec::Run,
    crash_reports::Faults,
    limits::{AHEAD_REQUESTS, BATCH_REQUESTS, LOCK_SPINS, SHARDS_PER_THREAD},
    pubsub::bucket_changes::EndReason,
    shard::bucket_mut::BucketMut,
    shard::lookup::Lookup,
    shard::multi::{MultiBucket, ShardGuards, shard_of},
    shard::registry::Registration,
    shard::{PanicScope, Shard},
    store::execute::execute,
    store::warm::warm,
};
use arrayvec::ArrayVec;
use foldhash::fast::SeedableRandomState;
use otp::panic_message;
use parking_lot::{Mutex, MutexGuard};
use std::{
    any::Any,
    cell::Cell,
    hash::BuildHasher,
    hint::spin_loop,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// All the buckets of one node.
#[derive(Debug)]
pub struct Store {
    pub(crate) shards: Box<[Mutex<Shard>]>,
    hasher: SeedableRandomState,
    pub(crate) faults: Faults,
    pub(crate) budget: Budget,
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// An empty store for two threads.
    pub fn new() -> Store {
        Store::for_threads(2)
    }

    /// An empty store, made for so many threads that execute requests. For a single one it has a single shard:
    /// there is nobody to wait for, and a batch is best read ahead of where it is together.
    pub fn for_threads(threads: usize) -> Store {
        Store::with_hasher(threads, SeedableRandomState::random())
    }

    /// An empty store whose hashes are the same in every process, for measurements that are to be repeated exactly. Do
    /// not let strangers near it: they can choose names that collide.
    pub fn with_fixed_seed(threads: usize) -> Store {
        Store::with_hasher(threads, SeedableRandomState::fixed())
    }

    fn with_hasher(threads: usize, hasher: SeedableRandomState) -> Store {
        let shards = if threads < 2 { 1 } else { (threads * SHARDS_PER_THREAD).next_power_of_two() };
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(hasher.clone()))).collect();
        Store { shards, hasher, faults: Faults::default(), budget: Budget::default() }
    }

    /// Executes the batch in order, as of `now` in milliseconds since 1970, and hands each reply to `reply`, which
    /// may break off. Returns how many requests were executed; the caller asks again for the rest.
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        now: u64,
        mut reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut done = 0;
        while done < batch.len() {
            let request = &batch[done];
            let flow = if request.spans_buckets() {
                let mut locked = self.lock_all(request.names());
                done += 1;
                reply(self.execute_multi(&mut locked, request, now))
            } else {
                let mut lookups = ArrayVec::new();
                let mut shard = self.lock(self.look(&batch[done..], &mut lookups));
                let flow = self.run_in_shard(&mut shard, &lookups, batch, now, &mut done, &mut reply);
                if batch[done - 1].op.is_paged() {
                    // The next page is asked for at once. Those who wait for the lock come first.
                    MutexGuard::unlock_fair(shard);
                }
                flow
            };
            if flow.is_break() {
                break;
            }
        }
        done
    }

    /// Executes the whole batch as one step that nothing else comes between, if none of the watched buckets has
    /// changed since [`crate::Op::Watch`] gave its number. `false`: one has, and nothing was done. Nothing is done
    /// either, and each request is refused, when one of them may take memory and none is left.
    pub fn transact(
        &self,
        watched: &[(&[u8], u64)],
        batch: &[Request<'_>],
        now: u64,
        mut reply: impl FnMut(Reply<'_>),
    ) -> bool {
        let names = batch.iter().flat_map(Request::names).chain(watched.iter().map(|(name, _)| *name));
        let mut locked = self.lock_all(names);
        for (name, version) in watched {
            let hash = self.hasher.hash_one(name);
            let shard = locked.shard(self.shard_of(hash));
            // A look at the bucket ends it if its time has come.
            BucketMut::new(shard, name, Lookup::new(hash), now);
            if !shard.watched.is_unchanged(name, *version) {
                return false;
            }
        }
        if batch.iter().any(|request| request.op.allocates()) && self.is_out_of_memory() {
            batch.iter().for_each(|_| reply(Reply::Error(CommandError::OutOfMemory)));
            return true;
        }
        for request in batch {
            if request.spans_buckets() {
                reply(self.execute_multi(&mut locked, request, now));
                continue;
            }
            let hash = self.hasher.hash_one(request.bucket);
            let one = std::slice::from_ref(request);
            let _ = self.run_in_shard(
                locked.shard(self.shard_of(hash)),
                &[Lookup::new(hash)],
                one,
                now,
                &mut 0,
                &mut |answer| {
                    reply(answer);
                    ControlFlow::Continue(())
                },
            );
        }
        true
    }

    /// Hashes what the leading requests look up that one shard can execute. Returns the shard's number.
    fn look<'b>(&self, batch: &[Request<'b>], lookups: &mut ArrayVec<Lookup<'b>, BATCH_REQUESTS>) -> usize {
        let mut last = batch[0].bucket;
        let mut name = self.hasher.hash_one(last);
        let shard = self.shard_of(name);
        for request in batch.iter().take(BATCH_REQUESTS) {
            let is_same = request.bucket == last;
            if !is_same {
                last = request.bucket;
                name = self.hasher.hash_one(last);
            }
            if self.shard_of(name) != shard || request.spans_buckets() {
                break;
            }
            // What is read ahead for together begins with a look-up of its own.
            let again = is_same && !lookups.len().is_multiple_of(AHEAD_REQUESTS);
            let field = if batch.len() > 1 { self.field(request) } else { None };
            lookups.push(Lookup { name, again, field });
        }
        shard
    }

    /// The field that a request looks up, if it does, and its hash.
    #[inline]
    fn field<'b>(&self, request: &Request<'b>) -> Option<(&'b [u8], u64)> {
        request.op.field().map(|field| (field, self.hasher.hash_one(field)))
    }

    /// Executes a command that names several buckets.
    fn execute_multi(&self, locked: &mut ShardGuards<'_>, request: &Request<'_>, now: u64) -> Reply<'static> {
        let Op::Command { command: Command { run: Run::Multi(run), .. }, args } = request.op else {
            unreachable!("only commands name several buckets");
        };
        if self.faults.restarting() {
            return Reply::Restarting;
        }
        if request.op.allocates() && self.is_out_of_memory() {
            return Reply::Error(CommandError::OutOfMemory);
        }
        let mut several =
            MultiBucket { locked, hasher: &self.hasher, shards: self.shards.len(), now_ms: now };
        let work = catch_unwind(AssertUnwindSafe(|| run(&mut several, request.bucket, args)));
        several.locked.each(|shard| self.note(shard));
        match work {
            Ok(outcome) => outcome.unwrap_or_else(Reply::Error),
            Err(panic) => self.component_crashed(Component::BucketSupervisor, &*panic),
        }
    }

    /// Executes the requests from `done` on, up to the first one that needs another shard.
    fn run_in_shard(
        &self,
        shard: &mut Shard,
        lookups: &[Lookup<'_>],
        batch: &[Request<'_>],
        now: u64,
        done: &mut usize,
        reply: &mut impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let panic_scope = Cell::new(PanicScope::Caller);
        let work = catch_unwind(AssertUnwindSafe(|| {
            shard.sweep(&panic_scope);
            for lookups in lookups.chunks(AHEAD_REQUESTS) {
                if lookups.len() > 1 {
                    warm(shard, &batch[*done..*done + lookups.len()], lookups);
                }
                for look in lookups {
                    let answer = match self.faults.restarting() {
                        true => Reply::Restarting,
                        false => execute(shard, *look, &batch[*done], now, &panic_scope, &self.budget),
                    };
                    *done += 1;
                    panic_scope.set(PanicScope::Caller);
                    reply(answer)?;
                }
            }
            ControlFlow::Continue(())
        }));
        let flow = work.unwrap_or_else(|panic| {
            let answer = match panic_scope.get() {
                PanicScope::Caller => resume_unwind(panic),
                PanicScope::Component(unit) => self.component_crashed(unit, &*panic),
                PanicScope::Bucket(registration, bucket) => {
                    self.bucket_crashed(shard, registration, bucket, batch[*done].bucket, &*panic)
                }
            };
            *done += 1;
            reply(answer)
        });
        self.note(shard);
        flow
    }

    /// Ends a bucket that crashed, and it alone.
    fn bucket_crashed(
        &self,
        shard: &mut Shard,
        registration: Registration,
        bucket: Bucket,
        name: &[u8],
        panic: &(dyn Any + Send),
    ) -> Reply<'static> {
        tracing::error!(bucket = %name.escape_ascii(), reason = panic_message(panic), "bucket crashed");
        let ended = catch_unwind(AssertUnwindSafe(|| shard.end_crashed(registration, bucket, name)));
        match ended {
            Ok(()) => Reply::Crashed,
            Err(panic) => self.component_crashed(Component::BucketSupervisor, &*panic),
        }
    }

    fn component_crashed(&self, unit: Component, panic: &(dyn Any + Send)) -> Reply<'static> {
        self.faults.report(unit, panic_message(panic));
        Reply::Restarting
    }

    /// Crashes a part of the store: a drill for the supervisor above it.
    pub fn crash(&self, unit: Component) {
        self.faults.report(unit, "a crash was asked for");
    }

    /// Starts afresh, without a bucket.
    pub(crate) fn restart(&self) {
        for number in 0..self.shards.len() {
            let mut shard = self.lock(number);
            shard.supervisor.all_ended(EndReason::Restarted);
            self.budget.note(0, &mut shard.noted);
            *shard = Shard::new(self.hasher.clone());
        }
        self.faults.clear();
    }

    /// Subscribes to the changes of a bucket; `None` when there is no such bucket.
    pub fn subscribe(&self, bucket: &[u8]) -> Option<Subscription> {
        let hash = self.hasher.hash_one(bucket);
        let mut shard = self.lock(self.shard_of(hash));
        shard.registry.lookup(&shard.memory, Lookup::new(hash), bucket)?;
        let (publisher, subscription) = Subscription::new(bucket);
        shard.supervisor.subscribe(bucket, publisher);
        Some(subscription)
    }

    /// Sets the bytes that all buckets together may take, or lets them take what they want.
    pub fn set_memory_limit(&self, limit: Option<usize>) {
        self.budget.set_limit(limit);
    }

    /// The bytes that all buckets together may take, if that is limited.
    pub fn memory_limit(&self) -> Option<usize> {
        self.budget.limit()
    }

    /// Whether no memory is left, as far as the shards have noted what they hold.
    fn is_out_of_memory(&self) -> bool {
        self.budget.is_exceeded(0, 0)
    }

    /// Notes what a shard holds now.
    pub(crate) fn note(&self, shard: &mut Shard) {
        self.budget.note(shard.used_bytes(), &mut shard.noted);
    }

    fn shard_of(&self, hash: u64) -> usize {
        shard_of(hash, self.shards.len())
    }

    fn lock_all<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> ShardGuards<'_> {
        let shards = names.map(|name| self.shard_of(self.hasher.hash_one(name))).collect();
        ShardGuards::new(shards, |number| self.lock(number))
    }

    /// A panic under the lock is dealt with before the lock is released, so a poisoned shard is a sound one. The lock is
    /// held for about as long as it takes to put a thread to sleep and to wake it; so one that waits stays awake at first.
    fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[number];
        let mut spins = 0;
        while shard.is_locked() && spins < LOCK_SPINS {
            spin_loop();
            spins += 1;
        }
        shard.lock()
    }
}

#[cfg(test)]
mod tests;
