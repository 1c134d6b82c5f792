//! A shard: the buckets whose names hash to it, with their registry, their supervisor and their memory. One lock guards it.

pub(crate) mod bucket_mut;
pub(crate) mod bucket_ref;
pub(crate) mod lookup;
pub(crate) mod multi;
pub(crate) mod registry;
pub(crate) mod watch;

use crate::{
    Component,
    bucket::Bucket,
    bucket_supervisor::BucketSupervisor,
    memory::Memory,
    pubsub::bucket_changes::EndReason,
    shard::registry::{Registration, Registry},
    shard::watch::Watched,
    sweep::Sweep,
};
use foldhash::fast::SeedableRandomState;
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
pub(crate) enum PanicScope {
    /// A part of the store itself.
    Component(Component),
    /// The bucket that is registered here.
    Bucket(Registration, Bucket),
    /// Whoever reads the reply.
    Caller,
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

    /// Ends a bucket that crashed.
    pub(crate) fn end_crashed(&mut self, registration: Registration, bucket: Bucket, name: &[u8]) {
        self.supervisor.crashed += 1;
        self.end(registration, bucket, name, EndReason::Crashed);
    }

    /// Ends a bucket.
    pub(crate) fn end(&mut self, registration: Registration, bucket: Bucket, name: &[u8], reason: EndReason) {
        self.registry.unregister(registration);
        self.supervisor.end(&mut self.memory, name, bucket, reason);
    }

    /// Takes a bucket out of the registry; what it holds lives on under another name.
    pub(crate) fn forget(&mut self, registration: Registration, name: &[u8]) {
        self.registry.unregister(registration);
        self.watched.forget(name);
        self.supervisor.tell_end(name, EndReason::Dropped);
    }

    /// Frees a bounded part of what ended buckets held.
    pub(crate) fn sweep(&mut self, panic_scope: &Cell<PanicScope>) {
        panic_scope.set(PanicScope::Component(Component::BucketSupervisor));
        self.supervisor.sweep(&mut self.memory);
    }
}
