//! A shard: the buckets whose names hash to it, with their registry, their supervisor and their memory. One lock guards it.

use crate::{
    Op, Reply, Request, Unit,
    arena::Full,
    bucket::Bucket,
    bucket_supervisor::BucketSupervisor,
    memory::Memory,
    registry::{Registration, Registry},
    subscription::{Change, End},
};
use foldhash::fast::RandomState;
use std::cell::Cell;

/// A part of the store.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) registry: Registry,
    pub(crate) supervisor: BucketSupervisor,
    pub(crate) memory: Memory,
}

/// What a crash would be the crash of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtWork {
    /// A part of the store itself.
    Unit(Unit),
    /// The bucket that is registered here.
    Bucket(Registration, Bucket),
    /// Whoever reads the reply.
    Requester,
}

impl Shard {
    /// A shard without buckets.
    pub(crate) fn new(hasher: RandomState) -> Shard {
        Shard {
            registry: Registry::default(),
            supervisor: BucketSupervisor::default(),
            memory: Memory::new(hasher),
        }
    }

    /// Executes one request. `hash` is that of the bucket's name; `at_work` says at any time whose crash a panic
    /// would be.
    pub(crate) fn execute(&mut self, hash: u64, request: &Request<'_>, at_work: &Cell<AtWork>) -> Reply<'_> {
        at_work.set(AtWork::Unit(Unit::Registry));
        let found = self.registry.lookup(&self.memory, hash, request.bucket);
        match found {
            Some((registration, bucket)) => self.execute_in(registration, bucket, request, at_work),
            None if request.op == Op::Create => self.create(hash, request.bucket, at_work),
            None => Reply::NoBucket,
        }
    }

    fn create(&mut self, hash: u64, name: &[u8], at_work: &Cell<AtWork>) -> Reply<'_> {
        at_work.set(AtWork::Unit(Unit::BucketSupervisor));
        let Ok(bucket) = self.supervisor.start(&mut self.memory, name) else { return Reply::OutOfMemory };
        at_work.set(AtWork::Unit(Unit::Registry));
        self.registry.register(&self.memory, hash, bucket);
        Reply::Done
    }

    fn execute_in(
        &mut self,
        registration: Registration,
        bucket: Bucket,
        request: &Request<'_>,
        at_work: &Cell<AtWork>,
    ) -> Reply<'_> {
        at_work.set(AtWork::Bucket(registration, bucket));
        let name = request.bucket;
        let changed = match request.op {
            Op::Create => return Reply::Done,
            Op::Get { key } => return bucket.get(&self.memory, key).map_or(Reply::NoKey, Reply::Value),
            Op::Keys { cursor } => {
                let (keys, next) = bucket.keys(&self.memory, cursor);
                return Reply::Keys { keys, next };
            }
            Op::Put { key, value } => {
                let put = self.change(registration, bucket, |bucket, memory| bucket.put(memory, key, value));
                put.map(|()| {
                    self.supervisor.publish(name, || Change::Set { key: key.into(), value: value.into() })
                })
            }
            Op::Delete { key } => {
                let deleted = self.change(registration, bucket, |bucket, memory| bucket.delete(memory, key));
                deleted.map(|was_there| {
                    if was_there {
                        self.supervisor.publish(name, || Change::Deleted { key: key.into() })
                    }
                })
            }
            Op::Drop => {
                at_work.set(AtWork::Unit(Unit::BucketSupervisor));
                self.end(registration, bucket, name, End::Dropped);
                Ok(())
            }
            Op::Crash => panic!("a crash was asked for"),
        };
        changed.map_or(Reply::OutOfMemory, |()| Reply::Done)
    }

    /// Ends a bucket that crashed.
    pub(crate) fn end_crashed(&mut self, registration: Registration, bucket: Bucket, name: &[u8]) {
        self.supervisor.crashed += 1;
        self.end(registration, bucket, name, End::Crashed);
    }

    fn end(&mut self, registration: Registration, bucket: Bucket, name: &[u8], why: End) {
        self.registry.unregister(registration);
        self.supervisor.end(&mut self.memory, name, bucket, why);
    }

    /// Frees a bounded part of what ended buckets held.
    pub(crate) fn sweep(&mut self, at_work: &Cell<AtWork>) {
        at_work.set(AtWork::Unit(Unit::BucketSupervisor));
        self.supervisor.sweep(&mut self.memory);
    }

    /// Changes a bucket, and tells the registry when that moved it to another block.
    fn change<T>(
        &mut self,
        registration: Registration,
        mut bucket: Bucket,
        change: impl FnOnce(&mut Bucket, &mut Memory) -> Result<T, Full>,
    ) -> Result<T, Full> {
        let before = bucket;
        let outcome = change(&mut bucket, &mut self.memory);
        if bucket != before {
            self.registry.moved(registration, bucket);
        }
        outcome
    }
}
