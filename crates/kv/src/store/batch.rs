//! A batch is executed: names are hashed, a shard is locked for the requests that it can execute, their
//! memory is prefetched, and each runs under the bucket supervisor.

use super::Store;
use crate::{
    bucket_supervisor::{BucketSupervisor, PanicScope, end_crashed},
    budget::Budget,
    commands::{
        hash, hash_scan,
        spec::{Command, Run},
    },
    crash_reports::Component,
    error::CommandError,
    limits::{BATCH_REQUESTS, PREFETCH_REQUESTS},
    pubsub::bucket_changes::EndReason,
    reply::{CommandResult, Reply},
    request::{Op, Request},
    shard::{
        Shard,
        bucket_mut::BucketMut,
        multi::{MultiBucket, ShardGuards},
        registry::Lookup,
    },
    store::prefetch::prefetch_batch,
};
use arrayvec::ArrayVec;
use parking_lot::MutexGuard;
use serde_bytes::Bytes;
use std::{hash::BuildHasher, ops::ControlFlow};

impl Store {
    /// Executes the batch in order, as of `now_ms` (milliseconds since 1970), and hands each reply to
    /// `reply`, which may break off. Returns how many requests were executed; the caller comes back with the
    /// rest.
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        now_ms: u64,
        mut reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut done = 0;
        while done < batch.len() {
            let request = &batch[done];
            let flow = if request.spans_buckets() {
                let mut shards = self.lock_all(request.names());
                done += 1;
                reply(self.execute_multi(&mut shards, request, now_ms))
            } else {
                let mut lookups = ArrayVec::new();
                let mut shard = self.lock(self.hash_lookups(&batch[done..], &mut lookups));
                let flow = self.execute_in_shard(&mut shard, &lookups, batch, now_ms, &mut done, &mut reply);
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

    /// Hashes what the leading requests look up that one shard can execute. Returns the index of that shard.
    fn hash_lookups<'b>(
        &self,
        batch: &[Request<'b>],
        lookups: &mut ArrayVec<Lookup<'b>, BATCH_REQUESTS>,
    ) -> usize {
        let mut last = batch[0].bucket;
        let mut name_hash = self.hasher.hash_one(last);
        let shard = self.shard_of(name_hash);
        for request in batch.iter().take(BATCH_REQUESTS) {
            let is_same = request.bucket == last;
            if !is_same {
                last = request.bucket;
                name_hash = self.hasher.hash_one(last);
            }
            if self.shard_of(name_hash) != shard || request.spans_buckets() {
                break;
            }
            // Requests that are prefetched together begin with a lookup of their own.
            let same_as_previous = is_same && !lookups.len().is_multiple_of(PREFETCH_REQUESTS);
            let field = if batch.len() > 1 { self.hash_field(request) } else { None };
            lookups.push(Lookup { name_hash, same_as_previous, field });
        }
        shard
    }

    /// The field that a request looks up, if it does, and its hash.
    #[inline]
    pub(super) fn hash_field<'b>(&self, request: &Request<'b>) -> Option<(&'b [u8], u64)> {
        request.op.field().map(|field| (field, self.hasher.hash_one(field)))
    }

    /// Executes the requests from `done` on that have been looked up, all in one shard, and counts them in
    /// `done`.
    pub(super) fn execute_in_shard(
        &self,
        shard: &mut Shard,
        lookups: &[Lookup<'_>],
        batch: &[Request<'_>],
        now_ms: u64,
        done: &mut usize,
        reply: &mut impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let executed = supervisor.run(|| {
            supervisor.enter(PanicScope::Component(Component::BucketSupervisor));
            shard.reclaim_some();
            for lookups in lookups.chunks(PREFETCH_REQUESTS) {
                if lookups.len() > 1 {
                    prefetch_batch(shard, &batch[*done..*done + lookups.len()], lookups);
                }
                for lookup in lookups {
                    let answer = match self.crash_reports.is_restarting() {
                        true => Reply::Restarting,
                        false => execute(shard, *lookup, &batch[*done], now_ms, &supervisor, &self.budget),
                    };
                    *done += 1;
                    supervisor.enter(PanicScope::Caller);
                    reply(answer)?;
                }
            }
            ControlFlow::Continue(())
        });
        let flow = executed.unwrap_or_else(|panic| {
            let answer = supervisor.recover(panic, |reason| {
                let name = batch[*done].bucket;
                end_crashed(shard, name, self.hasher.hash_one(name), reason);
            });
            *done += 1;
            reply(answer)
        });
        self.account(shard);
        flow
    }

    /// Executes a command that names several buckets, whose shards are locked.
    pub(super) fn execute_multi(
        &self,
        shards: &mut ShardGuards<'_>,
        request: &Request<'_>,
        now_ms: u64,
    ) -> Reply<'static> {
        let Op::Command { command: Command { run: Run::Multi(run), .. }, args } = request.op else {
            unreachable!("only commands name several buckets");
        };
        if self.crash_reports.is_restarting() {
            return Reply::Restarting;
        }
        if request.op.allocates() && self.is_out_of_memory() {
            return Reply::Error(CommandError::OutOfMemory);
        }
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        supervisor.enter(PanicScope::Buckets);
        let (hasher, shard_count) = (&self.hasher, self.shards.len());
        let mut buckets = MultiBucket { shards: &mut *shards, hasher, shard_count, now_ms };
        let executed = supervisor.run(|| run(&mut buckets, request.bucket, args));
        let answer = match executed {
            Ok(result) => result.unwrap_or_else(Reply::Error),
            Err(panic) => supervisor.recover(panic, |reason| {
                for name in request.names() {
                    let hash = self.hasher.hash_one(name);
                    end_crashed(shards.shard(self.shard_of(hash)), name, hash, reason);
                }
            }),
        };
        shards.for_each(|shard| self.account(shard));
        answer
    }

    /// Whether no memory is left, as far as the shards have accounted for what they hold.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.budget.is_exceeded(0, 0)
    }
}

/// Executes one request in its bucket's shard: a command by its function, and what the guide's protocol asks
/// for here.
fn execute<'s>(
    shard: &'s mut Shard,
    lookup: Lookup<'s>,
    request: &'s Request<'_>,
    now_ms: u64,
    supervisor: &BucketSupervisor<'_>,
    budget: &Budget,
) -> Reply<'s> {
    let bucket = supervisor.open(shard, request.bucket, lookup, now_ms);
    if request.op.allocates() && bucket.exceeds(budget) {
        return Reply::Error(CommandError::OutOfMemory);
    }
    let result = match request.op {
        Op::Command { command, args } => match command.run {
            Run::One(run) => run(bucket, args),
            Run::Multi(_) => unreachable!("executed with all of its shards"),
        },
        Op::Entries { projection, cursor } => hash_scan::page(bucket.into_view(), projection, cursor),
        Op::Watch => Ok(Reply::Number(bucket.watch_version() as i64)),
        op => execute_guide(bucket, op),
    };
    result.unwrap_or_else(Reply::Error)
}

/// Executes what the guide's protocol asks for. It has buckets created first, and keeps empty ones.
fn execute_guide<'s>(mut bucket: BucketMut<'s>, op: Op<'_>) -> CommandResult<'s> {
    if op == Op::Create {
        bucket.create()?;
        return Ok(Reply::Done);
    }
    if !bucket.exists() {
        return Ok(Reply::NoBucket);
    }
    match op {
        Op::Get { key } => return hash::value(bucket.into_view(), key),
        Op::Keys { cursor } => {
            let (entries, next) = bucket.into_view().entries(cursor)?;
            let keys = entries.iter().map(|entry| Bytes::new(entry.key)).collect();
            return Ok(Reply::Keys { keys, next });
        }
        Op::Put { key, value } => {
            bucket.set_field(key, value, None)?;
        }
        Op::Delete { key } => {
            bucket.delete_field(key)?;
        }
        Op::Drop => {
            bucket.end(EndReason::Dropped);
        }
        Op::Crash => panic!("a crash was asked for"),
        Op::Create | Op::Entries { .. } | Op::Watch | Op::Command { .. } => unreachable!("executed before"),
    }
    Ok(Reply::Done)
}
