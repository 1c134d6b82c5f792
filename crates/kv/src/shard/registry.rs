//! The registry: maps names to buckets.

use crate::{
    bucket::Bucket,
    memory::{
        Memory,
        freeze::Freeze,
        table::{SlotRef, Table, lines::KeptLines},
    },
};
use std::{cell::Cell, sync::Arc};

/// The hashes that one request looks up: that of the bucket's name, and perhaps that of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    /// The hash of the bucket's name.
    pub(crate) name_hash: u64,
    /// Set only if the previous lookup in this registry was of the same name: the names are then not
    /// compared.
    pub(crate) same_as_previous: bool,
    /// The field and its hash, if the batch has hashed it.
    pub(crate) field: Option<(&'a [u8], u64)>,
}

impl Lookup<'_> {
    /// A lookup of a name alone.
    pub(crate) fn new(name_hash: u64) -> Self {
        Lookup { name_hash, same_as_previous: false, field: None }
    }

    /// The hash of a field, which is usually the one that the batch has hashed.
    #[inline]
    pub(crate) fn field_hash(&self, field: &[u8], memory: &Memory) -> u64 {
        match self.field {
            Some((known, hash)) if std::ptr::eq(known, field) => hash,
            _ => memory.hash(field),
        }
    }
}

/// The names of one shard's buckets.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    names: Table,
    /// The hash and the result of the previous lookup, because successive requests often name the same
    /// bucket.
    cached: Cell<Option<(u64, NameSlot, Bucket)>>,
}

/// Where a name is registered; valid until the next name is registered or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameSlot(SlotRef);

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
        lookup: Lookup<'_>,
        name: &[u8],
    ) -> Option<(NameSlot, Bucket)> {
        if let Some((hash, slot, bucket)) = self.cached.get()
            && hash == lookup.name_hash
            && (lookup.same_as_previous || bucket.name(memory) == name)
        {
            return Some((slot, bucket));
        }
        let found = self.search(memory, lookup.name_hash, name);
        self.cached.set(found.map(|(slot, bucket)| (lookup.name_hash, slot, bucket)));
        found
    }

    /// Whether the previous lookup was of a name of this hash.
    pub(crate) fn is_cached(&self, hash: u64) -> bool {
        self.cached.get().is_some_and(|(cached, ..)| cached == hash)
    }

    fn search(&self, memory: &Memory, hash: u64, name: &[u8]) -> Option<(NameSlot, Bucket)> {
        let is_it = |bucket: &Bucket| bucket.name(memory) == name;
        let found = self.names.search(hash, |handle| Some(Bucket(handle)).filter(is_it));
        found.map(|(slot, bucket)| (NameSlot(slot), bucket))
    }

    /// The table of names.
    pub(crate) fn name_table(&self) -> &Table {
        &self.names
    }

    /// Registers a bucket under its name, which must not be registered yet.
    pub(crate) fn register(&mut self, memory: &Memory, hash: u64, bucket: Bucket) {
        self.cached.set(None);
        self.names.insert(hash, bucket.0, |handle| memory.hash(Bucket(handle).name(memory)));
    }

    /// Sets the bucket of a registered name, after it moved to another block or was replaced.
    pub(crate) fn set_bucket(&mut self, slot: NameSlot, bucket: Bucket) {
        self.cached.set(None);
        self.names.set(slot.0, bucket.0);
    }

    /// Removes a name.
    pub(crate) fn unregister(&mut self, slot: NameSlot) {
        self.cached.set(None);
        self.names.remove(slot.0);
    }

    /// Moves the buckets of one line out of the pages that are being emptied. Returns their bytes, and the
    /// cursor of the next line; 0 after the last one.
    pub(crate) fn move_blocks(&mut self, memory: &mut Memory, cursor: u32) -> (usize, u32) {
        self.cached.set(None);
        let mut bytes = 0;
        let next = self.names.replace_in_line(cursor, |handle| {
            if !memory.arena.is_to_move(handle) {
                return None;
            }
            let size = Bucket(handle).size(memory);
            bytes += size;
            memory.arena.relocate(handle, size).ok()
        });
        (bytes, next)
    }

    /// The buckets of one step of a scan, and the cursor of the next step; 0 at the end.
    pub(crate) fn scan_step(&self, memory: &Memory, cursor: u64) -> (impl Iterator<Item = Bucket>, u64) {
        let hash_of = |handle| memory.hash(Bucket(handle).name(memory));
        let (handles, next) = self.names.scan_step(cursor, hash_of);
        (handles.map(Bucket), next)
    }

    /// From now on, keeps names as they are before they change.
    pub(super) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        self.names.freeze(freeze);
    }

    /// Keeps names no longer. Returns those that it has kept.
    pub(super) fn thaw(&mut self) -> [Option<Box<KeptLines>>; 2] {
        self.names.thaw()
    }

    /// The buckets of one line when the names were frozen; `None` after the last one.
    pub(crate) fn frozen_buckets(&self, line: usize) -> Option<impl Iterator<Item = Bucket>> {
        (line < self.names.frozen_lines()).then(|| self.names.frozen_chain(line).map(Bucket))
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.names.home_lines()
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.names.bytes()
    }
}
