//! Transactions: a batch that is executed as one step, unless a bucket that its client watches has changed.

use super::{
    Store,
    batch::Terms,
    cost::{TransactionCost, TransactionLimits},
    prepare::{TransactionPreparation, with_prepared},
};
use crate::{
    bucket_supervisor::BucketSupervisor,
    database::FullName,
    error::CommandError,
    memory::budget::Budget,
    reply::Reply,
    request::Request,
    shard::{multi::ShardGuards, registry::Lookup},
    time::Clock,
};
use std::{hash::BuildHasher, ops::ControlFlow, slice};

impl Store {
    /// Executes the whole batch as one atomic step, with all its shards locked. Executes nothing and returns
    /// `false` if one of the watched buckets has changed since [`crate::Op::Watch`] returned its version, and
    /// an error if one of the requests may allocate and no memory is left, or if they may touch more than
    /// [`TransactionLimits`] allow. Memory is not judged again between them.
    ///
    /// The copies of large arguments become values of the store. Those that are not prepared, or for another
    /// length of a string than it has, are made while the shards are locked.
    pub fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        batch: &[Request<'_>],
        preparation: TransactionPreparation<'_>,
        now_ms: u64,
        on_reply: impl FnMut(Reply<'_>),
    ) -> Result<bool, CommandError> {
        let terms = Terms { clock: Clock::at(now_ms), budget: &self.budget, limits: None };
        self.transact_on(watched, batch, preparation, terms, on_reply)
    }

    /// Executes the whole batch as one step, as [`Self::transact`] does.
    pub(super) fn transact_on(
        &self,
        watched: &[(FullName<'_>, u64)],
        batch: &[Request<'_>],
        mut preparation: TransactionPreparation<'_>,
        terms: Terms<'_>,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> Result<bool, CommandError> {
        let names = batch.iter().flat_map(Request::full_names).chain(watched.iter().map(|(full, _)| *full));
        let mut shards = self.lock_all(names);
        for (FullName { database, name }, version) in watched {
            let hash = self.hasher.hash_one(name);
            let shard = shards.shard(self.shard_index(*database, hash));
            if !shard.watches.matches(name, *version, terms.clock.now_ms) {
                return Ok(false);
            }
        }
        let allocates = batch.iter().any(|request| request.op.allocates());
        if allocates && terms.budget.is_exceeded(0, 0) && !self.make_room(&mut shards) {
            return Err(CommandError::OutOfMemory);
        }
        self.check_cost(&mut shards, batch, 0, terms)?;
        let budget = Budget::default();
        let terms = Terms { budget: &budget, ..terms };
        for (index, request) in batch.iter().enumerate() {
            let prepared = preparation.take(index);
            if request.spans_buckets() {
                on_reply(with_prepared(&mut shards, &prepared, |shards| {
                    self.execute_multi(shards, request, terms)
                }));
                continue;
            }
            let hash = self.hasher.hash_one(request.bucket);
            let shard = shards.shard(self.shard_index(request.database, hash));
            let mut on_reply = |reply: Reply<'_>| {
                on_reply(reply);
                ControlFlow::Continue(())
            };
            self.execute_with(shard, Lookup::new(hash), request, prepared, terms, &mut on_reply);
        }
        Ok(true)
    }

    /// Executes a command on several buckets outside of a transaction: as one that touches no more than a
    /// transaction may, or that renames a bucket within its shard. Which names share one differs between the
    /// replicas of a range, so that does not count there. `prepared` bytes of its arguments are copied
    /// already.
    pub(super) fn execute_multi_bounded(
        &self,
        shards: &mut ShardGuards<'_>,
        request: &Request<'_>,
        prepared: usize,
        terms: Terms<'_>,
    ) -> Reply<'static> {
        if let Err(CommandError::TransactionTooLarge { entries, bytes }) =
            self.check_cost(shards, slice::from_ref(request), prepared, terms)
            && !(request.op.renames() && !self.crash_reports.is_replica && self.is_in_one_shard(request))
        {
            return Reply::Error(CommandError::CommandTooLarge { entries, bytes });
        }
        self.execute_multi(shards, request, terms)
    }

    fn is_in_one_shard(&self, request: &Request<'_>) -> bool {
        let mut shards =
            request.full_names().map(|full| self.shard_index(full.database, self.hasher.hash_one(full.name)));
        let first = shards.next();
        shards.all(|shard| Some(shard) == first)
    }

    /// Sets what one transaction may touch.
    pub fn set_transaction_limits(&self, limits: TransactionLimits) {
        *self.transaction_limits.lock() = limits;
    }

    /// What one transaction may touch.
    pub fn transaction_limits(&self) -> TransactionLimits {
        *self.transaction_limits.lock()
    }

    /// Fails if the requests together may touch more than a transaction is allowed to.
    fn check_cost(
        &self,
        shards: &mut ShardGuards<'_>,
        batch: &[Request<'_>],
        prepared: usize,
        Terms { clock, limits, .. }: Terms<'_>,
    ) -> Result<(), CommandError> {
        let mut cost = TransactionCost::new(limits.unwrap_or_else(|| self.transaction_limits()), prepared);
        // What reads return depends on where a replica keeps its entries, so it must not decide.
        let counts = |request: &&Request<'_>| limits.is_none() || !request.op.is_read();
        for request in batch.iter().filter(counts) {
            let hash = self.hasher.hash_one(request.bucket);
            let shard = shards.shard(self.shard_index(request.database, hash));
            let supervisor = BucketSupervisor::new(&self.crash_reports);
            let added = supervisor.run(|| {
                let bucket = supervisor.open(shard, request.bucket, Lookup::new(hash), clock);
                cost.add(request, bucket.into_view())
            });
            match added {
                Ok(added) => added?,
                // The request itself will find that the bucket is gone.
                Err(panic) => drop(supervisor.recover(panic, |reason| {
                    supervisor.end_crashed(shard, request.bucket, hash, reason);
                })),
            }
        }
        Ok(())
    }
}
