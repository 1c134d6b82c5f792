//! Transactions: a batch that is executed as one step, unless a bucket that its client watches has changed.

use super::Store;
use crate::{
    bucket_supervisor::{BucketSupervisor, end_crashed},
    error::CommandError,
    reply::Reply,
    request::Request,
    shard::registry::Lookup,
};
use std::{hash::BuildHasher, ops::ControlFlow, slice};

impl Store {
    /// Executes the whole batch as one atomic step, with all its shards locked. Executes nothing and returns
    /// `false` if one of the watched buckets has changed since [`crate::Op::Watch`] returned its version. If
    /// one of the requests may allocate and no memory is left, all of them are refused.
    pub fn transact(
        &self,
        watched: &[(&[u8], u64)],
        batch: &[Request<'_>],
        now_ms: u64,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> bool {
        let names = batch.iter().flat_map(Request::names).chain(watched.iter().map(|(name, _)| *name));
        let mut shards = self.lock_all(names);
        for (name, version) in watched {
            let hash = self.hasher.hash_one(name);
            let shard = shards.shard(self.shard_of(hash));
            let supervisor = BucketSupervisor::new(&self.crash_reports);
            let unchanged = supervisor.run(|| {
                // Opening a bucket ends it if it has expired.
                supervisor.open(shard, name, Lookup::new(hash), now_ms);
                shard.watches.matches(name, *version)
            });
            let unchanged = unchanged.unwrap_or_else(|panic| {
                supervisor.recover(panic, |reason| end_crashed(shard, name, hash, reason));
                false
            });
            if !unchanged {
                return false;
            }
        }
        if batch.iter().any(|request| request.op.allocates()) && self.is_out_of_memory(&mut shards) {
            batch.iter().for_each(|_| on_reply(Reply::Error(CommandError::OutOfMemory)));
            return true;
        }
        for request in batch {
            if request.spans_buckets() {
                on_reply(self.execute_multi(&mut shards, request, now_ms));
                continue;
            }
            let hash = self.hasher.hash_one(request.bucket);
            let shard = shards.shard(self.shard_of(hash));
            let lookups = [Lookup::new(hash)];
            let mut on_reply = |reply: Reply<'_>| {
                on_reply(reply);
                ControlFlow::Continue(())
            };
            let _ = self.execute_in_shard(
                shard,
                &lookups,
                slice::from_ref(request),
                now_ms,
                &mut 0,
                &mut on_reply,
            );
        }
        true
    }
}
