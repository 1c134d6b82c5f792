//! Executes a batch: hashes names, locks a shard for the requests that it can execute, prefetches their
//! memory, and executes each of them under the bucket supervisor.

use super::Store;
use crate::{
    bucket::Kind,
    bucket_supervisor::{BucketSupervisor, Component, PanicScope},
    commands::{
        hash_scan,
        spec::{Command, Run},
    },
    database::FullName,
    error::CommandError,
    limits::{BATCH_REQUESTS, PREFETCH_REQUESTS},
    memory::budget::Budget,
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    request::{Op, Request},
    shard::{
        Shard,
        bucket_ref::{BucketMut, BucketRef},
        multi::{MultiBucket, ShardGuards},
        registry::Lookup,
    },
    store::{
        cost::TransactionLimits,
        prefetch::prefetch_batch,
        records::{self, BucketHead},
    },
    time::Clock,
};
use arrayvec::ArrayVec;
use parking_lot::MutexGuard;
use serde_bytes::Bytes;
use std::{hash::BuildHasher, num::NonZeroU64, ops::ControlFlow, sync::atomic::Ordering::Relaxed};

/// What requests are executed with.
#[derive(Clone, Copy)]
pub(super) struct Terms<'b> {
    pub(super) clock: Clock,
    /// Its excess refuses requests that may allocate.
    pub(super) budget: &'b Budget,
    /// What a transaction may touch; `None` for what the store is set to.
    pub(super) limits: Option<TransactionLimits>,
}

impl Store {
    /// Executes the batch in order, as of `now_ms` (milliseconds since 1970), and passes each reply to
    /// `on_reply`. Stops when `on_reply` returns `Break`. Returns how many requests were executed.
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        now_ms: u64,
        on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let terms = Terms { clock: Clock::at(now_ms), budget: &self.budget, limits: None };
        self.execute_on(batch, terms, on_reply)
    }

    /// Executes the batch in order, as [`Self::execute`] does.
    #[inline]
    pub(super) fn execute_on(
        &self,
        batch: &[Request<'_>],
        terms: Terms<'_>,
        mut on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let (mut done, mut prefetched) = (0, 0);
        while done < batch.len() {
            let request = &batch[done];
            let flow = if request.spans_buckets() {
                let mut shards = self.lock_all(request.full_names());
                done += 1;
                on_reply(self.execute_multi_bounded(&mut shards, request, 0, terms))
            } else {
                let mut lookups = ArrayVec::new();
                let index = self.hash_lookups(&batch[done..], &mut lookups);
                let is_cut = lookups.len() < PREFETCH_REQUESTS && done + lookups.len() < batch.len();
                if is_cut && prefetched <= done {
                    prefetched = done + self.prefetch_across_shards(&batch[done..]);
                }
                let mut shard = self.lock(index);
                if shard.memory.has_garbage() {
                    self.reclaim_some(&mut shard);
                }
                let flow =
                    self.execute_in_shard(&mut shard, &lookups, batch, terms, &mut done, &mut on_reply);
                if batch[done - 1].op.is_paged() {
                    // Another page usually follows at once. Threads that wait for the lock go first.
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

    /// Hashes the names and fields of the first requests, as long as they belong to one shard; the very first
    /// names one bucket. Returns the index of that shard.
    fn hash_lookups<'b>(
        &self,
        batch: &[Request<'b>],
        lookups: &mut ArrayVec<Lookup<'b>, BATCH_REQUESTS>,
    ) -> usize {
        let mut last = &batch[0];
        let mut name_hash = self.hasher.hash_one(last.bucket);
        let shard = self.shard_index(last.database, name_hash);
        // The field of a single request is hashed when it is looked up.
        let field = if batch.len() > 1 { self.hash_field(last) } else { None };
        lookups.push(Lookup { name_hash, same_as_previous: false, field });
        for request in &batch[1..batch.len().min(BATCH_REQUESTS)] {
            let is_same = request.bucket == last.bucket && request.database == last.database;
            if !is_same {
                last = request;
                name_hash = self.hasher.hash_one(last.bucket);
                if self.shard_index(last.database, name_hash) != shard {
                    break;
                }
            }
            if request.spans_buckets() {
                break;
            }
            // Prefetching a chunk looks up all its names, so the registry has cached another one.
            let same_as_previous = is_same && !lookups.len().is_multiple_of(PREFETCH_REQUESTS);
            lookups.push(Lookup { name_hash, same_as_previous, field: self.hash_field(request) });
        }
        shard
    }

    /// The field that a request looks up, if any, and its hash.
    #[inline]
    pub(super) fn hash_field<'b>(&self, request: &Request<'b>) -> Option<(&'b [u8], u64)> {
        request.op.field().map(|field| (field, self.hasher.hash_one(field)))
    }

    /// Executes the requests of `batch` from `done` on, one for each of the lookups, which are all in this
    /// shard, and counts them in `done`.
    pub(super) fn execute_in_shard(
        &self,
        shard: &mut Shard,
        lookups: &[Lookup<'_>],
        batch: &[Request<'_>],
        Terms { clock, budget, .. }: Terms<'_>,
        done: &mut usize,
        on_reply: &mut impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let executed = supervisor.run(|| {
            supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
            for lookups in lookups.chunks(PREFETCH_REQUESTS) {
                if lookups.len() > 1 {
                    prefetch_batch(shard, &batch[*done..*done + lookups.len()], lookups);
                }
                for lookup in lookups {
                    let reply = match self.crash_reports.is_restarting() {
                        true => Reply::Restarting,
                        false => execute(shard, *lookup, &batch[*done], clock, &supervisor, budget),
                    };
                    *done += 1;
                    supervisor.attribute_panics_to(PanicScope::Caller);
                    on_reply(reply)?;
                }
            }
            ControlFlow::Continue(())
        });
        let flow = executed.unwrap_or_else(|panic| {
            let reply = supervisor.recover(panic, |reason| {
                let name = batch[*done].bucket;
                supervisor.end_crashed(shard, name, self.hasher.hash_one(name), reason);
            });
            *done += 1;
            on_reply(reply)
        });
        shard.account(&self.budget);
        flow
    }

    /// Frees a bounded part of what destroyed buckets have left.
    #[cold]
    fn reclaim_some(&self, shard: &mut Shard) {
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
        if let Err(panic) = supervisor.run(|| shard.memory.reclaim_some()) {
            // The reply to the requests will be that the store is restarting.
            supervisor.recover(panic, |_| {});
        }
    }

    /// Executes a command on several buckets, whose shards are locked.
    pub(super) fn execute_multi(
        &self,
        shards: &mut ShardGuards<'_>,
        request: &Request<'_>,
        Terms { clock, budget, .. }: Terms<'_>,
    ) -> Reply<'static> {
        let Op::Command { command: Command { run: Run::Multi(run), .. }, args } = request.op else {
            unreachable!("only commands name several buckets");
        };
        if self.crash_reports.is_restarting() {
            return Reply::Restarting;
        }
        if request.op.allocates() && budget.is_exceeded(0, 0) && !self.make_room(shards) {
            return Reply::Error(CommandError::OutOfMemory);
        }
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        supervisor.attribute_panics_to(PanicScope::Buckets);
        let (hasher, shard_count) = (&self.hasher, self.shards.len());
        let database = request.database;
        let mut buckets = MultiBucket { shards: &mut *shards, database, hasher, shard_count, clock };
        let executed = supervisor.run(|| run(&mut buckets, request.bucket, args));
        let reply = match executed {
            Ok(result) => result.unwrap_or_else(Reply::Error),
            Err(panic) => supervisor.recover(panic, |reason| {
                for FullName { database, name } in request.full_names() {
                    let hash = self.hasher.hash_one(name);
                    supervisor.end_crashed(
                        shards.shard(self.shard_index(database, hash)),
                        name,
                        hash,
                        reason,
                    );
                }
            }),
        };
        shards.for_each(|shard| shard.account(&self.budget));
        reply
    }

    /// Whether compaction of these shards makes room.
    pub(super) fn make_room(&self, shards: &mut ShardGuards<'_>) -> bool {
        let mut has_room = !self.budget.is_exceeded(0, 0);
        shards.for_each(|shard| has_room = has_room || shard.make_room(&self.budget, usize::MAX));
        has_room
    }

    /// Whether the memory limit is exceeded, or will be with `bytes` more. The store of a range also counts
    /// as out of memory when a shard is nearly full: an entry of the log for which there is no room would
    /// halt it. Does not include changes of batches in flight.
    pub fn is_out_of_memory(&self, bytes: usize) -> bool {
        let is_full = self.crash_reports.is_replica && self.nearly_full_shards.load(Relaxed) > 0;
        is_full || self.budget.lacks(bytes)
    }
}

/// Executes one request in its bucket's shard.
fn execute<'s>(
    shard: &'s mut Shard,
    lookup: Lookup<'s>,
    request: &'s Request<'_>,
    clock: Clock,
    supervisor: &BucketSupervisor<'_>,
    budget: &Budget,
) -> Reply<'s> {
    if request.op.allocates() && budget.is_exceeded(shard.used_bytes(), shard.accounted_bytes) {
        // A bucket that has expired makes room.
        supervisor.open(shard, request.bucket, lookup, clock);
        supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
        if !shard.make_room(budget, request.op.payload_bytes()) {
            return Reply::Error(CommandError::OutOfMemory);
        }
    }
    let mut bucket = supervisor.open(shard, request.bucket, lookup, clock);
    if request.op.is_lookup() {
        bucket.count_lookup();
    }
    let result = match request.op {
        Op::Command { command, args } => match command.run {
            Run::One(run) => run(bucket, args),
            Run::Growing(_, growth) if bucket.lacks_memory(budget, growth(bucket.view(), args)) => {
                Err(CommandError::OutOfMemory)
            }
            Run::Growing(run, _) => run(bucket, args),
            Run::Multi(_) => unreachable!("executed with all of its shards"),
        },
        Op::Entries { projection, cursor } => hash_scan::page(bucket.into_view(), projection, cursor),
        Op::MemoryUsage { cursor } => memory_usage(bucket.into_view(), cursor),
        Op::Watch { watcher } => bucket.watch(watcher).map(|version| Reply::Number(version as i64)),
        Op::Unwatch { watcher } => {
            bucket.unwatch(watcher);
            Ok(Reply::Done)
        }
        Op::RandomEntries { projection, cursor, count } => {
            hash_scan::random_page(bucket, projection, cursor, count)
        }
        Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents } => {
            let expires_at_ms = expires_at_ms.map(NonZeroU64::get);
            records::load(bucket, mode, BucketHead { kind, keep_when_empty, expires_at_ms }, contents)
        }
        op => execute_text(bucket, op),
    };
    result.unwrap_or_else(Reply::Error)
}

fn memory_usage(bucket: BucketRef<'_>, cursor: u64) -> CommandResult<'_> {
    hash_scan::check_cursor(bucket, cursor)?;
    Ok(match bucket.memory_usage(cursor) {
        Some((bytes, next)) => Reply::Page { items: vec![Reply::Number(bytes as i64)], next },
        None => Reply::NoKey,
    })
}

/// Executes an operation of the text protocol. The buckets that it creates stay when they are empty.
fn execute_text<'s>(mut bucket: BucketMut<'s>, op: Op<'_>) -> CommandResult<'s> {
    if op == Op::Create {
        bucket.create()?;
        return Ok(Reply::Done);
    }
    if !bucket.exists() {
        return Ok(Reply::NoBucket);
    }
    match op {
        Op::Get { key } => return bucket.into_view().field_reply(key),
        Op::Show => return show(bucket.into_view()),
        Op::Keys { cursor } => {
            hash_scan::check_cursor(bucket.view(), cursor)?;
            let (entries, next) = bucket.into_view().entries(cursor)?;
            let keys = entries.iter().map(|entry| Bytes::new(entry.key)).collect();
            return Ok(Reply::Keys { keys, next });
        }
        Op::Put { key, value } => {
            bucket.set_field(key, value, None)?;
        }
        Op::Delete { key } => {
            bucket.delete_field(key)?;
            // One that Redis clients have made does not stay. When its expired entries are removed differs
            // between replicas, so it must not matter.
            bucket.end_if_empty();
        }
        Op::Drop => {
            bucket.end(EndReason::Dropped);
        }
        Op::Crash => panic!("crash requested"),
        Op::Create
        | Op::Entries { .. }
        | Op::RandomEntries { .. }
        | Op::MemoryUsage { .. }
        | Op::Watch { .. }
        | Op::Unwatch { .. }
        | Op::Load { .. }
        | Op::Command { .. } => {
            unreachable!("executed by the caller")
        }
    }
    Ok(Reply::Done)
}

fn show(bucket: BucketRef<'_>) -> CommandResult<'_> {
    let ttl_ms = bucket.expires_at_ms().map(|expires_at_ms| expires_at_ms.saturating_sub(bucket.now_ms));
    match bucket.kind() {
        Some(Kind::Str) => bucket.string_reply(),
        Some(Kind::Map) | None => Ok(Reply::Bucket { fields: bucket.len()? as u64, ttl_ms }),
    }
}
