//! Large arguments are copied before the shard of their bucket is locked, a piece at a time, so that neither
//! the lock nor the caller's thread is taken for long.

use super::{Store, batch::Terms, cost::TransactionLimits};
use crate::{
    commands::spec::Cost,
    database::FullName,
    error::CommandError,
    limits::STEP_BYTES,
    memory::{entry::Value, large::LargeValue},
    reply::Reply,
    request::{Op, Request},
    shard::{Shard, bucket_ref::BucketMut, multi::ShardGuards, prepared::PreparedValues, registry::Lookup},
    time::Clock,
};
use std::{collections::VecDeque, hash::BuildHasher, ops::ControlFlow, slice};

/// Copies the large arguments of a request.
#[derive(Debug)]
pub struct Preparation<'a> {
    arguments: Vec<&'a [u8]>,
    /// Why nothing is copied.
    refusal: Option<CommandError>,
    /// Where the bytes will be written, if they become a part of a string.
    offset: usize,
    /// The copy of the last of the arguments.
    copy: LargeValue,
    prepared: PreparedValues,
}

impl Preparation<'_> {
    /// Copies the next piece; `false` if there is none. Fails if too much would be left to copy under the
    /// lock, or there is no memory for the copies.
    pub fn step(&mut self) -> Result<bool, CommandError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let Some(argument) = self.arguments.last() else { return Ok(false) };
        if !self.copy.copy_next(argument)? {
            let copy = std::mem::replace(&mut self.copy, LargeValue::aligned_to(self.offset));
            self.prepared.push(argument, copy);
            self.arguments.pop();
        }
        Ok(true)
    }

    /// Where a string ends after the write.
    fn end(&self) -> usize {
        self.offset + self.arguments.first().map_or(0, |argument| argument.len())
    }
}

/// Copies the large arguments of the requests of a transaction.
#[derive(Debug, Default)]
pub struct TransactionPreparation<'a> {
    /// Of the requests that have some, with their places in the transaction.
    requests: VecDeque<(usize, Preparation<'a>)>,
    /// How many of these are copied.
    copied: usize,
}

impl TransactionPreparation<'_> {
    /// Copies the next piece; `false` if there is none. Fails if there is no memory for it.
    pub fn step(&mut self) -> Result<bool, CommandError> {
        while let Some((_, preparation)) = self.requests.get_mut(self.copied) {
            if preparation.step()? {
                return Ok(true);
            }
            self.copied += 1;
        }
        Ok(false)
    }

    /// The copies for the request at this place. The requests are asked for in their order.
    pub(super) fn take(&mut self, index: usize) -> PreparedValues {
        let next = self.requests.pop_front_if(|(place, _)| *place == index);
        next.map(|(_, preparation)| preparation.prepared).unwrap_or_default()
    }
}

impl<'a> Op<'a> {
    /// The arguments that are large.
    fn large_arguments(&self) -> Vec<&'a [u8]> {
        let is_large = |argument: &&'a [u8]| LargeValue::holds(argument.len());
        match *self {
            Op::Put { value, .. } => Some(value).into_iter().filter(is_large).collect(),
            Op::Command { args, .. } | Op::Load { contents: args, .. } => args.filter(is_large).collect(),
            _ => Vec::new(),
        }
    }
}

impl Store {
    /// Prepares a request that is executed by [`Self::execute_prepared`].
    pub fn prepare<'a>(&self, request: &Request<'a>, now_ms: u64) -> Preparation<'a> {
        let mut preparation = self.prepare_unrefused(request, || self.string_len(request, now_ms));
        preparation.prepared.refuses_outdated = true;
        let large_bytes: usize = preparation.arguments.iter().map(|argument| argument.len()).sum();
        let refusal = if request.op.payload_bytes() - large_bytes > STEP_BYTES {
            Some(CommandError::StepTooLarge)
        } else if request.op.allocates() && self.budget.lacks(large_bytes) {
            Some(CommandError::OutOfMemory)
        } else {
            None
        };
        Preparation { refusal, ..preparation }
    }

    /// The same, whatever the request and the memory of the node are, for a string of this length.
    pub(super) fn prepare_unrefused<'a>(
        &self,
        request: &Request<'a>,
        string_len: impl FnOnce() -> usize,
    ) -> Preparation<'a> {
        let arguments = request.op.large_arguments();
        let mut offset = 0;
        if let Op::Command { command, mut args } = request.op {
            offset = match command.spec.cost {
                Cost::SetRange => args.integer().map_or(0, |offset| offset.max(0) as usize),
                Cost::Append => string_len(),
                _ => 0,
            };
        }
        let prepared = PreparedValues::default();
        Preparation { arguments, refusal: None, offset, copy: LargeValue::aligned_to(offset), prepared }
    }

    /// Prepares a transaction that is executed by [`Self::transact`].
    pub fn prepare_transaction<'a>(&self, batch: &[Request<'a>], now_ms: u64) -> TransactionPreparation<'a> {
        self.prepare_transaction_within(self.transaction_limits(), batch, now_ms)
    }

    /// The same, unless the transaction will be refused.
    pub(super) fn prepare_transaction_within<'a>(
        &self,
        limits: TransactionLimits,
        batch: &[Request<'a>],
        now_ms: u64,
    ) -> TransactionPreparation<'a> {
        let is_large =
            |request: &Request<'_>| request.op.allocates() && LargeValue::holds(request.op.payload_bytes());
        let large = || batch.iter().enumerate().filter(|(_, request)| is_large(request));
        let mut preparation = TransactionPreparation::default();
        if large().map(|(_, request)| request.op.payload_bytes()).sum::<usize>() > limits.bytes {
            return preparation;
        }
        // Where the strings end after the requests so far.
        let mut ends: Vec<(FullName<'_>, usize)> = Vec::new();
        for (index, request) in large() {
            let name = request.full_name();
            let known = ends.iter().rev().find(|(written, _)| *written == name);
            let string_len = || known.map_or_else(|| self.string_len(request, now_ms), |(_, end)| *end);
            let prepared = self.prepare_unrefused(request, string_len);
            ends.push((name, prepared.end()));
            preparation.requests.push_back((index, prepared));
        }
        preparation
    }

    /// The length of the string as it is now.
    pub(super) fn string_len(&self, request: &Request<'_>, now_ms: u64) -> usize {
        let hash = self.hasher.hash_one(request.bucket);
        let mut shard = self.lock(self.shard_index(request.database, hash));
        let bucket = BucketMut::new(&mut shard, request.bucket, Lookup::new(hash), now_ms);
        bucket.view().string().ok().flatten().map_or(0, Value::len)
    }

    /// Executes one request, of which all steps of the preparation have been taken, as [`Self::execute`]
    /// does. The copies of its large arguments become values of the store. The reply is
    /// [`CommandError::Outdated`], and nothing has been done, if another length of the string was prepared
    /// for.
    pub fn execute_prepared(
        &self,
        request: &Request<'_>,
        preparation: Preparation<'_>,
        now_ms: u64,
        on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) {
        let terms = Terms { clock: Clock::at(now_ms), budget: &self.budget, limits: None };
        self.execute_prepared_on(request, preparation, terms, on_reply);
    }

    /// Executes a prepared request, as [`Self::execute_prepared`] does.
    pub(super) fn execute_prepared_on(
        &self,
        request: &Request<'_>,
        preparation: Preparation<'_>,
        terms: Terms<'_>,
        mut on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) {
        let prepared = preparation.prepared;
        if request.spans_buckets() {
            let mut shards = self.lock_all(request.full_names());
            // Whether a replica has memory for copies must not decide what it executes.
            let copied = if terms.limits.is_none() { prepared.bytes() } else { 0 };
            let reply = with_prepared(&mut shards, &prepared, |shards| {
                self.execute_multi_bounded(shards, request, copied, terms)
            });
            drop(shards);
            let _ = on_reply(reply);
            return;
        }
        let hash = self.hasher.hash_one(request.bucket);
        let mut shard = self.lock(self.shard_index(request.database, hash));
        self.execute_with(&mut shard, Lookup::new(hash), request, prepared, terms, &mut on_reply);
    }

    /// Executes one request in its shard.
    pub(super) fn execute_with(
        &self,
        shard: &mut Shard,
        lookup: Lookup<'_>,
        request: &Request<'_>,
        prepared: PreparedValues,
        terms: Terms<'_>,
        on_reply: &mut impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) {
        shard.prepared = prepared;
        let shard = Prepared(shard);
        let _ = self.execute_in_shard(shard.0, &[lookup], slice::from_ref(request), terms, &mut 0, on_reply);
    }
}

/// Lets all these shards have the prepared values while `execute` runs.
pub(super) fn with_prepared<T>(
    shards: &mut ShardGuards<'_>,
    prepared: &PreparedValues,
    execute: impl FnOnce(&mut ShardGuards<'_>) -> T,
) -> T {
    shards.for_each(|shard| shard.prepared = prepared.clone());
    let result = execute(shards);
    shards.for_each(|shard| shard.prepared = PreparedValues::default());
    result
}

/// A shard with prepared values, which are dropped with this: no other request may take them.
struct Prepared<'s>(&'s mut Shard);

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        self.0.prepared = PreparedValues::default();
    }
}
