//! The registry: which name belongs to which bucket.

use crate::{
    bucket::Bucket,
    memory::Memory,
    memory::table::{Place, Table},
    shard::lookup::Lookup,
};
use std::cell::Cell;

/// The names of one shard's buckets.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    names: Table,
    /// What the latest look-up found under its hash; a batch is often about one bucket.
    latest: Cell<Option<(u64, Registration, Bucket)>>,
}

/// Where a name is registered; good until the next registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registration(Place);

impl Registry {
    /// How many buckets are registered.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Finds the bucket of a name.
    #[inline]
    pub(crate) fn lookup(
        &self,
        memory: &Memory,
        look: Lookup<'_>,
        name: &[u8],
    ) -> Option<(Registration, Bucket)> {
        if let Some((hash, registration, bucket)) = self.latest.get()
            && hash == look.name
            && (look.again || bucket.name(memory) == name)
        {
            return Some((registration, bucket));
        }
        let found = self.search(memory, look.name, name);
        self.latest.set(found.map(|(registration, bucket)| (look.name, registration, bucket)));
        found
    }

    /// Whether the latest look-up was of a name of this hash.
    pub(crate) fn is_latest(&self, hash: u64) -> bool {
        self.latest.get().is_some_and(|(latest, ..)| latest == hash)
    }

    fn search(&self, memory: &Memory, hash: u64, name: &[u8]) -> Option<(Registration, Bucket)> {
        let is_it = |bucket: &Bucket| bucket.name(memory) == name;
        let found = self.names.search(hash, |handle| Some(Bucket(handle)).filter(is_it));
        found.map(|(place, bucket)| (Registration(place), bucket))
    }

    /// The table of names.
    pub(crate) fn names(&self) -> &Table {
        &self.names
    }

    /// Registers a bucket under its name, which is not registered yet.
    pub(crate) fn register(&mut self, memory: &Memory, hash: u64, bucket: Bucket) {
        self.latest.set(None);
        self.names.insert(hash, bucket.0, |handle| memory.hash(Bucket(handle).name(memory)));
    }

    /// Notes that a bucket has moved to another block.
    pub(crate) fn moved(&mut self, registration: Registration, bucket: Bucket) {
        self.latest.set(None);
        self.names.set(registration.0, bucket.0);
    }

    /// Forgets a name.
    pub(crate) fn unregister(&mut self, registration: Registration) {
        self.latest.set(None);
        self.names.remove(registration.0);
    }

    /// The buckets of one line.
    pub(crate) fn line(&self, number: usize) -> impl Iterator<Item = Bucket> {
        self.names.line(number).map(Bucket)
    }

    /// How many lines a walk has.
    pub(crate) fn lines(&self) -> usize {
        self.names.lines()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.names.bytes()
    }
}
