//! Moves a bucket to the memory of another shard, and packs entries so that they can be copied there.

use super::{
    Block, Body, Bucket, Entries, Head, inline_entries,
    map::{add_to_table, remove_from_table},
};
use crate::memory::{
    Memory,
    arena::{Arena, ArenaFull, Handle},
    entry::{Entry, Value},
};

impl Bucket {
    /// Moves the bucket's contents to the memory `to`, under another name. The bucket there is
    /// `unregistered`; the caller destroys the one that is left here. If `to` has no room, everything stays
    /// as it was.
    pub(crate) fn move_to(
        self,
        from: &mut Memory,
        to: &mut Memory,
        name: &[u8],
        unregistered: &mut Option<Bucket>,
    ) -> Result<(), ArenaFull> {
        let Block { head: Head { keep_when_empty, expires_at_ms, .. }, body } = self.block(from);
        let head = Head { name, keep_when_empty, expires_at_ms };
        let source = match body {
            Body::Map(Entries::Table(id)) => id,
            Body::Map(Entries::Inline(_)) => {
                *unregistered = Some(Bucket::create(to, Block { head, body })?);
                return Ok(());
            }
            Body::Str(value, origin) => {
                let value = share_value(&from.arena, &mut to.arena, value);
                let created = Bucket::create(to, Block { head, body: Body::Str(value, origin) });
                if created.is_err() {
                    to.arena.free_value(value);
                }
                *unregistered = Some(created?);
                return Ok(());
            }
        };
        let target = to.add_table();
        let moved = Bucket::create(to, Block { head, body: Body::Map(Entries::Table(target)) })?;
        *unregistered = Some(moved);
        if let Err(full) = drain_into((from, source), (to, target)) {
            drain_into((to, target), (from, source))
                .expect("the entries that moved have room where they were");
            *unregistered = None;
            moved.destroy(to);
            return Err(full);
        }
        Ok(())
    }
}

/// Moves the entries of a table to a table of another memory, one by one, so that the two memories never hold
/// more than one entry twice.
fn drain_into(source: (&mut Memory, u32), target: (&mut Memory, u32)) -> Result<(), ArenaFull> {
    let ((from, source), (to, target)) = (source, target);
    let mut cursor = 0;
    loop {
        let (handles, next) = from.table(source).scan_step(cursor, |handle| from.key_hash(handle));
        for handle in handles.collect::<Vec<Handle>>() {
            let entry = from.entry(handle);
            // All shards use the same hash function.
            let hash = from.hash(entry.key);
            let value = share_value(&from.arena, &mut to.arena, entry.value);
            if let Err(full) = add_to_table(to, target, hash, Entry { value, ..entry }) {
                to.arena.free_value(value);
                return Err(full);
            }
            #[cfg(test)]
            crate::tests::failpoint::reach("drain_into");
            let slot = from.table(source).find(hash, |candidate| candidate == handle);
            remove_from_table(from, source, slot.expect("it was just seen there"));
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// The same value for a block of the arena `to`: a large one is shared, and added to it.
fn share_value<'v>(from: &Arena, to: &mut Arena, value: Value<'v>) -> Value<'v> {
    match value {
        Value::Bytes(_) => value,
        Value::Large(at) => Value::Large(to.add_value(from.value(at).clone())),
    }
}

/// Owned copies of entries, packed as inline entries are, and their large values, which they share.
pub(crate) struct PackedEntries {
    bytes: Vec<u8>,
    values: Arena,
}

impl PackedEntries {
    /// Copies entries of `memory`.
    pub(crate) fn new(memory: &Memory, entries: &[Entry<'_>]) -> PackedEntries {
        let mut packed =
            PackedEntries { bytes: vec![0; entries.iter().map(Entry::size).sum()], values: Arena::new() };
        let mut offset = 0;
        for entry in entries {
            let value = share_value(&memory.arena, &mut packed.values, entry.value);
            Entry { value, ..*entry }.write(&mut packed.bytes[offset..]);
            offset += entry.size();
        }
        packed
    }

    /// The entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        inline_entries(&self.bytes).map(|(_, entry)| entry)
    }

    /// The value of one of the entries, for a block of `memory`.
    pub(crate) fn value<'v>(&self, memory: &mut Memory, entry: Entry<'v>) -> Value<'v> {
        share_value(&self.values, &mut memory.arena, entry.value)
    }
}
