//! A shard: the buckets whose names hash to it, with their registry, their supervisor and their memory. One lock guards it.

use crate::{
    Op, Outcome, Reply, Request, Unit,
    bucket::Bucket,
    bucket_supervisor::BucketSupervisor,
    commands::{Run, list},
    memory::Memory,
    registry::{Registration, Registry},
    subscription::End,
    sweep::Sweep,
    target::Target,
    watched::Watched,
};
use foldhash::fast::SeedableRandomState;
use serde_bytes::Bytes;
use std::cell::Cell;

/// A part of the store.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) registry: Registry,
    pub(crate) supervisor: BucketSupervisor,
    pub(crate) memory: Memory,
    pub(crate) watched: Watched,
    pub(crate) sweep: Sweep,
    /// What the node's budget knows of [`Shard::used_bytes`].
    pub(crate) noted: usize,
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
    pub(crate) fn new(hasher: SeedableRandomState) -> Shard {
        Shard {
            registry: Registry::default(),
            supervisor: BucketSupervisor::default(),
            memory: Memory::new(hasher),
            watched: Watched::default(),
            sweep: Sweep::default(),
            noted: 0,
        }
    }

    /// Bytes of memory that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.registry.bytes() + self.memory.used_bytes()
    }

    /// Executes one request. `hash` is that of the bucket's name; `at_work` says at any time whose crash a panic
    /// would be.
    pub(crate) fn execute<'s>(
        &'s mut self,
        hash: u64,
        request: &'s Request<'_>,
        now: u64,
        at_work: &Cell<AtWork>,
    ) -> Reply<'s> {
        at_work.set(AtWork::Unit(Unit::Registry));
        let target = Target::new(self, request.bucket, hash, now);
        if let Some((registration, bucket)) = target.found() {
            at_work.set(AtWork::Bucket(registration, bucket));
        }
        let outcome = match request.op {
            Op::Command { command, args } => match command.run {
                Run::One(run) => run(target, args),
                Run::Several(_) => unreachable!("the store takes several shards for it"),
            },
            Op::Entries { part, cursor } => list(target.into_view(), part, cursor),
            Op::Watch => Ok(Reply::Number(target.watch() as i64)),
            op => execute_guide(target, op),
        };
        outcome.unwrap_or_else(Reply::Refused)
    }

    /// Ends a bucket that crashed.
    pub(crate) fn end_crashed(&mut self, registration: Registration, bucket: Bucket, name: &[u8]) {
        self.supervisor.crashed += 1;
        self.end(registration, bucket, name, End::Crashed);
    }

    /// Ends a bucket.
    pub(crate) fn end(&mut self, registration: Registration, bucket: Bucket, name: &[u8], why: End) {
        self.registry.unregister(registration);
        self.supervisor.end(&mut self.memory, name, bucket, why);
    }

    /// Takes a bucket out of the registry; what it holds lives on under another name.
    pub(crate) fn forget(&mut self, registration: Registration, name: &[u8]) {
        self.registry.unregister(registration);
        self.watched.forget(name);
        self.supervisor.tell_end(name, End::Dropped);
    }

    /// Frees a bounded part of what ended buckets held.
    pub(crate) fn sweep(&mut self, at_work: &Cell<AtWork>) {
        at_work.set(AtWork::Unit(Unit::BucketSupervisor));
        self.supervisor.sweep(&mut self.memory);
    }
}

/// Executes what the guide's protocol asks for. It wants buckets to be created, and keeps them when they are empty.
fn execute_guide<'s>(mut target: Target<'s>, op: Op<'_>) -> Outcome<'s> {
    if op == Op::Create {
        target.create()?;
        return Ok(Reply::Done);
    }
    if !target.exists() {
        return Ok(Reply::NoBucket);
    }
    match op {
        Op::Get { key } => {
            let entry = target.into_view().field(key)?;
            return Ok(entry.map_or(Reply::NoKey, |entry| Reply::Value(entry.value)));
        }
        Op::Keys { cursor } => {
            let (entries, next) = target.into_view().entries(cursor)?;
            let keys = entries.iter().map(|entry| Bytes::new(entry.key)).collect();
            return Ok(Reply::Keys { keys, next });
        }
        Op::Put { key, value } => {
            target.set_field(key, value, None)?;
        }
        Op::Delete { key } => {
            target.delete_field(key)?;
        }
        Op::Drop => {
            target.end(End::Dropped);
        }
        Op::Crash => panic!("a crash was asked for"),
        Op::Create | Op::Entries { .. } | Op::Watch | Op::Command { .. } => unreachable!("executed before"),
    }
    Ok(Reply::Done)
}
