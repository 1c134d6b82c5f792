//! The store: the only door into the data. It takes a batch, executes it on the caller's thread, and returns.

use crate::{
    Reply, Request, Subscription, Unit,
    bucket::Bucket,
    faults::Faults,
    limits::SHARDS,
    registry::Registration,
    shard::{AtWork, Shard},
};
use foldhash::fast::RandomState;
use std::{
    any::Any,
    cell::Cell,
    hash::BuildHasher,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All the buckets of one node.
#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    pub(crate) faults: Faults,
}

/// One bounded page of bucket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Names, in no particular order.
    pub names: Vec<Box<[u8]>>,
    /// The cursor of the next page; 0 when this one is the last.
    pub next: u64,
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(hasher.clone()))).collect();
        Store { shards, hasher, faults: Faults::default() }
    }

    /// Executes the batch in order and hands each reply to `reply`, which may break off. Returns how many
    /// requests were executed; the caller asks again for the rest.
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        mut reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut done = 0;
        while done < batch.len() {
            let hash = self.hasher.hash_one(batch[done].bucket);
            if self.execute_in_shard(hash, batch, &mut done, &mut reply).is_break() {
                break;
            }
        }
        done
    }

    /// Executes the requests from `done` on under one lock, up to the first one of another shard.
    fn execute_in_shard(
        &self,
        mut hash: u64,
        batch: &[Request<'_>],
        done: &mut usize,
        reply: &mut impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let number = shard_of(hash);
        let mut shard = self.lock(number);
        let at_work = Cell::new(AtWork::Requester);
        let work = catch_unwind(AssertUnwindSafe(|| {
            shard.sweep(&at_work);
            loop {
                let answer = match self.faults.restarting() {
                    true => Reply::Restarting,
                    false => shard.execute(hash, &batch[*done], &at_work),
                };
                *done += 1;
                at_work.set(AtWork::Requester);
                reply(answer)?;
                let Some(next) = batch.get(*done) else { break };
                if next.bucket != batch[*done - 1].bucket {
                    hash = self.hasher.hash_one(next.bucket);
                    if shard_of(hash) != number {
                        break;
                    }
                }
            }
            ControlFlow::Continue(())
        }));
        work.unwrap_or_else(|panic| {
            let answer = match at_work.get() {
                AtWork::Requester => resume_unwind(panic),
                AtWork::Unit(unit) => self.unit_crashed(unit, &*panic),
                AtWork::Bucket(registration, bucket) => {
                    self.bucket_crashed(&mut shard, registration, bucket, batch[*done].bucket, &*panic)
                }
            };
            *done += 1;
            reply(answer)
        })
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
        tracing::error!(bucket = %name.escape_ascii(), reason = message(panic), "bucket crashed");
        let ended = catch_unwind(AssertUnwindSafe(|| shard.end_crashed(registration, bucket, name)));
        match ended {
            Ok(()) => Reply::Crashed,
            Err(panic) => self.unit_crashed(Unit::BucketSupervisor, &*panic),
        }
    }

    fn unit_crashed(&self, unit: Unit, panic: &(dyn Any + Send)) -> Reply<'static> {
        self.faults.report(unit, message(panic));
        Reply::Restarting
    }

    /// Crashes a part of the store: a drill for the supervisor above it.
    pub fn crash(&self, unit: Unit) {
        self.faults.report(unit, "a crash was asked for");
    }

    /// Starts afresh, without a bucket.
    pub(crate) fn restart(&self) {
        for number in 0..SHARDS {
            let mut shard = self.lock(number);
            shard.supervisor.restarted();
            *shard = Shard::new(self.hasher.clone());
        }
        self.faults.clear();
    }

    /// How many buckets there are.
    pub fn count(&self) -> usize {
        (0..SHARDS).map(|number| self.lock(number).registry.len()).sum()
    }

    /// How many buckets have crashed since the store was started.
    pub fn crashed_count(&self) -> u64 {
        (0..SHARDS).map(|number| self.lock(number).supervisor.crashed).sum()
    }

    /// One page of the names of all buckets, from `cursor` on (0: from the start).
    pub fn buckets(&self, cursor: u64) -> Page {
        let (number, cursor) = ((cursor % SHARDS as u64) as usize, cursor / SHARDS as u64);
        let shard = self.lock(number);
        let (names, next) = shard.registry.names(&shard.memory, cursor);
        let next = match next {
            0 if number + 1 == SHARDS => 0,
            0 => number as u64 + 1,
            next => next * SHARDS as u64 + number as u64,
        };
        Page { names: names.iter().map(|name| Box::from(name.as_ref())).collect(), next }
    }

    /// Subscribes to the changes of a bucket; `None` when there is no such bucket.
    pub fn subscribe(&self, bucket: &[u8]) -> Option<Subscription> {
        let hash = self.hasher.hash_one(bucket);
        let mut shard = self.lock(shard_of(hash));
        shard.registry.lookup(&shard.memory, hash, bucket)?;
        let (publisher, subscription) = Subscription::new(bucket);
        shard.supervisor.subscribe(bucket, publisher);
        Some(subscription)
    }

    /// A panic under the lock is dealt with before the lock is released, so a poisoned shard is a sound one.
    fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard of a name, from bits that choose neither its line nor its tag there.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
