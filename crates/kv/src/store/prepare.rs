//! Large arguments are copied before the shard of their bucket is locked, a piece at a time, so that neither
//! the lock nor the caller's thread is taken for long.

use super::{Store, batch::Terms};
use crate::{
    commands::spec::Cost,
    error::CommandError,
    limits::STEP_BYTES,
    memory::{entry::Value, large::LargeValue},
    reply::Reply,
    request::{Op, Request},
    shard::{Shard, bucket_ref::BucketMut, prepared::PreparedValues, registry::Lookup},
    time::Clock,
};
use arrayvec::ArrayVec;
use std::{hash::BuildHasher, ops::ControlFlow, slice};

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
}

impl<'a> Op<'a> {
    /// The arguments that are large.
    fn large_arguments(&self) -> Vec<&'a [u8]> {
        let is_large = |argument: &&'a [u8]| LargeValue::holds(argument.len());
        match *self {
            Op::Put { value, .. } => Some(value).into_iter().filter(is_large).collect(),
            Op::Command { args, .. } => args.filter(is_large).collect(),
            _ => Vec::new(),
        }
    }
}

impl Store {
    /// Prepares a request that is executed by [`Self::execute_prepared`].
    pub fn prepare<'a>(&self, request: &Request<'a>, now_ms: u64) -> Preparation<'a> {
        let preparation = self.prepare_unrefused(request, now_ms);
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

    /// The same, whatever the request and the memory of the node are.
    pub(super) fn prepare_unrefused<'a>(&self, request: &Request<'a>, now_ms: u64) -> Preparation<'a> {
        let arguments = request.op.large_arguments();
        let mut offset = 0;
        if let Op::Command { command, mut args } = request.op {
            offset = match command.spec.cost {
                Cost::SetRange => args.integer().map_or(0, |offset| offset.max(0) as usize),
                Cost::Append => self.string_len(request, now_ms),
                _ => 0,
            };
        }
        let prepared = PreparedValues::default();
        Preparation { arguments, refusal: None, offset, copy: LargeValue::aligned_to(offset), prepared }
    }

    /// The length of the string as it is now.
    fn string_len(&self, request: &Request<'_>, now_ms: u64) -> usize {
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
        let batch = slice::from_ref(request);
        if request.spans_buckets() {
            let mut shards = self.lock_all(request.full_names());
            let prepared = preparation.prepared;
            shards.for_each(|shard| shard.prepared = prepared.clone());
            let reply = self.execute_multi_bounded(&mut shards, request, prepared.bytes(), terms);
            shards.for_each(|shard| shard.prepared = PreparedValues::default());
            drop(shards);
            let _ = on_reply(reply);
            return;
        }
        let mut lookups = ArrayVec::new();
        let mut guard = self.lock(self.hash_lookups(batch, &mut lookups));
        guard.prepared = preparation.prepared;
        let shard = Prepared(&mut guard);
        let _ = self.execute_in_shard(shard.0, &lookups, batch, terms, &mut 0, &mut on_reply);
    }
}

/// A shard with prepared values, which are dropped with this: no other request may take them.
struct Prepared<'s>(&'s mut Shard);

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        self.0.prepared = PreparedValues::default();
    }
}
